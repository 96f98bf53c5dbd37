"""What ProRes 4444 does to the colours of cut-outs, on rendered clips.

    a2u render runs/clips --clips 5 --frames 24 --size 320
    a2u render runs/clean --clips 5 --frames 24 --size 320 --noise 0,0
    python -m benchmarks.film runs/clips runs/clean

Each clip is written as `a2u sequence --film` writes it, and read back. Errors are in 1023rds,
beside those of rounding RGB to 10-bit YUV alone. A row of each folder goes to the CSV.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from a2u_cli.images import quantise, read_grey, read_image
from a2u_cli.images.film import FilmReader, probe_film, write_film

from . import describe_machine, write_records

RESULTS = Path(__file__).resolve().parent / "results" / "film.csv"
TOP = 1023
RED, BLUE = 0.2126, 0.0722  # shares of BT.709's luma

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """How far a folder's clips are from what was sent, in 1023rds."""

    folder: str
    frames: int
    within_two: float  # percent of the colour values
    largest: float
    mean: float
    rounding_mean: float
    rounding_largest: float
    machine: str


def rounded(rgb: FloatArray) -> FloatArray:
    """Round (H, W, 3) in [0, 1] to BT.709's YUV of 10 bits, luma 64 to 940, and back."""
    luma: FloatArray = rgb @ np.array([RED, 1 - RED - BLUE, BLUE])
    blue, red = ((rgb[..., at] - luma) / (2 * (1 - share)) for at, share in ((2, BLUE), (0, RED)))
    luma, blue, red = np.rint(luma * 876) / 876, np.rint(blue * 896) / 896, np.rint(red * 896) / 896
    r, b = luma + 2 * (1 - RED) * red, luma + 2 * (1 - BLUE) * blue
    return np.clip(np.stack([r, (luma - RED * r - BLUE * b) / (1 - RED - BLUE), b], -1), 0, 1)


def measure(clip: Path) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Give each frame's errors: of the film, and of rounding alone."""
    places = sorted((clip / "image").iterdir())
    images = [read_image(place).image for place in places]
    alphas = (read_grey(clip / "alpha" / place.name) for place in places)
    sent = (
        np.dstack([quantise(image, 16), quantise(alpha, 16)]).astype(np.uint16)
        for image, alpha in zip(images, alphas, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cutout.mov"
        write_film(path, sent, rate="24")
        reader = FilmReader(probe_film(path))
        try:
            for number, image in enumerate(images, 1):
                wide = image.astype(np.float64)
                film = reader.read(number).image
                yield TOP * np.abs(film - wide), TOP * np.abs(rounded(wide) - wide)
        finally:
            reader.close()


def run(
    folders: Annotated[list[Path], typer.Argument(help="Clips rendered by a2u render --clips.")],
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
) -> None:
    """Print and write what became of each folder's clips."""
    rows = []
    for folder in folders:
        clips = sorted(path.parent for path in folder.glob("*/clip.json"))
        film, rounding = zip(*(e for clip in clips for e in measure(clip)), strict=True)
        values = np.concatenate([frame.ravel() for frame in film])
        row = Row(
            *(folder.name, len(film), 100 * float((values <= 2).mean())),
            *(float(values.max()), float(values.mean())),
            *(float(np.mean(rounding)), float(np.max(rounding))),
            describe_machine(),
        )
        typer.echo(row)
        rows.append(row)
    write_records(results, Row, rows)


if __name__ == "__main__":
    typer.run(run)
