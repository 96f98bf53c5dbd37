"""Samples: pure functions of their request, well-posed, with what a trimap promises."""

import io
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from a2u_cli import images
from a2u_cli.errors import ImageError
from a2u_cli.training.data.folders import LONGEST, HeldPictures, list_foregrounds, read_foreground
from a2u_cli.training.data.planes import fill_colours, over, to_floats, window
from a2u_cli.training.data.samples import Request, SampleSource, draw_trimap, jpeg, well_posed


@pytest.fixture(scope="module")
def samples() -> list:
    source = SampleSource(seed=1, render_size=192)
    return [source[Request(n, 64, progress)] for progress in (0.0, 1.0) for n in range(12)]


@pytest.fixture
def disc() -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    return np.clip(30.5 - np.hypot(rows - 48, columns - 48), 0, 1).astype(np.float32)


def test_a_sample_is_a_pure_function_of_seed_and_request(samples) -> None:
    again = SampleSource(seed=1, render_size=192)[Request(3, 64, 0.0)]
    for field in ("image", "trimap", "alpha", "foreground", "background"):
        np.testing.assert_array_equal(getattr(samples[3], field), getattr(again, field))
    other = SampleSource(seed=2, render_size=192)[Request(3, 64, 0.0)]
    assert not np.array_equal(other.image, again.image)


def test_planes_have_the_stated_kinds_and_ranges(samples) -> None:
    for sample in samples:
        for colour in (sample.image, sample.foreground, sample.background):
            assert colour.shape == (64, 64, 3)
            assert colour.dtype == np.float32
            assert 0 <= colour.min() <= colour.max() <= 1
        assert sample.alpha.shape == (64, 64)
        assert sample.alpha.dtype == np.float32
        assert 0 <= sample.alpha.min() <= sample.alpha.max() <= 1
        assert set(np.unique(sample.trimap)) <= {0, 128, 255}


def test_known_pixels_are_nearly_solid_or_nearly_empty(samples) -> None:
    for sample in samples:
        assert (sample.alpha[sample.trimap == 255] >= 0.96).all()
        assert (sample.alpha[sample.trimap == 0] <= 0.04).all()


def test_early_samples_can_be_solved_from_themselves(samples) -> None:
    assert np.mean([well_posed(sample.trimap) for sample in samples[:12]]) >= 0.9


def test_a_source_travels_to_worker_processes() -> None:
    source = pickle.loads(pickle.dumps(SampleSource(seed=5, render_size=96)))
    assert source[Request(0, 32, 0.0)].image.shape == (32, 32, 3)


def test_bands_reach_as_far_as_asked(disc) -> None:
    trimap = draw_trimap(disc, 8.0, np.random.default_rng(0))
    assert ((disc > 0.05) & (disc < 0.95) <= (trimap == 128)).all()
    assert trimap[48, 48] == 255
    assert trimap[0, 0] == 0


def test_colours_are_continued_where_nothing_is_seen(disc) -> None:
    colour = np.zeros((96, 96, 3), np.float32)
    colour[disc > 0] = [0.8, 0.3, 0.1]
    filled = fill_colours(colour, disc)
    np.testing.assert_allclose(filled, np.broadcast_to([0.8, 0.3, 0.1], filled.shape), atol=0.02)


def test_one_foreground_over_another_composites_as_both(disc) -> None:
    front = (np.full((96, 96, 3), 0.9, np.float32), disc * 0.5)
    back = (np.full((96, 96, 3), 0.2, np.float32), np.roll(disc, 20, 1))
    colour, alpha = over(front, back)
    base = 0.6
    expected = 0.2 * back[1] + base * (1 - back[1])
    expected = 0.9 * front[1] + expected * (1 - front[1])
    np.testing.assert_allclose(colour[..., 0] * alpha + base * (1 - alpha), expected, atol=2e-3)


