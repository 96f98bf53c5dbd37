"""Every file of a folder that could be a picture is matted, belongs to one, or is named."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from PIL import Image
from small_folders import last, mask, photo, put, trimap

from a2u_cli.backgrounds import list_backgrounds
from a2u_cli.errors import ImageError
from a2u_cli.images import read_image
from a2u_cli.pairing import find_pairs
from a2u_cli.training.data.folders import list_pictures


def names(folder: Path) -> list[str]:
    """List the mattes that a batch has made."""
    out = folder / "a2u_output" / "alpha"
    return sorted(p.relative_to(out).with_suffix("").as_posix() for p in out.rglob("*.png"))


def test_every_extension_that_is_read_is_read_in_a_folder(a2u: RunA2U, tmp_path: Path) -> None:
    """B12"""
    kinds = {"a": "jpg", "b": "jfif", "c": "jpe", "d": "gif", "e": "PNG", "f": "hif", "g": "heif"}
    put(tmp_path, *kinds)
    for name, suffix in kinds.items():
        path = tmp_path / f"{name}.png"
        with Image.open(path) as picture:
            path.unlink()
            kind = {"gif": "GIF", "PNG": "PNG"}.get(suffix, "JPEG")
            picture.save(tmp_path / f"{name}.{suffix}", kind)
    found = a2u("batch", tmp_path)
    assert (found.code, names(tmp_path)) == (0, [*kinds]), found.stderr


def test_pictures_that_are_not_read_are_named_and_counted(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "x")
    (tmp_path / "raw.NEF").write_bytes(b"raw")
    shutil.copy(tmp_path / "x.png", tmp_path / "copy.bak")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    for end in ("1 done, 0 skipped", "0 done, 1 skipped"):
        found = a2u("batch", tmp_path)
        assert found.code == 1
        assert last(found) == f"{end}, 0 failed, 0 without a trimap, 2 left out"
        assert f"left out: {tmp_path / 'raw.NEF'}: a2u reads no such files" in found.stderr
        assert "copy.bak" in found.stderr and "notes" not in found.stderr


def test_names_like_roles_are_pictures_where_they_have_a_trimap(
    a2u: RunA2U, tmp_path: Path
) -> None:
    """B13"""
    own = ["boy", "girl_with_mask", "group_composite", "shot_alpha"]
    put(tmp_path, *own)
    found = a2u("batch", tmp_path)
    assert (found.code, names(tmp_path)) == (0, own), found.stderr


@pytest.mark.parametrize("name", ["src", "images", "input", "original", "bg", "gt", "alpha"])
def test_a_subfolder_named_like_a_role_hides_nothing(
    a2u: RunA2U, tmp_path: Path, name: str
) -> None:
    put(tmp_path, "x", f"{name}/y", "other/z")
    found = a2u("batch", tmp_path)
    assert found.code == 0, found.stderr
    assert names(tmp_path) == sorted(["x", f"{name}/y", "other/z"])


def test_what_belongs_to_no_picture_of_a_data_set_is_named(a2u: RunA2U, tmp_path: Path) -> None:
    photo(tmp_path / "image" / "x.png")
    for name in ("trimap/x", "trimap/gone"):
        trimap(tmp_path / f"{name}.png")
    for name in ("alpha/x", "bg/beach", "fg/x"):
        photo(tmp_path / f"{name}.png")
    found = a2u("batch", tmp_path)
    assert (found.code, names(tmp_path)) == (1, ["x"])
    assert last(found).endswith("1 done, 0 skipped, 0 failed, 0 without a trimap, 2 left out")
    for name in ("trimap/gone.png", "bg/beach.png"):
        assert f"left out: {tmp_path / name}: " in found.stderr


def test_a_trimap_folder_beside_the_named_one_is_found(a2u: RunA2U, tmp_path: Path) -> None:
    photo(tmp_path / "shots" / "x.png")
    trimap(tmp_path / "trimap" / "x.png")
    assert a2u("batch", tmp_path / "shots").code == 0
    assert names(tmp_path / "shots") == ["x"]


def test_links_to_folders_are_followed_and_outputs_written_through(
    a2u: RunA2U, tmp_path: Path
) -> None:
    """B23"""
    put(tmp_path, "store/day1/x", "set/y")
    (tmp_path / "set" / "day1").symlink_to("../store/day1")
    found = a2u("batch", tmp_path / "set")
    assert (found.code, names(tmp_path / "set")) == (0, ["day1/x", "y"]), found.stderr
    photo(tmp_path / "photo.png"), mask(tmp_path / "alpha.png"), mask(tmp_path / "far" / "o.png")
    (tmp_path / "o.png").symlink_to("far/o.png")
    place = ("-o", tmp_path / "o.png", "--force")
    assert a2u("composite", tmp_path / "photo.png", "-a", tmp_path / "alpha.png", *place).code == 0
    assert (tmp_path / "o.png").is_symlink()
    assert np.ptp(read_image(tmp_path / "far" / "o.png").image[0, 15]) > 0  # no mask any more


def test_long_lists_are_a_count_and_ten_names(a2u: RunA2U, tmp_path: Path) -> None:
    """Counted before the work, named after it, where they are seen last."""
    put(tmp_path, "x")
    for number in range(25):
        photo(tmp_path / f"alone{number:02}.png")
    for extra in ([], ["--dry-run"]):
        found = a2u("batch", tmp_path, *extra)
        before, _, after = found.stderr.partition("device: ")
        assert found.code == int(not extra)
        assert "1 pictures to matte" in before and "25 without a trimap" in before
        assert before.count("no trimap or mask: ") == 0
        assert after.count("no trimap or mask: ") == 10
        assert after.count("... and 15 more") == 1


def test_pictures_in_the_output_folder_are_pictures(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "x", "sub/y")
    assert a2u("batch", tmp_path, "-o", tmp_path / "sub").code == 0
    assert (tmp_path / "sub" / "alpha" / "sub" / "y.png").is_file()
    found = a2u("batch", tmp_path, "-o", tmp_path / "sub")
    assert (found.code, last(found)) == (0, "0 done, 2 skipped, 0 failed, 0 without a trimap")


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let nobody list a folder of this name: to root every folder is open."""
    real = os.scandir

    def scandir(path: Path | str) -> object:
        if Path(path).name == "shut":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return "the folder cannot be listed (Permission denied)"


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("batch", "1 done, 0 skipped, 0 failed, 0 without a trimap, 1 left out"),
        ("batch --found", "1 done, 0 skipped, 0 failed, 0 without a trimap, 1 left out"),
        ("cutout", "1 done, 0 failed, 1 left out"),
        ("composite", "1 done, 0 failed, 1 left out"),
        ("trimap", "1 done, 0 failed, 1 left out"),
        ("trimap check", "1 done, 0 failed, 1 left out"),
        ("batch --trimaps", "1 done, 0 skipped, 0 failed, 0 without a trimap, 1 left out"),
    ],
)
def test_a_folder_that_cannot_be_listed_is_left_out_and_the_rest_done(
    a2u: RunA2U, tmp_path: Path, shut: str, command: str, end: str
) -> None:
    photos, mattes, trimaps = (tmp_path / name for name in ("photos", "mattes", "hints"))
    photo(photos / "x.png"), mask(mattes / "x.png"), trimap(trimaps / "x.png")
    trimap(photos / "x_trimap.png")
    arguments = {
        "batch --found": (photos,),
        "batch": (photos, "--trimaps", trimaps),
        "batch --trimaps": (photos, "--trimaps", trimaps),
        "trimap": (mattes, "--band", "2"),
        "trimap check": (trimaps,),
    }.get(command, (photos, "-a", mattes))
    closed = {"trimap": mattes, "trimap check": trimaps, "batch --trimaps": trimaps}
    place = closed.get(command, photos) / "shut"
    place.mkdir()
    found = a2u(*command.split(" --")[0].split(), *arguments)
    assert (found.code, last(found)) == (1, end), found.stderr
    assert f"left out: {place}: {shut}" in found.stderr
    photos.rename(tmp_path / "shut")
    found = a2u("batch", tmp_path / "shut")
    assert (found.code, "expected some; left out are" in last(found)) == (2, True)
    assert shut in last(found)


