"""A program that uses the library as others do: it is type-checked with everything else."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from a2u_cli import A2UError, composite, estimate_foreground, load_model, matte, score
from a2u_cli.images import read_grey, read_image, write_image
from a2u_cli.operators.comparison import make_pair
from a2u_cli.scoring.metrics import Scores
from a2u_cli.trimap import make_trimap, parse_trimap


def cut_out(photo: Path, hint: Path, result: Path) -> npt.NDArray[np.float32]:
    """Matte a picture and put it on white."""
    picture = read_image(photo)
    trimap: npt.NDArray[np.uint8] = parse_trimap(read_grey(hint))
    try:
        alpha = matte(load_model("a2u-open"), picture.image, trimap, quality="best")
    except A2UError as error:
        raise SystemExit(error.exit_code) from error
    foreground = estimate_foreground(picture.image, alpha)
    white = np.ones_like(picture.image)
    write_image(result, np.dstack([foreground, alpha]), depth=16)
    return composite(foreground, alpha, white)


def judge(alpha: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    """Score a matte over the band around its edges."""
    trimap = make_trimap(truth, inside=8, outside=8)
    levels = [np.rint(255 * plane).astype(np.uint8) for plane in (alpha, truth)]
    found: Scores = score(levels[0], levels[1], trimap)
    return found.sad


def parameters(name: str) -> int:
    """Count what an operator learns."""
    return sum(p.numel() for p in make_pair(name, 64).parameters())
