"""Mistakes of other tools that no other test here would catch.

Elsewhere: one name in two folders, an unreadable picture in a folder, half-written outputs
(test_folder); RGBA, grey and JPEG trimaps (test_trimap); EXR (test_optional_formats); devices that
are not there (test_cli); small sides (test_inference).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RunA2U
from PIL import Image

from a2u_cli.errors import A2UError
from a2u_cli.images import write_image
from a2u_cli.matting.planning import Plan
from a2u_cli.matting.streaming import pad_to_stride, stream
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork


@pytest.mark.usefixtures("environment")
def test_a_run_whose_every_picture_fails_fails(
    run_a2u: RunA2U, weights: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(b"no picture")
        write_image(tmp_path / f"{name}_trimap.png", np.full((8, 8), 128, np.uint8))
    run = run_a2u("batch", str(tmp_path), "--weights", str(weights))
    assert run.code == 1, run.stderr
    assert run.stderr.splitlines()[-1].startswith("0 done, 0 skipped, 2 failed")


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF")])
def test_a_file_is_what_its_name_says(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"matte.{suffix}"
    write_image(path, np.zeros((8, 8), np.float32))
    with Image.open(path) as picture:
        assert picture.format == kind


def test_a_side_that_is_divisible_is_not_padded() -> None:
    assert pad_to_stride(np.zeros((32, 48))).shape == (32, 48)
    assert pad_to_stride(np.zeros((33, 48))).shape == (48, 48)


def test_a_tile_that_fails_is_no_other_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    network = fold_norms(MattingNetwork().eval())
    calls = iter(range(99))
    head = network.head.forward

    def failing(*tensors: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise A2UError("this tile")
        return head(*tensors, **options)

    monkeypatch.setattr(network.head, "forward", failing)
    image, trimap = np.zeros((96, 96, 3), np.float32), np.full((96, 96), 128, np.uint8)
    with torch.inference_mode(), pytest.raises(A2UError, match="this tile"):
        stream(network, image, trimap, Plan((32, 32)))
