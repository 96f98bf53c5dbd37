"""A small moving picture: a soft disc over a moving background, with its exact alpha and trimap."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from a2u_cli.images import write_image

SIDE = 128


@dataclass(frozen=True)
class Frame:
    """image (H, W, 3), alpha (H, W), in [0, 1]; trimap (H, W)."""

    image: np.ndarray
    alpha: np.ndarray
    trimap: np.ndarray


def texture(seed: int, size: int) -> np.ndarray:
    """Make a smooth random picture, (size, size, 3)."""
    noise = np.random.default_rng(seed).random((size // 5, size // 5, 3), np.float32)
    return np.clip(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def moving(count: int, *, seed: int = 0, noise: float = 0.02, speed: float = 1.0) -> list[Frame]:
    """Make frames of a disc that goes to the right, before what goes down."""
    rng = np.random.default_rng(seed)
    behind, inside = texture(100 + seed, 2 * SIDE), 0.5 + 0.5 * texture(200 + seed, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    frames = []
    for number in range(count):
        centre = 0.4 * SIDE + speed * number
        alpha = np.clip((36 - np.hypot(x - centre, y - SIDE / 2)) / 10 + 0.5, 0, 1)
        disc = cv2.remap(inside, x - np.float32(speed * number), y, cv2.INTER_LINEAR, borderMode=2)
        back = behind[number : number + SIDE, :SIDE]
        image = back + (disc - back) * alpha[..., None]
        image = np.clip(image + noise * rng.standard_normal(image.shape), 0, 1)
        soft = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
        unknown = cv2.dilate(soft, np.ones((9, 9), np.uint8)) > 0
        trimap = np.where(unknown, 128, 255 * (alpha > 0.5)).astype(np.uint8)
        frames.append(Frame(image.astype(np.float32), alpha.astype(np.float32), trimap))
    return frames


def put(folder: Path, frames: list[Frame], *, first: int = 1, keys: tuple[int, ...] = ()) -> Path:
    """Write frames/plate.0001.png and, for these numbers, keys/plate.0001.png below a folder."""
    for number, frame in enumerate(frames, first):
        write_image(folder / "frames" / f"plate.{number:04}.png", frame.image)
        if number in keys:
            write_image(folder / "keys" / f"plate.{number:04}.png", frame.trimap)
    return folder
