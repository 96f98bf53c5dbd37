"""A file means the same to every command, and what was taken of it is said."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunA2U
from PIL import Image

from a2u_cli.errors import ImageError, TrimapError
from a2u_cli.images import read_grey, read_image, read_matte
from a2u_cli.images.meaning import GREYS
from a2u_cli.pairing import find_pairs
from a2u_cli.trimap import check_pair, make_trimap, read_trimap

Levels = np.ndarray
pytestmark = pytest.mark.usefixtures("environment")
HEIGHT, WIDTH = 48, 64


def scene() -> tuple[Levels, Levels, Levels]:
    """Make a soft disc on a graded ground: picture, alpha and trimap, all of 8 bits."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2)
    alpha = np.clip((14 - distance) / 4 + 0.5, 0, 1)
    ground = np.dstack([0.2 + columns / 200, 0.5 + rows / 200, 0.3 + 0 * rows])
    picture = np.where(alpha[..., None] > 0, np.float32([0.85, 0.35, 0.15]), ground)
    trimap = np.select([distance < 9, distance > 19], [255, 0], 128).astype(np.uint8)
    return to_u8(picture), to_u8(alpha), trimap


def to_u8(values: Levels) -> Levels:
    return np.rint(values * 255).astype(np.uint8)


PICTURE, ALPHA, TRIMAP = scene()
MASK = np.where(ALPHA > 127, 255, 0).astype(np.uint8)
OPAQUE = np.full_like(ALPHA, 255)


def put(path: Path, levels: Levels, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path, **options)
    return path


def png(picture: Image.Image | Levels, **options: Any) -> bytes:
    stream = BytesIO()
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(stream, options.pop("format", "PNG"), **options)
    return stream.getvalue()