@pytest.mark.parametrize("where", ["mattes", "truth", "trimap"])
def test_what_eval_does_not_read_is_left_out_in_every_report(
    a2u: RunA2U, tmp_path: Path, shut: str, where: str
) -> None:
    mask(tmp_path / "mattes" / "x.png"), mask(tmp_path / "truth" / "x.png")
    trimap(tmp_path / "trimap" / "x.png")
    (tmp_path / where / "shut").mkdir()
    if where != "trimap":
        (tmp_path / where / "y.psd").write_bytes(b"8BPS")
    reports = [f"--{kind}={tmp_path / kind}" for kind in ("json", "csv", "html")]
    found = a2u("eval", tmp_path / "mattes", "--gt", tmp_path / "truth", *reports)
    texts = [found.stdout.decode(), *((tmp_path / k).read_text() for k in ("json", "csv", "html"))]
    files = ["shut"] if where == "trimap" else ["shut", "y.psd"]
    assert found.code == 1
    assert f"1 scored, 0 failed, 0 missing, 0 extra, {len(files)} left out" in texts[0]
    assert json.loads(texts[1])["counts"] == {
        "scored": 1,
        "failed": 0,
        "missing": 0,
        "extra": 0,
        "left out": len(files),
    }
    for text in texts:
        assert all(str(tmp_path / where / file) in text for file in files)
        assert shut in text


