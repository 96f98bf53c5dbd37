"""`a2u explain`: what it shows is what the network does, and the page holds all of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RunA2U, sane_network

from a2u_cli import cli
from a2u_cli.errors import A2UError
from a2u_cli.images import read_image, write_image
from a2u_cli.matting import explain, explain_page
from a2u_cli.matting.explain_page import Shown
from a2u_cli.matting.kernels import Kernels, see_fixed, see_kernels
from a2u_cli.operators.affinity import upsample
from a2u_cli.weights import save_weights


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


def test_kernels_of_bilinear_and_nearest_double_as_they_do() -> None:
    x = torch.rand(1, 2, 5, 6)
    for name in ("bilinear", "nearest"):
        kernels = torch.from_numpy(see_fixed(name)[0].up).repeat(1, 5, 6)[None]  # (1, 9, 10, 12)
        full = torch.nn.functional.interpolate(x, scale_factor=2, mode=name)
        inner = (..., slice(2, -2), slice(2, -2))  # at the edge bilinear repeats the last pixel
        torch.testing.assert_close(upsample(x, kernels)[inner], full[inner])


def test_kernels_of_carafe_are_those_that_the_network_uses() -> None:
    network, (image, trimap) = sane_network(operator="carafe"), sample(32, 48)
    seen = see_kernels(network, image, trimap)
    assert [one.up.shape for one in seen] == [(25, 32 // s, 48 // s) for s in (1, 2, 4, 8)]
    assert all(one.down is None is one.affinity for one in seen)
    np.testing.assert_allclose(seen[0].up.sum(0), 1, atol=1e-5)
    with pytest.raises(A2UError, match="operator carafe has no affinity to draw; --html"):
        explain.look(network, image, trimap)


def test_an_operator_without_kernels_is_refused() -> None:
    network = sane_network(operator="unpooling")
    with pytest.raises(A2UError, match="operator unpooling has no kernels that all channels share"):
        see_kernels(network, *sample(16, 16))


def test_a_page_to_click_on_stays_small(rng: np.random.Generator) -> None:
    side = explain_page.side_for((500, 400), 2)
    height, width = side, round(0.8 * side)
    image, trimap = rng.random((height, width, 3), np.float32), np.full((height, width), 128, "u1")

    def noise(taps: int, scale: int) -> np.ndarray:
        return rng.random((taps, -(-height // scale), -(-width // scale)), np.float32)

    kernels = [Kernels(noise(25, 2**stage)) for stage in range(4)]  # noise is not compressed
    shown = [Shown(f"carafe {number}", kernels, image[..., 0]) for number in range(2)]
    page = explain_page.write_page(image, trimap, shown, title="<a> & b")
    assert 0.5 * explain_page.MOST < len(page) < explain_page.MOST
    assert b"&lt;a&gt; &amp; b" in page
    assert explain_page.side_for((30_000, 2), 1) == explain_page.SIDE


def test_the_command_writes_a_page_to_click_on(tmp_path: Path, run_a2u: RunA2U) -> None:
    image, trimap = sample(32, 48)
    write_image(tmp_path / "p.png", image)
    write_image(tmp_path / "t.png", trimap)
    for name in ("nearest", "indexnet"):
        path = tmp_path / f"{name}.safetensors"
        save_weights(sane_network(operator=name), path, licence="x", source="y")
    inputs = ("explain", tmp_path / "p.png", "-t", tmp_path / "t.png")
    html = ("--html", tmp_path / "look.html")
    nearest, both = (("--weights", name) for name in (tmp_path / "nearest.safetensors", "a2u-open"))
    done = run_a2u(*inputs, *html, *nearest, *both)
    assert (done.code, done.stdout.decode().strip()) == (0, str(tmp_path / "look.html"))
    page = (tmp_path / "look.html").read_text()
    assert page.count('"name":') == 3 and page.count('"matte":"data:') == 2  # and bilinear without
    assert "http" not in page.replace("http-equiv", "")
    words = {
        (): "exists",
        ("--force", "-o", "x.png"): "--output would do nothing",
        ("--force", "--weights", tmp_path / "indexnet.safetensors"): "has no kernels that",
    }
    for more, said in words.items():
        done = run_a2u(*inputs, *html, *more)
        assert done.code == 2 and said in done.stderr and "Traceback" not in done.stderr
    done = run_a2u(*inputs, *nearest, *both)
    assert done.code == 2 and "a picture shows one operator; add --html" in done.stderr