def labels(levels: Levels, *colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(levels, "P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def of_256(values: Levels) -> list[int]:
    return np.rint(np.unique(values) * 255).astype(int).tolist()


@pytest.mark.parametrize(
    ("levels", "taken"),
    [
        (np.dstack([PICTURE, ALPHA]), "its transparency is taken, not its colours"),
        (np.dstack([np.full_like(PICTURE, 255), ALPHA]), "its transparency is taken"),
        (np.dstack([OPAQUE, ALPHA]), "its transparency is taken"),
        (np.dstack([ALPHA] * 3 + [OPAQUE]), GREYS),
        (np.dstack([ALPHA, OPAQUE]), GREYS),
        (np.dstack([ALPHA] * 3 + [np.where(ALPHA > 0, 255, 254).astype(np.uint8)]), GREYS),
        (np.dstack([ALPHA] * 3), GREYS),
        (ALPHA, GREYS),
    ],
    ids=["cut-out", "white", "LA", "opaque RGBA", "opaque LA", "nearly opaque", "RGB", "grey"],
)
def test_a_matte_is_the_transparency_or_where_that_is_opaque_the_greys(
    levels: Levels, taken: str
) -> None:
    matte = read_matte(png(levels))
    np.testing.assert_array_equal(to_u8(matte.values), ALPHA)
    assert matte.taken.startswith(taken)
    np.testing.assert_array_equal(to_u8(read_matte(png(levels), invert=True).values), 255 - ALPHA)


def test_labels_that_look_black_are_stretched() -> None:
    two, three = np.where(MASK > 0, 1, 0).astype(np.uint8), (TRIMAP // 127).astype(np.uint8)
    for levels in (two, np.dstack([two] * 3), two.astype(np.uint16)):
        np.testing.assert_array_equal(to_u8(read_matte(png(levels)).values), MASK)
    matte = read_matte(png(three))
    assert matte.taken == "its levels are taken as labels: 0 as 0, 1 as 0.5, 2 as 1"
    assert of_256(matte.values) == [0, 128, 255]
    np.testing.assert_array_equal(read_trimap(png(three), strict=True), TRIMAP)
    assert not read_matte(png(np.zeros((4, 4), np.uint8))).values.any()


def test_a_palette_of_colours_holds_labels_and_one_of_greys_greys() -> None:
    black, red, green = (0, 0, 0), (128, 0, 0), (0, 128, 0)
    two, three = (MASK // 255).astype(np.uint8), (TRIMAP // 127).astype(np.uint8)
    np.testing.assert_array_equal(read_matte(png(labels(two, black, red))).values, two)
    np.testing.assert_array_equal(read_trimap(png(labels(three, black, red, green))), TRIMAP)
    person = read_matte(png(labels((two * 15).astype(np.uint8), *[black] * 15, red)))
    np.testing.assert_array_equal(person.values, two)
    turned = labels(three, (255, 255, 255), (0, 0, 0), (128, 128, 128))
    assert of_256(read_matte(png(turned)).values) == [0, 128, 255]
    several = labels(np.array([[0, 1, 5]], np.uint8), black, red, green, red, green, red)
    with pytest.raises(ImageError, match=r"labels 0, 1, 5 of several things.*make a mask"):
        read_matte(png(several), name="m.png")


def test_a_photograph_is_neither_a_trimap_nor_a_matte() -> None:
    for read in (read_matte, read_trimap):
        with pytest.raises(ImageError, match=r"^p is a picture in colours \(.*expected greys"):
            read(png(PICTURE), name="p")
    cut = np.dstack([PICTURE, ALPHA])
    with pytest.raises(ImageError, match="is a picture in colours"):
        read_trimap(png(cut), name="p")


def test_a_trimaps_transparency_counts_where_its_colours_say_nothing() -> None:
    white = np.dstack([np.full_like(PICTURE, 255), TRIMAP])
    np.testing.assert_array_equal(read_trimap(png(white)), TRIMAP)
    hidden = np.dstack([TRIMAP] * 3 + [255 - TRIMAP])
    np.testing.assert_array_equal(read_trimap(png(hidden)), TRIMAP)


def test_a_jpeg_of_greys_is_no_picture_in_colours() -> None:
    jpeg = read_matte(png(np.dstack([TRIMAP] * 3), format="JPEG", quality=80))
    assert jpeg.taken == GREYS


def test_an_exr_with_transparency_is_read_by_it(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    image, alpha = (PICTURE / 255).astype(np.float32), (ALPHA / 255).astype(np.float32)
    channels = {"RGBA": np.dstack([image * alpha[..., None], alpha])}
    header = {"type": exr.scanlineimage}
    exr.File(header, channels).write(str(tmp_path / "cut.exr"))
    np.testing.assert_allclose(read_matte(tmp_path / "cut.exr").values, alpha, atol=1 / 65535)


def test_a_binary_trimap_is_told_about_masks() -> None:
    with pytest.raises(TrimapError, match=r"no unknown pixels.*or give it as a mask: --mask"):
        check_pair((HEIGHT, WIDTH), read_trimap(png(MASK)))


# Commands


@pytest.mark.parametrize("kind", ["cutout", "white"])
def test_a_cut_out_as_the_matte_composes_as_the_matte_itself(
    run_a2u: RunA2U, tmp_path: Path, kind: str
) -> None:
    photo, alpha = put(tmp_path / "p.png", PICTURE), put(tmp_path / "a.png", ALPHA)
    colours = PICTURE if kind == "cutout" else np.full_like(PICTURE, 255)
    cut = put(tmp_path / "cut.png", np.dstack([colours, ALPHA]))
    for command in ("composite", "cutout"):
        outputs = []
        for matte in (alpha, cut):
            outputs.append(tmp_path / f"{command}-{matte.name}")
            words = ("-a", matte, "-o", outputs[-1], "--no-provenance")  # which names the matte
            run = run_a2u(command, photo, *words)
            assert run.code == 0, run.stderr
        assert run.stderr == f"{cut}: its transparency is taken, not its colours\n"
        assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_invert_turns_a_mask_whose_object_is_black(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    mask, black = put(tmp_path / "m.png", MASK), put(tmp_path / "photos" / "p_mask.png", 255 - MASK)
    photo = put(tmp_path / "photos" / "p.png", PICTURE)
    expected = make_trimap(MASK / 255, inside=3, outside=3)
    run = run_a2u("trimap", black, "--invert", "--band", "3", "-o", tmp_path / "t.png")
    assert (run.code, "its greys, inverted" in run.stderr) == (0, True)
    np.testing.assert_array_equal(read_trimap(tmp_path / "t.png", strict=True), expected)

    fixed = ("--weights", weights, "--device", "cpu", "--band", "3")
    for hint, out in (((mask,), "1.png"), ((black, "--invert"), "2.png")):
        run = run_a2u("matte", photo, "--mask", *hint, "-o", tmp_path / out, *fixed)
        assert run.code == 0, run.stderr
    alpha = read_grey(tmp_path / "1.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "2.png"), alpha)
    run = run_a2u("batch", photo.parent, "--invert", "-o", tmp_path / "out", *fixed)
    assert (run.code, f"{black}: its greys, inverted" in run.stderr) == (0, True), run.stderr
    np.testing.assert_array_equal(read_grey(tmp_path / "out" / "alpha" / "p.png"), alpha)

    on_black = ("-b", "black", "-o", tmp_path / "c.png")
    assert run_a2u("composite", photo, "-a", black, "--invert", *on_black).code == 0
    assert not read_image(tmp_path / "c.png").image[0, 0].any()
    drawn = put(tmp_path / "drawn.png", TRIMAP)
    run = run_a2u("matte", photo, "-t", drawn, "--invert")
    assert (run.code, "this turns a --mask" in run.stderr) == (2, True)
    run = run_a2u("composite", photo, "--invert")
    assert (run.code, "--invert would do nothing" in run.stderr) == (2, True)


def test_a_folder_of_pictures_and_masks_has_trimaps_made_of_the_masks(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    put(tmp_path / "x.jpg", PICTURE), put(tmp_path / "x_mask.png", MASK)
    put(tmp_path / "sub" / "y.png", PICTURE), put(tmp_path / "sub" / "y_alpha.png", ALPHA)
    run = run_a2u("trimap", tmp_path)
    assert run.code == 0, run.stderr
    assert "2 pictures are no masks" in run.stderr
    made = tmp_path / "a2u_output" / "trimap"
    assert {p.name for p in made.rglob("*.png")} == {"x_mask.png", "y_alpha.png"}
    fixed = ("--weights", weights, "--device", "cpu", "-o", tmp_path / "out")
    run = run_a2u("batch", tmp_path, "--trimaps", made, *fixed)
    assert "2 done, 0 skipped, 0 failed" in run.stderr


def test_a_data_set_has_trimaps_made_of_its_mattes_alone(run_a2u: RunA2U, tmp_path: Path) -> None:
    for role, values in (("image", PICTURE), ("trimap", TRIMAP), ("alpha", ALPHA)):
        put(tmp_path / role / "x.png", values)
    run = run_a2u("trimap", tmp_path)
    assert (run.code, "2 pictures are no masks" in run.stderr) == (0, True), run.stderr
    made = tmp_path / "a2u_output" / "trimap"
    assert [p.relative_to(made).as_posix() for p in made.rglob("*.png")] == ["alpha/x.png"]


# Scores


@pytest.fixture
def scored(run_a2u: RunA2U) -> Callable[..., dict[str, Any]]:
    """Run `a2u eval` and give its report, with the exit code."""

    def call(*arguments: str | Path) -> dict[str, Any]:
        run = run_a2u("eval", *arguments, "--json", "-")
        assert run.stdout, run.stderr
        return {"code": run.code} | json.loads(run.stdout)

    return call


Scored = Callable[..., dict[str, Any]]
PREDICTED = np.clip(ALPHA.astype(int) + np.where(TRIMAP == 128, 7, 0), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("cut", ["truth", "prediction", "both"])
def test_cut_outs_score_as_their_mattes(scored: Scored, tmp_path: Path, cut: str) -> None:
    put(tmp_path / "pred" / "x.png", PREDICTED), put(tmp_path / "gt" / "x.png", ALPHA)
    expected = scored(tmp_path / "pred", "--gt", tmp_path / "gt")
    assert 0 < expected["means"]["sad"] < 0.1
    if cut in ("truth", "both"):
        put(tmp_path / "gt" / "x.png", np.dstack([PICTURE, ALPHA]))
    if cut in ("prediction", "both"):
        put(tmp_path / "pred" / "x.png", np.dstack([PICTURE, PREDICTED]))
    found = scored(tmp_path / "pred", "--gt", tmp_path / "gt")
    assert found["means"] == expected["means"]
    assert any("its transparency is taken" in note for note in found["rows"][0]["notes"])


def test_a_trimap_with_other_greys_never_scores_less_without_a_word(
    run_a2u: RunA2U, scored: Scored, tmp_path: Path
) -> None:
    pred, gt = tmp_path / "pred", tmp_path / "gt"
    put(pred / "x.png", PREDICTED), put(gt / "x.png", ALPHA)
    drawn = tmp_path / "trimap" / "x.png"
    put(drawn, TRIMAP)
    exact = scored(pred, "--gt", gt)["rows"][0]
    unknown = int((TRIMAP == 128).sum())
    assert exact["pixels"] == unknown and "notes" not in exact
    put(drawn, (TRIMAP // 127).astype(np.uint8))
    assert scored(pred, "--gt", gt)["rows"][0]["sad"] == exact["sad"]
    put(drawn, np.where(TRIMAP == 128, 127, TRIMAP).astype(np.uint8))
    refused = scored(pred, "--gt", gt)
    assert (refused["code"], refused["counts"]["failed"]) == (1, 1)
    assert f"no pixel of exactly 128, so nothing to score, but {unknown}" in str(refused["rows"])
    half = TRIMAP.copy()
    half[:, : WIDTH // 2] = np.where(half == 128, 127, half)[:, : WIDTH // 2]
    put(drawn, half)
    said = run_a2u("eval", pred, "--gt", gt).stdout.decode()
    others = int((half == 127).sum())
    assert f"{others} pixels are neither 0, 128 nor 255 and were left out (x)" in said
    drawn.unlink()
    put(drawn.with_suffix(".jpg"), TRIMAP, quality=80)
    assert "were left out" in str(scored(pred, "--gt", gt)["rows"][0]["notes"])


def test_trimaps_of_other_folders_are_none_of_the_truths(scored: Scored, tmp_path: Path) -> None:
    put(tmp_path / "pred" / "x.png", PREDICTED), put(tmp_path / "gt" / "x.png", ALPHA)
    whole = HEIGHT * WIDTH
    for stray in ("photos/x_trimap.png", "old/y_trimap.png", "old/y-trimap.png", "z_trimap.png"):
        put(tmp_path / stray, TRIMAP)
    found = scored(tmp_path / "pred", "--gt", tmp_path / "gt")
    assert (found["code"], found["rows"][0]["pixels"]) == (0, whole)
    assert found["conventions"]["trimaps"].startswith("none found; --trimap DIR")
    put(tmp_path / "gt" / "x_trimap.png", TRIMAP)
    beside = scored(tmp_path / "pred", "--gt", tmp_path / "gt")
    assert (beside["code"], len(beside["rows"])) == (0, 1)
    assert beside["rows"][0]["pixels"] == int((TRIMAP == 128).sum())
    assert beside["conventions"]["trimaps"] == str(tmp_path / "gt")
    found = scored(tmp_path / "pred", "--gt", tmp_path / "gt", "--region", "whole")
    assert (found["rows"][0]["pixels"], found["conventions"]["region"]) == (
        whole,
        "the whole picture",
    )


def test_suffixes_are_no_part_of_a_name_on_either_side(scored: Scored, tmp_path: Path) -> None:
    put(tmp_path / "pred" / "a.png", PREDICTED), put(tmp_path / "pred" / "b_alpha.png", PREDICTED)
    put(tmp_path / "gt" / "a_alpha.png", ALPHA), put(tmp_path / "gt" / "b_matte.png", ALPHA)
    put(tmp_path / "gt" / "a.jpg", PICTURE)
    found = scored(tmp_path / "pred", "--gt", tmp_path / "gt")
    assert [(row["name"], row["state"]) for row in found["rows"]] == [
        ("a", "scored"),
        ("b", "scored"),
    ]
    for folder, levels in (("pred", PREDICTED), ("gt", ALPHA)):
        for name in ("c", "c_alpha"):
            put(tmp_path / "own" / folder / f"{name}.png", levels)
    found = scored(tmp_path / "own" / "pred", "--gt", tmp_path / "own" / "gt")
    assert [row["name"] for row in found["rows"]] == ["c", "c_alpha"]


def test_the_trimap_with_the_suffix_comes_before_the_picture(
    scored: Scored, tmp_path: Path
) -> None:
    (
        put(tmp_path / "photos" / "cat.png", PICTURE),
        put(tmp_path / "photos" / "cat_trimap.png", TRIMAP),
    )
    put(tmp_path / "pred" / "cat.png", PREDICTED), put(tmp_path / "gt" / "cat.png", ALPHA)
    options = ("--gt", tmp_path / "gt", "--trimap", tmp_path / "photos")
    found = scored(tmp_path / "pred", *options)
    assert found["rows"][0]["pixels"] == int((TRIMAP == 128).sum())
    pairs = find_pairs(tmp_path / "photos", trimaps=tmp_path / "photos").found
    assert [(p.name, p.hint.name) for p in pairs] == [("cat", "cat_trimap.png")]


def test_batch_and_eval_take_the_same_layout(scored: Scored, tmp_path: Path) -> None:
    for folder, levels in (("image", PICTURE), ("trimap", TRIMAP), ("alpha", ALPHA)):
        put(tmp_path / "am" / folder / "x.png", levels)
    put(tmp_path / "pred" / "x.png", PREDICTED)
    pairs = find_pairs(tmp_path / "am")
    assert ([p.name for p in pairs.found], pairs.unpaired) == (["x"], ())
    assert [p.name for p in find_pairs(tmp_path / "am" / "image").found] == ["x"]
    for gt in (tmp_path / "am", tmp_path / "am" / "alpha"):
        found = scored(tmp_path / "pred", "--gt", gt)
        assert found["counts"] == {"scored": 1, "failed": 0, "missing": 0, "extra": 0}
        assert found["conventions"]["truth"] == str(tmp_path / "am" / "alpha")
        assert found["conventions"]["trimaps"] == str(tmp_path / "am" / "trimap")


def test_each_of_several_folders_of_trimaps_is_scored_or_named(
    run_a2u: RunA2U, scored: Scored, tmp_path: Path
) -> None:
    root, pred = tmp_path / "set", tmp_path / "pred"
    put(root / "gt_lowres" / "x.png", ALPHA), put(pred / "x.png", PREDICTED)
    wide = make_trimap(MASK / 255, inside=9, outside=9)
    for number, trimap in enumerate((TRIMAP, wide, wide), start=1):
        put(root / "trimap_lowres" / f"Trimap{number}" / "x.png", trimap)
    found = scored(pred, "--gt", root)
    first = str(root / "trimap_lowres" / "Trimap1")
    assert found["conventions"]["trimaps"] == (
        f"{first}; there is also Trimap2, Trimap3: --trimap all scores with each"
    )
    found = scored(pred, "--gt", root, "--trimap", "all")
    assert [row["name"] for row in found["rows"]] == [f"Trimap{n}/x" for n in (1, 2, 3)]
    assert set(found["parts"]) == {"Trimap1", "Trimap2", "Trimap3"}
    assert found["parts"]["Trimap1"]["mse"] > found["parts"]["Trimap2"]["mse"]
    (pred / "x.png").unlink()
    for number in (1, 2):
        put(pred / f"Trimap{number}" / "x.png", PREDICTED)
    found = scored(pred, "--gt", root)
    assert [row["state"] for row in found["rows"]] == ["scored", "scored", "missing"]
    assert "mean of Trimap1: SAD" in run_a2u("eval", pred, "--gt", root).stdout.decode()


def test_the_two_commands_of_the_readme_work_after_each_other(
    run_a2u: RunA2U, scored: Scored, tmp_path: Path, weights: Path
) -> None:
    for name in ("x", "trip/y"):
        put(tmp_path / "photos" / f"{name}.jpg", PICTURE)
        put(tmp_path / "photos" / f"{name}_trimap.png", TRIMAP)
        put(tmp_path / "truth" / f"{name}.png", ALPHA)
    mattes = tmp_path / "mattes"
    run = run_a2u("batch", tmp_path / "photos", "-o", mattes, "--weights", weights)
    assert run.code == 0, run.stderr
    found = scored(mattes / "alpha", "--gt", tmp_path / "truth")
    assert (found["code"], found["counts"]["scored"]) == (0, 2)


def test_no_picture_is_its_own_matte(run_a2u: RunA2U, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    put(folder / "x.png", PICTURE)
    run = run_a2u("cutout", folder, "-a", folder)
    assert (run.code, "was given as its own mattes" in run.stderr) == (2, True)
    run = run_a2u("cutout", folder / "x.png", "-a", folder / "x.png")
    assert (run.code, "is the picture itself" in run.stderr) == (2, True)
    put(folder / "x_alpha.png", ALPHA)
    assert run_a2u("cutout", folder, "-a", folder).code == 0


@pytest.mark.parametrize("others", [(), ("boy_alpha",)])
def test_pictures_whose_names_end_like_a_role_have_their_own_trimaps(
    tmp_path: Path, others: tuple[str, ...]
) -> None:
    names = ("boy", "girl_with_mask", "group_composite", "shot_alpha", *others)
    for name in names:
        put(tmp_path / f"{name}.jpg", PICTURE), put(tmp_path / f"{name}_trimap.png", TRIMAP)
    put(tmp_path / "lone_mask.jpg", MASK)
    pairs = find_pairs(tmp_path)
    assert sorted((p.name, p.hint.name) for p in pairs.found) == sorted(
        (name, f"{name}_trimap.png") for name in names
    )
    assert [path.name for path in pairs.unpaired] == ["lone_mask.jpg"]


@pytest.mark.parametrize("name", ["src", "images", "input", "original", "bg", "gt"])
def test_a_folder_named_like_a_role_hides_nothing_beside_it(tmp_path: Path, name: str) -> None:
    for path in ("a", f"{name}/b"):
        put(tmp_path / f"{path}.jpg", PICTURE), put(tmp_path / f"{path}_trimap.png", TRIMAP)
    put(tmp_path / name / "c.png", PICTURE)
    pairs = find_pairs(tmp_path)
    assert {p.name for p in pairs.found} == {"a", f"{name}/b"}
    assert [path.name for path in pairs.unpaired] == ["c.png"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "far" / "x.png", PICTURE), put(tmp_path / "far" / "x_trimap.png", TRIMAP)
    put(tmp_path / "set" / "y.png", PICTURE), put(tmp_path / "set" / "y_trimap.png", TRIMAP)
    for link, target in (("day1", "../far"), ("loop", "."), ("up", "..")):
        (tmp_path / "set" / link).symlink_to(target)
    assert {p.name for p in find_pairs(tmp_path / "set").found} == {"y", "day1/x"}