def test_a_page_tells_of_each_picture_what_was_taken_and_which_trimap_scored(
    a2u: RunA2U, tmp_path: Path
) -> None:
    mask(tmp_path / "mattes" / "x.png"), trimap(tmp_path / "trimap" / "x.png")
    cut = np.dstack([np.zeros((12, 16, 3)), np.linspace(0, 1, 16)[None].repeat(12, 0)])
    Image.fromarray((cut * 255).astype(np.uint8)).save(tmp_path / "truth.png")
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth.png").rename(tmp_path / "truth" / "x.png")
    reports = [f"--{kind}={tmp_path / kind}" for kind in ("json", "csv", "html")]
    found = a2u("eval", tmp_path / "mattes", "--gt", tmp_path / "truth", *reports)
    assert found.code == 0, found.stdout
    for kind in ("json", "csv", "html"):
        text = (tmp_path / kind).read_text()
        assert "its transparency is taken, not its colours" in text
        assert str(tmp_path / "trimap" / "x.png") in text


def test_links_that_lead_nowhere_are_named(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "x")
    (tmp_path / "day1").symlink_to("../gone")
    (tmp_path / "round").symlink_to("round")
    found = a2u("batch", tmp_path)
    assert last(found) == "1 done, 0 skipped, 0 failed, 0 without a trimap, 2 left out"
    for name in ("day1", "round"):
        assert f"left out: {tmp_path / name}: its link leads nowhere" in found.stderr


@pytest.mark.parametrize(
    ("start", "is_picture"),
    [
        (b"RIFF\x10\0\0\0WEBPVP8 ", True),
        (b"\0\0\0\x18ftypheic\0\0\0\0", True),
        (b"BM6\0\0\0\0\0\0\0\x36\0\0\0", True),
        (b"BMI of all patients", False),
        (b"\0\0\0\x18ftypisom\0\0\0\0", False),
        (b"", False),
    ],
)
def test_a_picture_under_another_name_is_known_by_its_start(
    tmp_path: Path, start: bytes, is_picture: bool
) -> None:
    put(tmp_path, "x")
    (tmp_path / "y.dat").write_bytes(start)
    found = find_pairs(tmp_path)
    assert found.left_out == (
        ((tmp_path / "y.dat", "a2u reads no such files"),) if is_picture else ()
    )


