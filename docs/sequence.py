"""Write docs/sequence.jpg: python docs/sequence.py renders a clip first, and takes minutes."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from a2u_cli.images import read_grey, read_image, write_image

PICTURE = Path(__file__).with_suffix(".jpg")
CLIP, SEED, FRAMES, SIDE = "hair_000002", "2", 8, 320
SHOWN = (1001, 1004)  # a key, and a frame whose trimap was carried
BRIGHTER = 4  # times the change from frame to frame, to be seen


def a2u(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "a2u_cli", *map(str, words)], check=True)


def grey(path: Path) -> npt.NDArray[np.float32]:
    return np.repeat(read_grey(path)[..., None], 3, 2)


def sheet(root: Path) -> npt.NDArray[np.float32]:
    """Lay out a row a frame: plate, trimap, matte, composite; then what flickers, and the truth."""
    clip = root / "clips" / CLIP
    keys = root / "keys"
    keys.mkdir()
    for number in (SHOWN[0], 1000 + FRAMES):
        (keys / f"{number}.png").symlink_to(clip / "trimap" / f"{number}.png")
    frames = clip / "image"
    options = ("--trimaps", keys, "--save-trimaps", "--background", "gradient")
    a2u("sequence", frames, *options, "--save", "alpha,composite", "-o", root / "steady")
    a2u("sequence", frames, "--trimaps", keys, "--no-steady", "-o", root / "alone")
    rows = []
    for number in SHOWN:
        trimap = keys if number == SHOWN[0] else root / "steady/trimap"
        name = f"{number}.png"
        plate, over = (read_image(p / name).image for p in (frames, root / "steady/composite"))
        matte = grey(root / "steady/alpha" / name)
        rows.append(np.hstack([plate, grey(trimap / name), matte, over]))
    changes = []
    for way in ("alone", "steady"):
        now, before = (grey(root / way / "alpha" / f"{n}.png") for n in (SHOWN[1], SHOWN[1] - 1))
        truth = [grey(clip / "alpha" / f"{n}.png") for n in (SHOWN[1], SHOWN[1] - 1)]
        changes.append(BRIGHTER * np.abs((now - before) - (truth[0] - truth[1])))
    rows.append(np.hstack([*changes, truth[0], np.abs(matte - truth[0])]))
    return np.clip(np.vstack(rows), 0, 1).astype(np.float32)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        words = ("--clips", "1", "--seed", SEED, "--frames", str(FRAMES), "--size", str(SIDE))
        a2u("render", Path(folder) / "clips", *words)
        write_image(PICTURE, sheet(Path(folder)))
