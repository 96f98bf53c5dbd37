"""`a2u explain`: what it shows is what the network does, and the page holds all of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sane_network

from a2u_cli import cli
from a2u_cli.images import read_image, write_image
from a2u_cli.matting import explain


def sample(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(7).random((height, width, 3), np.float32)
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 4], trimap[:, -(width // 4) :] = 0, 255
    return image, trimap


def test_the_planes_are_those_that_the_network_uses() -> None:
    network = sane_network()
    image, trimap = sample(32, 48)
    stages = explain.look(network, image, trimap)
    shapes = [stage.affinity.shape for stage in stages]
    assert shapes == [(16, 24), (8, 12), (4, 6), (2, 3)]
    with torch.inference_mode():
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        known = torch.from_numpy(trimap)[None, None].float() / 255
        colours = torch.cat([(x - network.mean) / network.std, known], 1)
        fine = network.stem(colours)
        down, up = network.pair1.generator(fine)
        affinity = network.pair1.generator.affinity(fine)
    np.testing.assert_allclose(stages[0].affinity, affinity[0, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(stages[0].down, down[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(stages[0].up, up[0].numpy(), atol=1e-6)
    assert not network.pair1.generator._forward_hooks


@pytest.mark.parametrize("size", [(32, 48), (37, 20), (16, 16)])
def test_the_page_has_a_row_for_every_stage(size: tuple[int, int]) -> None:
    image, trimap = sample(*size)
    stages = explain.look(sane_network(), image, trimap)
    page = explain.page(image, trimap, trimap.astype(np.float32) / 255, stages)
    assert page.dtype == np.uint8
    assert page.shape[2] == 3
    assert len(stages) == 4
    assert page.shape[0] >= 5 * round(explain.PANEL * size[0] / size[1])


def test_places_lie_in_the_unknown_region_and_apart() -> None:
    trimap = np.zeros((60, 90), np.uint8)
    trimap[10:50, 10:80] = 128
    points = explain.choose_points(trimap)
    assert len(points) == explain.POINTS
    assert all(trimap[row, column] == 128 for row, column in points)
    assert len({(row // 10, column // 10) for row, column in points}) == explain.POINTS
    assert explain.choose_points(np.zeros((6, 9), np.uint8)) == [(3, 4)]


def test_large_pictures_are_brought_down_first() -> None:
    image, trimap = sample(60, 3000)
    small, known = explain.shrink(image, trimap)
    assert small.shape == (20, 1024, 3)
    assert known.shape == (20, 1024)
    assert set(np.unique(known)) <= {0, 128, 255}


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch, capsys) -> None:
    image, trimap = sample(32, 48)
    write_image(tmp_path / "p.png", image)
    write_image(tmp_path / "t.png", trimap)
    arguments = ["a2u", "explain", str(tmp_path / "p.png"), "-t", str(tmp_path / "t.png")]
    monkeypatch.setattr("sys.argv", arguments)
    for code, text in ((0, "p_explained.png"), (2, "exists")):
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert int(caught.value.code or 0) == code
        out, err = capsys.readouterr()
        assert text in (out if code == 0 else err)
    assert read_image(tmp_path / "p_explained.png").image.shape[2] == 3