def test_where_trimaps_and_masks_came_from_is_said(a2u: RunA2U, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    put(folder, "beside")
    for name in ("one", "two", "three"):
        photo(folder / f"{name}.png")
    trimap(folder / "trimaps" / "one.png"), trimap(folder / "trimaps" / "two_trimap.png")
    mask(folder / "three-mask.png"), photo(folder / "alone.png")
    (folder / "raw.nef").touch()
    sources = {
        f"trimaps from {folder / 'trimaps'}": 2,
        "trimaps beside the pictures (_trimap)": 1,
        "masks beside the pictures (-mask)": 1,
    }
    said = [f"{source}: {count}" for source, count in sources.items()]
    rest = [
        {"name": str(folder / "alone.png"), "state": "unpaired", "reason": "no trimap or mask"},
        {"name": str(folder / "raw.nef"), "state": "left out", "reason": "a2u reads no such files"},
    ]
    plan = a2u("batch", folder, "--dry-run", "--json")
    assert plan.code == 0 and set(said) <= set(plan.stderr.splitlines())
    facts = json.loads(plan.stdout)
    assert (facts["sources"], facts["not_matted"]) == (sources, rest)
    found = a2u("batch", folder, "--band", "2", "--json")
    assert set(said) <= set(found.stderr.splitlines())
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert rows[-2:] == rest
    hints = {row["name"]: row.get("trimap", row.get("mask")) for row in rows[:-2]}
    assert hints["two"] == str(folder / "trimaps" / "two_trimap.png")
    assert hints["three"] == str(folder / "three-mask.png")
    found = a2u("cutout", folder)
    assert f"mattes from {folder / 'a2u_output' / 'alpha'}: 4" in found.stderr.splitlines()


def test_a_trimap_of_nothing_in_a_folder_given_below_the_pictures_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "x.png")
    for name in ("x", "gone"):
        trimap(tmp_path / "hints" / f"{name}.png")
    for given in (tmp_path / "hints", tmp_path / ".." / tmp_path.name / "hints"):
        found = find_pairs(tmp_path, trimaps=given)
        assert [pair.hint for pair in found.found] == [tmp_path / "hints" / "x.png"]
        assert [path for path, _ in found.left_out] == [tmp_path / "hints" / "gone.png"]


def test_results_behind_links_are_no_pictures(a2u: RunA2U, tmp_path: Path) -> None:
    """Neither in an output folder that is linked, nor where a folder in that is a link."""
    put(tmp_path / "photos", "x")
    (tmp_path / "far").mkdir()
    (tmp_path / "photos" / "out").symlink_to("../far")
    (tmp_path / "photos" / "disk").mkdir()
    (tmp_path / "photos" / "in").mkdir()
    (tmp_path / "photos" / "in" / "alpha").symlink_to("../disk")
    for out in ("out", "in"):
        for end in ("1 done, 0 skipped", "0 done, 1 skipped"):
            found = a2u("batch", tmp_path / "photos", "-o", tmp_path / "photos" / out)
            assert (found.code, last(found)) == (0, f"{end}, 0 failed, 0 without a trimap")


