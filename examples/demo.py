"""`make demo`: matte the example with the weights that ship, and lay the results side by side."""

from pathlib import Path

import cv2
import numpy as np

from a2u_cli import Matter, composite, read_image, read_trimap, write_image

EXAMPLES = Path(__file__).parent
OUTPUT = EXAMPLES.parent / "demo"
PANEL = 400


def main() -> None:
    image = read_image(EXAMPLES / "plush.png").image
    trimap = read_trimap(EXAMPLES / "plush_trimap.png")
    foreground, alpha = Matter(quality="best").cut_out(image, trimap)
    write_image(OUTPUT / "alpha.png", alpha)
    write_image(OUTPUT / "cutout.png", foreground, alpha=alpha)
    new = composite(foreground, alpha, sunset(foreground.shape))
    panels = [image, trimap / np.float32(255.0), alpha, new]
    write_image(OUTPUT / "overview.png", np.concatenate([panel(p) for p in panels], 1))
    for name, what in (
        ("alpha.png", "the alpha matte"),
        ("cutout.png", "the cut-out, straight RGBA with foreground colours"),
        ("overview.png", "picture, trimap, matte, and the cut-out on a new background"),
    ):
        print(f"{OUTPUT / name}: {what}")


def sunset(shape: tuple[int, ...]) -> np.ndarray:
    rows = np.linspace(0.0, 1.0, shape[0], dtype=np.float32)[:, None, None]
    top, bottom = np.float32([0.98, 0.78, 0.45]), np.float32([0.75, 0.25, 0.35])
    return np.broadcast_to(top + (bottom - top) * rows, shape)


def panel(picture: np.ndarray) -> np.ndarray:
    """Shrink to a panel of the overview, three channels."""
    small = cv2.resize(picture.astype(np.float32), (PANEL, PANEL), interpolation=cv2.INTER_AREA)
    return small if small.ndim == 3 else np.repeat(small[..., None], 3, 2)


if __name__ == "__main__":
    main()
