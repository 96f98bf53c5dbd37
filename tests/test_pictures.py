"""Packs: pictures come back as square arrays, from a file as from a folder."""

from pathlib import Path

import numpy as np
import pytest

from a2u_cli import images
from a2u_cli.errors import ImageError
from a2u_cli.training.data import pictures as pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[:80, :60] / np.float32(80)
    colour = np.dstack([rows, columns, 0.5 + 0 * rows]).astype(np.float32)
    alpha = np.clip(3 - 8 * np.hypot(rows - 0.5, columns - 0.4), 0, 1).astype(np.float32)
    images.write_image(tmp_path / "pictures/fg/a.png", np.dstack([colour, alpha]))
    images.write_image(tmp_path / "pictures/bg/b.jpg", colour)
    return tmp_path / "pictures"


def test_a_pack_gives_what_its_folder_gives(folder: Path, tmp_path: Path) -> None:
    size = pack.build_pack(folder, tmp_path / "p.npz")
    assert size == (tmp_path / "p.npz").stat().st_size
    for packed, plain in zip(*map(pack.read_pictures, (tmp_path / "p.npz", folder)), strict=True):
        decode = pack.decode_photograph if packed[0][:2] == b"\xff\xd8" else pack.decode_cut_out
        decoded, expected = decode(packed[0], 64), decode(plain[0], 64)
        assert decoded.dtype == np.uint8
        assert decoded.shape == expected.shape
        assert np.abs(decoded.astype(int) - expected).mean() < 4


def test_a_cut_out_stands_whole_in_a_square_with_colour_everywhere(folder: Path) -> None:
    square = pack.decode_cut_out((folder / "fg/a.png").read_bytes(), 64)
    assert square.shape == (64, 64, 4)
    assert not square[:, :4, 3].any()
    assert square[32, 32, 3] == 255
    assert (square[:, 0, 2] > 100).all()  # blue is 0.5 all over


def test_large_photographs_are_packed_small(tmp_path: Path) -> None:
    images.write_image(tmp_path / "in/bg/b.png", np.full((600, 700, 3), 0.5, np.float32))
    images.write_image(tmp_path / "in/fg/a.png", np.full((8, 8, 4), 0.5, np.float32))
    pack.build_pack(tmp_path / "in", tmp_path / "p.npz")
    (photograph,) = pack.read_pictures(tmp_path / "p.npz")[1]
    assert images.read_image(photograph).size == (512, 597)


def test_a_foreground_without_alpha_is_refused(tmp_path: Path) -> None:
    for kind in ("fg", "bg"):
        images.write_image(tmp_path / kind / "a.png", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ImageError, match="no alpha channel"):
        pack.build_pack(tmp_path, tmp_path / "p.npz")


def test_a_file_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.npz").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="no pack"):
        pack.read_pictures(tmp_path / "p.npz")


def test_rendered_pictures_hang_on_seed_and_number() -> None:
    first = pack.render_cut_out(0, 1, 48)
    assert first.shape == (48, 48, 4)
    np.testing.assert_array_equal(first, pack.render_cut_out(0, 1, 48))
    assert not np.array_equal(first, pack.render_cut_out(0, 2, 48))
    assert pack.render_scene(0, 1, 48).shape == (48, 48, 3)
