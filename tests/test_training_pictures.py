"""Pictures to train on: of folders, drawn, rendered; kept on disk, and the same from there."""

from pathlib import Path

import numpy as np
import pytest

from a2u_cli import images
from a2u_cli.errors import A2UError, ImageError
from a2u_cli.rendering.sets import encode_webp, orders_of, plan_set, render_set
from a2u_cli.training.data import pictures
from a2u_cli.training.data.folders import LONGEST, list_foregrounds, read_foreground
from a2u_cli.training.data.planes import fill_colours, to_floats


@pytest.fixture
def disc() -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    return np.clip(30.5 - np.hypot(rows - 48, columns - 48), 0, 1).astype(np.float32)


def test_a_drawing_hangs_on_seed_and_number_and_is_drawn_once(tmp_path: Path, monkeypatch) -> None:
    first, second = pictures.drawn_foregrounds(2, 0, tmp_path, side=48)
    drawn = first.read()
    assert drawn.shape == (48, 48, 4)
    assert not np.array_equal(drawn, second.read())
    (other, _), scenes = (
        pictures.drawn_foregrounds(2, 1, tmp_path, side=48),
        pictures.drawn_scenes(1, 0, tmp_path, side=48),
    )
    assert not np.array_equal(drawn, other.read())
    assert scenes[0].read().shape == (48, 48, 3)
    monkeypatch.setattr(pictures.drawing, "render_foreground", None)  # nothing is drawn again
    np.testing.assert_array_equal(drawn, first.read())


def test_what_is_kept_has_its_alpha_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 4), dtype=np.uint8)
    pixels[..., :3] = 100  # noise in colour is not kept
    kept = pictures.decode(encode_webp(pixels, pictures.FOREGROUND_QUALITY))
    np.testing.assert_array_equal(kept[..., 3], pixels[..., 3])
    assert np.abs(kept[..., :3].astype(int) - 100).max() <= 3


def test_renders_are_read_or_rendered_when_they_are_due(tmp_path: Path) -> None:
    plan = plan_set(3, 5, kinds=("hard",), size=32)
    list(render_set(tmp_path, plan[:1]))
    assert orders_of(tmp_path) == plan[:1]
    found = pictures.rendered_foregrounds(tmp_path, plan[:2])
    assert [picture.name for picture in found] == ["hard_000005", "hard_000006"]
    assert found[1].read().shape == (32, 32, 4)
    assert (tmp_path / "hard_000006.webp").is_file()
    with pytest.raises(A2UError, match="not of all kinds in turn, so 3 cannot be gone on to"):
        orders_of(tmp_path, 3)


def test_more_renders_than_are_there_follow_their_plan(tmp_path: Path) -> None:
    plan = plan_set(4, 7, size=32)
    list(render_set(tmp_path, [order for order in plan[:4] if order.kind != "glass"][:1]))
    assert orders_of(tmp_path, 4) == plan


def test_a_pack_is_small_and_gives_what_its_folder_gives(tmp_path: Path, disc) -> None:
    colour = np.full((96, 96, 3), 0.4, np.float32)
    images.write_image(tmp_path / "in/fg/a.png", np.dstack([colour, disc]))
    images.write_image(tmp_path / "in/bg/b.png", np.full((60, 70, 3), 0.5, np.float32))
    size = pictures.build_pack(tmp_path / "in", tmp_path / "out", side=48)
    assert size < 10_000
    (cut_out,) = pictures.foregrounds_of(tmp_path / "out/fg", tmp_path / "cache")
    (photograph,) = pictures.photographs_of(tmp_path / "out/bg")
    assert cut_out.read().shape == (48, 48, 4)
    assert photograph.read().shape == (41, 48, 3)
    assert np.abs(photograph.read().astype(int) - 128).max() <= 3


def test_colours_are_continued_where_nothing_is_seen(disc) -> None:
    colour = np.zeros((96, 96, 3), np.float32)
    colour[disc > 0] = [0.8, 0.3, 0.1]
    filled = fill_colours(colour, disc)
    np.testing.assert_allclose(filled, np.broadcast_to([0.8, 0.3, 0.1], filled.shape), atol=0.02)


def test_a_picture_larger_than_crops_can_use_is_held_smaller(tmp_path: Path) -> None:
    images.write_image(tmp_path / "a.png", np.full((60, 2 * LONGEST, 4), 0.5, np.float32))
    assert read_foreground(tmp_path / "a.png").shape == (30, LONGEST, 4)


def test_foregrounds_may_have_their_alpha_in_a_file_of_its_own(tmp_path: Path) -> None:
    image, alpha = np.full((12, 16, 3), 0.5, np.float32), np.zeros((12, 16), np.float32)
    alpha[:, 8:], alpha[:, 6:8] = 1.0, 0.5
    images.write_image(tmp_path / "beside/cat.png", image)
    images.write_image(tmp_path / "beside/cat_alpha.png", alpha)
    images.write_image(tmp_path / "beside/dog.png", np.dstack([image, alpha]))
    for role, plane in (("image", image), ("alpha", alpha)):
        images.write_image(tmp_path / f"roles/{role}/cat.png", plane)
    cat, dog = list_foregrounds(tmp_path / "beside")
    assert [path and path.name for path in (*cat, *dog)] == [
        "cat.png",
        "cat_alpha.png",
        "dog.png",
        None,
    ]
    (pair,) = list_foregrounds(tmp_path / "roles")
    for files in (cat, dog, pair):
        planes = to_floats(read_foreground(*files))
        np.testing.assert_allclose(planes[..., 3], alpha, atol=1 / 255)
        np.testing.assert_allclose(planes[..., :3], 0.5, atol=2 / 255)
    images.write_image(tmp_path / "roles/image/alone.png", image)
    with pytest.raises(ImageError, match=r"alone\.png has no alpha in"):
        list_foregrounds(tmp_path / "roles")


def test_a_foreground_without_alpha_is_refused(tmp_path: Path) -> None:
    images.write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ImageError, match="no alpha channel"):
        read_foreground(tmp_path / "a.png")
