"""A program that uses the library as others do: it is type-checked with everything else."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from a2u_cli import (
    A2UError,
    Matter,
    composite,
    estimate_foreground,
    load_model,
    matte,
    read_image,
    read_trimap,
    score,
    write_image,
)
from a2u_cli.metrics import Scores
from a2u_cli.operators import make_pair
from a2u_cli.trimap import make_trimap


def cut_out(photo: Path, hint: Path, result: Path) -> npt.NDArray[np.float32]:
    """Cut a picture out and put it on white."""
    picture = read_image(photo)
    trimap: npt.NDArray[np.uint8] = read_trimap(hint)
    try:
        matter = Matter("a2u-open", quality="best", max_memory="2GB")
        foreground, alpha = matter.cut_out(picture.image, trimap)
    except A2UError as error:
        raise SystemExit(error.exit_code) from error
    write_image(result, foreground, alpha=alpha, depth=16, icc=picture.icc)
    return composite(foreground, alpha, np.ones_like(picture.image))


def foreground_of(photo: Path, hint: Path) -> npt.NDArray[np.float32]:
    """Do the same step by step, with a network to hold."""
    image = read_image(photo).image
    return estimate_foreground(image, matte(load_model(), image, read_trimap(hint)))


def judge(alpha: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Score a matte over the band around its edges."""
    trimap = make_trimap(truth, inside=8, outside=8)
    levels = [np.rint(255 * plane).astype(np.uint8) for plane in (alpha, truth)]
    scores: Scores = score(levels[0], levels[1], trimap)
    return scores.sad


def parameters(name: str) -> int:
    """Count what an operator learns."""
    return sum(p.numel() for p in make_pair(name, 64).parameters())
