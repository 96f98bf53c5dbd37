"""What tests of words share: a failure told in one line, and a pair of files to fail on."""

from pathlib import Path

import numpy as np
from conftest import Run

from a2u_cli.images import write_image

TRACES = ("Traceback", "unexpected", "Exception ignored")


def assert_words(run: Run, *parts: str, code: int = 2) -> None:
    """The last line says what is wrong, in words; nothing is on stdout."""
    assert (run.code, run.stdout) == (code, b""), run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("error: "), run.stderr
    assert not any(trace in run.stderr for trace in TRACES), run.stderr
    for part in parts:
        assert part in last, run.stderr


def pair(folder: Path, name: str = "photo", size: tuple[int, int] = (24, 32)) -> tuple[Path, Path]:
    """Write a picture and its trimap."""
    image, trimap = folder / f"{name}.png", folder / f"{name}_trimap.png"
    greys = np.full(size, 128, np.uint8)
    greys[:, : size[1] // 4], greys[:, -(size[1] // 4) :] = 0, 255
    write_image(image, np.random.default_rng(5).random((*size, 3), np.float32))
    write_image(trimap, greys)
    return image, trimap