def test_training_passes_no_folder_by_and_takes_no_hidden_file(tmp_path: Path, shut: str) -> None:
    photo(tmp_path / "far" / "x.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "day1").symlink_to("../far")
    for name in ("._x.png", "y.png"):
        photo(tmp_path / "set" / name)
    assert [path.name for path in list_pictures(tmp_path / "set")] == ["x.png", "y.png"]
    assert [path.name for path in list_backgrounds(str(tmp_path / "set"))] == ["y.png"]
    (tmp_path / "set" / "shut").mkdir()
    with pytest.raises(ImageError, match=re.escape(shut)):
        list_pictures(tmp_path / "set")


def find(folder: Path, **places: Path) -> tuple[set[str], set[str]]:
    """List the names of the pictures to matte, and the files that have to be named."""
    pairs = find_pairs(folder, **places)
    rest = (*pairs.unpaired, *(path for path, _ in pairs.left_out))
    return {pair.name for pair in pairs.found}, {str(path.relative_to(folder)) for path in rest}


@pytest.mark.parametrize("place", ["in/trimap", "in/trimaps", "trimap", "given", "in/given"])
def test_names_like_roles_are_pictures_wherever_their_trimaps_lie(
    tmp_path: Path, place: str
) -> None:
    names = {"dog", "dog_alpha", "sub/dog_mask", "sub/dog"}
    for name in names:
        photo(tmp_path / "in" / f"{name}.png")
        trimap(tmp_path / place / f"{name}.png")
    places = {"trimaps": tmp_path / place} if "given" in place else {}
    assert find(tmp_path / "in", **places) == (names, set())


@pytest.mark.parametrize("name", ["src", "images", "bg", "gt", "alpha", "fg"])
@pytest.mark.parametrize("others", [("x",), ()])
def test_a_subfolder_named_like_a_role_hides_nothing_beside_trimaps(
    tmp_path: Path, name: str, others: tuple[str, ...]
) -> None:
    names = {f"{name}/y", f"{name}/sub/z", *others}
    for each in names:
        photo(tmp_path / f"{each}.png")
        trimap(tmp_path / "trimap" / f"{each}.png")
    assert find(tmp_path) == (names, set())


def test_a_folder_of_a_role_may_itself_be_named_like_one(tmp_path: Path) -> None:
    put(tmp_path, "gt/a")
    mask(tmp_path / "alpha" / "gt" / "a.png")  # what a run makes, or somebody by hand
    assert find(tmp_path) == ({"gt/a"}, set())


def test_a_matte_of_another_folder_belongs_to_no_picture_of_its_name(tmp_path: Path) -> None:
    photo(tmp_path / "image" / "x.png")
    for name in ("trimap/x", "alpha/x", "alpha/sub/x"):
        trimap(tmp_path / f"{name}.png")
    assert find(tmp_path) == ({"x"}, {"alpha/sub/x.png"})


@pytest.mark.parametrize("place", [".", "..", "to"])
def test_trimaps_in_a_folder_above_the_pictures_hide_none(tmp_path: Path, place: str) -> None:
    """Neither where that was named, nor where a link of a role's name leads there."""
    photo(tmp_path / "photos" / "in" / "x.png")
    trimap(tmp_path / "photos" / "x.png"), trimap(tmp_path / "x.png")
    if place == "to":
        (tmp_path / "photos" / "in" / "trimap").symlink_to("..")
        assert find(tmp_path / "photos" / "in") == ({"x"}, set())
    else:
        given = tmp_path / "photos" / place
        assert find(tmp_path / "photos" / "in", trimaps=given) == ({"x"}, set())


@pytest.mark.parametrize("above", ["", "sets/one/"])
def test_what_a_folder_of_trimaps_holds_belongs_to_pictures_by_its_path_there(
    tmp_path: Path, above: str
) -> None:
    """`trimap_lowres` has folders of its own; one that was given may lie at any depth."""
    photo(tmp_path / "image" / "x.png")
    places = [f"{above}hints"] if above else [f"trimap_lowres/Trimap{n}" for n in (1, 2, 3)]
    for place in places:
        trimap(tmp_path / place / "x.png"), trimap(tmp_path / place / "x_trimap.png")
    given = {"trimaps": tmp_path / places[0]} if above else {}
    (tmp_path / places[0] / "x.png").unlink()
    assert find(tmp_path, **given) == ({"x"}, set())
