"""Render the example that ships: a furry shape over a soft background, its trimap and its truth.

    python examples/render.py

Everything is drawn by our own code from fixed seeds, so the pictures carry no foreign rights.
"""

from pathlib import Path

import cv2
import numpy as np

from a2u_cli import write_image
from a2u_cli.rendering.foregrounds import render_background, render_foreground

SIZE = 640
FOLDER = Path(__file__).parent


def main() -> None:
    colour, alpha = render_foreground(SIZE, np.random.default_rng(304), kind="fur")
    background = render_background(SIZE, np.random.default_rng(1))
    background = cv2.GaussianBlur(background, (0, 0), 6.0)
    image = background + (colour - background) * alpha[..., None]
    noise = np.random.default_rng(1).normal(0.0, 0.006, image.shape)
    write_image(FOLDER / "plush.png", np.clip(image + noise, 0.0, 1.0))
    write_image(FOLDER / "plush_trimap.png", trimap_of(alpha))
    write_image(FOLDER / "plush_truth.png", alpha)


def trimap_of(alpha: np.ndarray) -> np.ndarray:
    """Draw what a person would: a generous grey band over everything soft."""
    soft = ((alpha > 0.02) & (alpha < 0.98)).astype(np.uint8)
    unknown = cv2.dilate(soft, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17)))
    trimap = np.where(alpha >= 0.5, 255, 0).astype(np.uint8)
    trimap[unknown > 0] = 128
    return trimap


if __name__ == "__main__":
    main()