def test_a_window_within_the_picture_is_a_plain_cut() -> None:
    plane = np.arange(400, dtype=np.float32).reshape(20, 20)
    cut = window(plane, np.array([10.0, 10.0]), 8.0, 8)
    np.testing.assert_allclose(cut, plane[6:14, 6:14])


def test_folders_of_pictures_are_used(tmp_path: Path, disc) -> None:
    fg, bg = tmp_path / "fg", tmp_path / "bg"
    colour = np.full((96, 96, 3), 0.7, np.float32)
    images.write_image(fg / "a.png", np.dstack([colour, disc]))
    images.write_image(bg / "b.jpg", np.full((80, 60, 3), 0.3, np.float32))
    source = SampleSource(foregrounds=fg, backgrounds=bg, picture_share=1.0)
    sample = source[Request(0, 48, 1.0)]
    assert sample.image.shape == (48, 48, 3)
    assert (sample.trimap == 128).any()


def test_what_is_held_of_large_pictures_stays_under_its_bound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random((30, 40, 4), np.float32)
    for kind, channels in (("fg", 4), ("bg", 3)):
        for number in range(4):
            picture = cv2.resize(coarse, (400, 300))[..., :channels]
            images.write_image(tmp_path / kind / f"{number}.png", picture)
    bound, one = 1_000_000, 300 * 400 * 4
    source = SampleSource(
        foregrounds=tmp_path / "fg",
        backgrounds=tmp_path / "bg",
        picture_share=1.0,
        held_bytes=bound,
    )
    for number in range(12):
        source[Request(number, 32, 1.0)]
        held = source.held._pictures.values()
        assert {pixels.dtype for pixels in held} == {np.dtype(np.uint8)}
        assert bound - one < sum(pixels.nbytes for pixels in held) <= bound or number < 3


def test_the_picture_not_used_for_longest_goes_first_and_others_are_not_read_again() -> None:
    reads: list[Path] = []

    def read(path: Path) -> np.ndarray:
        reads.append(path)
        return np.full((10, 10, 3), len(reads), np.uint8)

    a, b, c = map(Path, "abc")
    held = HeldPictures(700)
    for path in (a, b, a, c, a):
        held.get(read, path)
    assert reads == [a, b, c]
    held.get(read, b)
    assert reads == [a, b, c, b]
    assert held.held == 600
    assert pickle.loads(pickle.dumps(held)).held == 0, "a worker process begins with none"


def test_a_picture_larger_than_crops_can_use_is_held_smaller(tmp_path: Path) -> None:
    images.write_image(tmp_path / "a.png", np.full((60, 2 * LONGEST, 4), 0.5, np.float32))
    assert read_foreground(tmp_path / "a.png").shape == (30, LONGEST, 4)


def test_a_jpeg_weighs_the_colours_as_a_jpeg_does() -> None:
    """Red and blue have weights of their own, and lose detail apart."""
    image = np.random.default_rng(0).random((32, 32, 3), np.float32)
    image[..., 1:] = 0.0  # red detail: a third of it is luminance; of blue it would be a tenth
    levels = np.rint(image * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "jpeg", quality=90)
    expected = np.asarray(Image.open(buffer), np.float32) / 255
    np.testing.assert_allclose(jpeg(image, 90), expected, atol=0.02)


def test_facts_tell_sources_apart_and_do_not_hang_on_the_place(tmp_path: Path) -> None:
    for place in ("here", "there"):
        images.write_image(tmp_path / place / "a.png", np.full((8, 8, 4), 0.5, np.float32))
    here, there = (SampleSource(foregrounds=tmp_path / name) for name in ("here", "there"))
    assert here.facts() == there.facts()
    images.write_image(tmp_path / "there" / "b.png", np.full((8, 8, 4), 0.5, np.float32))
    assert SampleSource(foregrounds=tmp_path / "there").facts() != here.facts()
    assert SampleSource(foregrounds=tmp_path / "here", seed=1).facts() != here.facts()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures found"):
        SampleSource(backgrounds=tmp_path)


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
