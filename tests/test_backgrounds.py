"""Backgrounds are what their names say, and pictures fill as asked."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from a2u_cli import backgrounds
from a2u_cli.backgrounds import fit_to, make_background
from a2u_cli.errors import ImageError
from a2u_cli.images import write_image

IMAGE = np.random.default_rng(3).random((24, 40, 3), np.float32)


@pytest.mark.parametrize(
    ("what", "colour"),
    [("white", (1, 1, 1)), ("#2040ff", (32 / 255, 64 / 255, 1)), ("rgb(10, 20, 30)", (10, 20, 30))],
)
def test_colours_are_read_as_css_writes_them(what: str, colour: tuple[float, ...]) -> None:
    expected = np.array(colour, np.float32) / (255 if max(colour) > 1 else 1)
    found = make_background(what, IMAGE)
    assert (found.shape, found.dtype) == (IMAGE.shape, np.float32)
    np.testing.assert_allclose(found, np.broadcast_to(expected, IMAGE.shape), atol=1e-6)


def test_gradient_checker_and_blur_are_what_they_say() -> None:
    gradient = make_background("gradient", IMAGE)
    assert (np.diff(gradient[:, 0], axis=0) < 0).all()
    assert np.ptp(gradient, axis=1).max() == 0
    checker = make_background("checker", IMAGE)
    assert len(np.unique(checker)) == 2
    blurred = make_background("blur", IMAGE)
    assert blurred.std() < 0.6 * IMAGE.std()
    assert blurred.mean() == pytest.approx(IMAGE.mean(), abs=0.02)


def test_a_picture_fills_as_asked(tmp_path: Path) -> None:
    left, right = np.zeros((10, 5, 3), np.float32), np.ones((10, 5, 3), np.float32)
    picture = np.concatenate([left, right], 1)  # 10 x 10, black and white halves
    stretched = fit_to(picture, (20, 40), "stretch")
    assert stretched.shape == (20, 40, 3)
    assert stretched[:, :15].max() == 0 and stretched[:, 25:].min() == 1
    covered = fit_to(picture, (20, 40), "cover")  # scaled to 40 x 40, the middle rows
    np.testing.assert_array_equal(covered, fit_to(picture, (40, 40), "stretch")[10:30])
    contained = fit_to(picture, (20, 40), "contain")  # scaled to 20 x 20 between black bars
    assert contained[:, :10].max() == 0 and contained[:, 30:].max() == 0
    np.testing.assert_array_equal(contained[:, 10:30], fit_to(picture, (20, 20), "stretch"))
    tiled = fit_to(picture, (12, 25), "tile")
    np.testing.assert_array_equal(tiled[:10, 10:20], picture)
    np.testing.assert_array_equal(tiled[10:, 20:], picture[:2, :5])
    path = tmp_path / "фон.png"
    write_image(path, picture)
    np.testing.assert_array_equal(
        make_background(str(path), IMAGE), fit_to(picture, (24, 40), "cover")
    )


def test_what_covers_a_thin_picture_is_not_scaled_to_be_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strip = np.random.default_rng(4).random((8, 301, 3), np.float32)
    found = fit_to(strip, (200, 10), "cover")
    monkeypatch.setattr(backgrounds, "BEYOND", 10**9)
    np.testing.assert_allclose(found, fit_to(strip, (200, 10), "cover"), atol=1e-4)
    monkeypatch.undo()
    tracemalloc.start()
    assert fit_to(np.zeros((1, 60_000, 3), np.float32), (60_000, 1), "cover").shape == (
        60_000,
        1,
        3,
    )
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
@pytest.mark.parametrize("fit", ["cover", "contain", "stretch", "tile"])
def test_any_size_is_filled(size: tuple[int, int], fit: str) -> None:
    assert fit_to(IMAGE, size, fit).shape == (*size, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [Image.new("RGB", (3, 2)), torch.zeros(2, 3, 3), None])
def test_what_is_no_array_is_refused_in_words(wrong: Any) -> None:
    for what in ("gradient", "checker", "blur", "white"):
        with pytest.raises(ImageError, match=r"image is a .*, expected a numpy array \(H, W, 3\)"):
            make_background(what, wrong)
    with pytest.raises(ImageError, match=r"picture is a .*, expected a numpy array \(H, W, 3\)"):
        fit_to(wrong, (2, 2), "cover")


def test_what_is_no_background_is_refused() -> None:
    with pytest.raises(ImageError, match="neither a file nor a colour; expected gradient"):
        make_background("missing.png", IMAGE)
    with pytest.raises(ImageError, match="fit 'fill' is unknown; expected cover, contain"):
        fit_to(IMAGE, (2, 2), "fill")  # type: ignore[arg-type]
