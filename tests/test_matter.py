"""One object from weights to mattes: what it says of itself, and that threads may share it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sane_network

from a2u_cli import Matter, matte
from a2u_cli.errors import A2UError, WeightsError
from a2u_cli.weights import load_model, save_weights
from a2u_cli.weights.cache import sha256_of

Array = np.ndarray


@pytest.fixture(scope="module")
def matter(weights: Path) -> Matter:
    return Matter(weights, device="cpu")


def picture(seed: int, size: tuple[int, int] = (60, 75)) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    trimap = np.full(size, 128, np.uint8)
    trimap[:, :10], trimap[:, -10 - seed :] = 255, 0
    return rng.random((*size, 3), np.float32), trimap


def switches() -> list[object]:
    backends = torch.backends
    owners = (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv)
    precisions = [owner.fp32_precision for owner in (*owners, backends.mkldnn.matmul, backends)]
    return [*precisions, backends.cudnn.enabled, backends.mkldnn.enabled, torch.get_num_threads()]


def test_it_says_what_it_is(matter: Matter, weights: Path) -> None:
    assert matter.weights == str(weights)
    assert matter.sha256 == sha256_of(weights)
    assert (matter.device.type, matter.dtype_name, matter.quality) == ("cpu", "float32", "fast")
    assert str(matter).startswith("cpu (") and str(matter).endswith(", float32")
    assert "one piece" in str(matter.plan((60, 75)))


def test_it_gives_what_the_function_gives(matter: Matter, weights: Path) -> None:
    image, trimap = picture(1)
    expected = matte(load_model(weights), image, trimap)
    assert matter.matte(image, trimap).tobytes() == expected.tobytes()
    foreground, alpha = matter.cut_out(image, trimap)
    assert alpha.tobytes() == expected.tobytes()
    assert foreground.shape == image.shape and foreground.dtype == np.float32


def test_eight_threads_get_the_bytes_of_one(matter: Matter) -> None:
    pictures = [picture(seed, (48 + 8 * seed, 75)) for seed in range(8)]
    before = switches()
    expected = [matter.matte(*pair).tobytes() for pair in pictures]
    together = Barrier(8)

    def call(pair: tuple[Array, Array]) -> bytes:
        together.wait()
        return matter.matte(*pair).tobytes()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(call, pictures)) == expected
    assert switches() == before


def test_several_live_in_one_process(matter: Matter, weights: Path) -> None:
    image, trimap = picture(2)
    expected = matter.matte(image, trimap)
    half = Matter(weights, device="cpu", dtype="bfloat16")
    assert np.abs(half.matte(image, trimap) - expected).mean() < 0.03
    assert matter.matte(image, trimap).tobytes() == expected.tobytes()


def test_what_cannot_be_had_is_refused(weights: Path) -> None:
    with pytest.raises(A2UError, match="device 'tpu' is unknown"):
        Matter(weights, device="tpu")
    with pytest.raises(A2UError, match="quality 'great' is unknown"):
        Matter(weights, quality="great")  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="no weights 'nowhere'"):
        Matter("nowhere")
    with pytest.raises(A2UError, match="--max-memory 'much' is no amount"):
        Matter(weights, max_memory="much")


def test_a_bound_is_kept_as_bytes_or_words(weights: Path) -> None:
    assert Matter(weights, device="cpu", max_memory="2GB").max_memory == 2_000_000_000
    assert Matter(weights, device="cpu", max_memory=1 << 31).max_memory == 1 << 31


def test_the_weights_say_which_quality_is_auto(tmp_path: Path) -> None:
    for told, expected in {"refined": "refined", "best": "best", "": "fast"}.items():
        path = tmp_path / f"{told}.safetensors"
        save_weights(sane_network(), path, licence="CC0", source="test", quality=told)
        assert Matter(path, device="cpu").quality == expected
        assert Matter(path, device="cpu", quality="fast").quality == "fast"
    save_weights(sane_network(), path, licence="CC0", source="test", quality="sublime")
    with pytest.raises(A2UError, match="quality 'sublime' is unknown"):
        Matter(path, device="cpu")


def test_the_weights_that_ship_are_refined() -> None:
    assert Matter(device="cpu").quality == "refined"


@pytest.mark.parametrize("size", [(60, 75), (240, 300)])  # in one piece, and by windows
@pytest.mark.parametrize("quality", ["fast", "refined", "best"])
def test_the_processs_defaults_do_not_reach_a_matte(
    weights: Path, quality: Any, size: tuple[int, int]
) -> None:
    image, trimap = picture(3, size)
    trimap[: size[0] // 2] = 255
    expected = Matter(weights, device="cpu", quality=quality).cut_out(image, trimap)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        result = Matter(weights, device="cpu", quality=quality).cut_out(image, trimap)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert [array.tobytes() for array in result] == [array.tobytes() for array in expected]
