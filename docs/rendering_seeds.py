"""Write docs/rendering_seeds.png from its seeds: python docs/rendering_seeds.py."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from a2u_cli.images import write_image
from a2u_cli.rendering.scenes import KINDS, render_scene

PICTURE = Path(__file__).with_suffix(".png")
SEEDS, SIDE, DETAIL = (100, 101), 64, 0.08


def sheet() -> npt.NDArray[np.float32]:
    """Lay out two small pictures of each kind, a row a kind: straight RGBA float32 (H, W, 4)."""
    rows = []
    for kind in KINDS:
        drawn = [render_scene(kind, seed, SIDE, detail=DETAIL)[:2] for seed in SEEDS]
        rows.append(np.hstack([np.dstack(picture) for picture in drawn]))
    return np.vstack(rows)


if __name__ == "__main__":
    pictures = sheet()
    write_image(PICTURE, pictures[..., :3], alpha=pictures[..., 3])
