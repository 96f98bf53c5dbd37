"""Clips with exact alpha: grown things that move before a moving background, frame by frame."""

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..backgrounds import choose_background, make_background
from ..errors import A2UError
from ..foreground import composite
from ..images import encode_image, quantise
from ..trimap import make_trimap
from ..units import UNKNOWN, FloatArray
from .camera import develop, meter, straighten
from .motion import MARGIN, Hold, Motion, draw_motion
from .scenes import KINDS, TRIES, WHITE, Lights, draw, find_fault, light
from .sets import Rendered, read_orders
from .shapes import Plate, Scene
from .textures import render_texture

FIRST, RATE = 1001, 24  # the first frame's number, and frames a second
NOISE = (1.5, 3.0)
MOST_NOISE = 64.0
BANDS = (10.0, 30.0)  # pixels of 768, as of sets
DETAIL = 0.2  # of a picture's strands: a clip's frames are smaller
MOST_UNKNOWN = 0.5  # of a picture
LEAST_GAP = 0.2  # of the colours of a thing and what is behind it
FIRST_LOOK = 1  # passes, to meter a shot and to see what is wrong with it


@dataclass(frozen=True)
class Script:
    """What a clip shows: a kind, or two with a cut between them."""

    kinds: tuple[str, ...]
    still: bool = False


SCRIPTS = {
    "hair": Script(("hair",)),
    "plants": Script(("plants",)),
    "still": Script(("hair",), still=True),
    "cut": Script(("fur", "feathers")),
    "nets": Script(("nets",)),
}
HOLDS: dict[str, Hold] = {
    "hair": "roots",
    "fur": "roots",
    "plants": "foot",
    "feathers": "foot",
    "nets": "top",
}
UNFIT = {  # what is tied would come loose in the wind; what is stiff has none
    "hair": ("tail", "braids", "cropped"),
    "nets": ("fence", "wicker", "rope"),
}


@dataclass(frozen=True)
class Frame:
    """One frame of a clip; `cut` is the number of the first frame after its cut, if it has one.

    `noise` is that of reading and that of light at white, in levels of 255. `bands` are as in an
    order of a picture, but drawn once a clip; `backgrounds` is a folder, or a picture, to stand
    behind.
    """

    clip: str
    seed: int
    number: int
    size: int
    cut: int | None = None
    noise: tuple[float, float] = NOISE
    detail: float = DETAIL
    backgrounds: str | None = None
    bands: tuple[float, float] = BANDS

    @property
    def folder(self) -> str:
        return f"{self.clip}_{self.seed:06d}"

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.number}"

    @property
    def part(self) -> int:
        """Tell which shot of the clip the frame is of."""
        return int(self.cut is not None and self.number >= self.cut)

    def rng(self, *words: str | int) -> np.random.Generator:
        """Draw for this clip, apart from every picture of a set."""
        texts = "/".join(["clip", self.clip, *map(str, words)])
        return np.random.default_rng([self.seed, *texts.encode()])

    def render(self) -> Rendered:
        """Render the frame and encode its files; a seed without a good shot is a failure."""
        try:
            shot = shot_of(self)
            made = shot.at(self.number, self.size)
            record = {"kind": shot.record["kind"], "mean_alpha": round(float(made[1].mean()), 4)}
            return Rendered(self, record, _encode(self, *made))
        except A2UError as error:
            return Rendered(self, {}, {}, str(error))


@dataclass(frozen=True)
class Shot:
    """What a clip shows between cuts: a lit scene, its exposure, how it moves, what is behind."""

    scene: Scene
    lights: Lights
    exposure: float
    motion: Motion
    canvas: FloatArray
    start: int  # its first frame
    record: dict[str, Any]

    def at(
        self, number: int, side: int, passes: int | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give a frame's straight colour (H, W, 3), alpha (H, W) and background (H, W, 3).

        The light is that of the first moment, and so is the exposure.
        """
        seconds = (number - self.start) / RATE
        scene = self.motion.moved(self.scene, seconds)
        linear, alpha = straighten(draw(scene, self.lights, side, passes))
        behind = self.motion.behind(self.canvas, side, seconds)
        return develop(linear, self.exposure), alpha, behind


def plan_clips(
    count: int,
    frames: int,
    seed: int = 0,
    *,
    size: int = 320,
    noise: tuple[float, float] = NOISE,
    detail: float = DETAIL,
    backgrounds: str | None = None,
) -> list[Frame]:
    """Order clips of all scripts in turn, from the same first seed on; the cut is in the middle."""
    names, planned = list(SCRIPTS), []
    for index in range(count):
        clip = names[index % len(names)]
        halved = len(SCRIPTS[clip].kinds) > 1 and frames > 1
        first = Frame(
            *(clip, seed + index // len(names), FIRST, size),
            cut=FIRST + frames // 2 if halved else None,
            noise=noise,
            detail=detail,
            backgrounds=backgrounds,
        )
        planned += [replace(first, number=FIRST + number) for number in range(frames)]
    return planned


def require_alike(folder: Path, frames: Sequence[Frame]) -> None:
    """Refuse to go on with a clip that was begun in another way; raises A2UError."""
    planned = {frame.folder: frame for frame in frames}
    for name, held in read_orders(folder, Frame).items():
        wanted = replace(planned.get(held.folder, held), number=held.number)
        if wanted != held:
            words = (f"{at} {was!r}" for at, was in vars(held).items() if vars(wanted)[at] != was)
            raise A2UError(
                f"{folder / name} was rendered with {', '.join(words)}; ask for the same, "
                f"remove {folder / held.folder}, or choose another folder"
            )


def parse_noise(text: str) -> tuple[float, float]:
    """Read the noise of reading and of light, "1.5,3", in levels of 255; raises A2UError."""
    words = text.split(",")
    if len(words) == 2 and all(re.fullmatch(r"\d+(\.\d+)?", word.strip()) for word in words):
        read, shot = map(float, words)
        if max(read, shot) <= MOST_NOISE:
            return read, shot
    raise A2UError(
        f"noise {text!r} is no pair of levels from 0 to {MOST_NOISE:g}; expected READ,SHOT as 1.5,3"
    )


def noise_sigma(clean: FloatArray, noise: tuple[float, float]) -> FloatArray:
    """Give the deviation of a sensor's noise at values in [0, 1], in their units."""
    read, shot = np.float32(noise[0] / 255), np.float32(noise[1] / 255)
    return np.asarray(np.sqrt(read**2 + shot**2 * clean))


@functools.lru_cache(maxsize=2)  # both sides of a cut: frames come in order
def _prepare(frame: Frame) -> Shot | str:
    """Grow, light and meter the shot that a frame is of, or say why no draw is good."""
    script = SCRIPTS[frame.clip]
    kind, fault = script.kinds[frame.part], ""
    for again in range(TRIES):
        rng = frame.rng(kind, again)
        scene = KINDS[kind](rng, frame.detail)
        assert not isinstance(scene, Plate), kind
        style = str(scene.record["style"])
        if style in UNFIT.get(kind, ()):
            fault = f"{style} is not for clips"
            continue
        sharp = replace(scene.camera, aperture=0.0, motion=np.zeros(3, np.float32))
        scene = replace(scene, camera=sharp)
        lights = light(scene, float(rng.uniform(0.75, 1.2)))
        motion = draw_motion(rng, HOLDS[kind], sharp, still=script.still)
        linear, alpha = straighten(draw(scene, lights, frame.size, FIRST_LOOK))
        fault = find_fault(alpha) or _find_unknown(frame, alpha)
        if not fault:
            record = {"kind": kind, "draw": again, **scene.record, "light": scene.surroundings.mode}
            words = record | {"motion": motion.record()}
            exposure = meter(linear, alpha, WHITE)
            canvas = _canvas(frame, kind, develop(linear, exposure), alpha)
            return Shot(scene, lights, exposure, motion, canvas, frame.number, words)
    return f"{frame.folder} gives no good shot of {kind} ({fault}); take another seed"


def shot_of(frame: Frame) -> Shot:
    """Give the shot that a frame is of, kept from the frame before where it is the same.

    Raises A2UError where the seed gives none that is good.
    """
    start = FIRST if frame.part == 0 else frame.cut
    assert start is not None
    shot = _prepare(replace(frame, number=start, noise=NOISE))
    if isinstance(shot, str):
        raise A2UError(shot)
    return shot


def _find_unknown(frame: Frame, alpha: FloatArray) -> str:
    """Say that too much of the picture would be unknown, if it would."""
    inside, outside = _bands(frame)
    share = float((make_trimap(alpha, inside=inside, outside=outside) == UNKNOWN).mean())
    return f"{share:.0%} unknown, expected {MOST_UNKNOWN:.0%}" if share > MOST_UNKNOWN else ""


def _canvas(frame: Frame, kind: str, colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Give a background wider than the picture, a little out of focus, that a thing differs from.

    The thing is of straight colour (H, W, 3) and alpha (H, W); a folder's picture stays.
    """
    rng, side = frame.rng(kind, "background"), round(frame.size * (1 + MARGIN))
    if frame.backgrounds is None:
        first = (side - frame.size) // 2
        middle = slice(first, first + frame.size)
        for _ in range(TRIES):
            canvas = render_texture(side, rng)
            gap = np.abs(canvas[middle, middle] - colour).mean(2)
            if np.average(gap, weights=alpha) > LEAST_GAP:
                break
    else:
        chosen = choose_background(frame.backgrounds, f"{frame.folder}-{kind}")
        canvas = make_background(chosen, np.zeros((side, side, 3), np.float32))
    # finer than a pixel's blur would change with where it comes to lie between pixels
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.7, 2.2)), np.float32)


def _encode(
    frame: Frame, colour: FloatArray, alpha: FloatArray, behind: FloatArray
) -> dict[str, bytes]:
    """Encode a frame's pictures; the image is exactly what the other files and the noise make."""
    levels: dict[str, npt.NDArray[Any]] = {
        "foreground": quantise(colour, 8),
        "alpha": quantise(alpha, 16),
        "background": quantise(behind, 8),
    }
    exact = {
        at: plane.astype(np.float32) / np.float32(np.iinfo(plane.dtype).max)
        for at, plane in levels.items()
    }
    clean = composite(exact["foreground"], exact["alpha"], exact["background"])
    grain = frame.rng(frame.number).standard_normal(clean.shape, np.float32)
    levels["image"] = quantise(clean + noise_sigma(clean, frame.noise) * grain, 8)
    inside, outside = _bands(frame)
    levels["trimap"] = make_trimap(exact["alpha"], inside=inside, outside=outside)
    files = {
        f"{frame.folder}/{at}/{frame.number}.png": encode_image(
            picture, "png", depth=16 if at == "alpha" else 8
        )
        for at, picture in levels.items()
    }
    if frame.number == FIRST:
        files[f"{frame.folder}/clip.json"] = _describe(frame)
    return files


def _bands(frame: Frame) -> tuple[float, float]:
    """Draw how far the clip's trimaps reach into the foreground and out, in pixels."""
    low, high = np.log(frame.bands)
    inside, outside = np.exp(frame.rng("bands").uniform(low, high, 2)) * frame.size / 768
    return float(inside), float(outside)


def _describe(frame: Frame) -> bytes:
    """Say what a clip shows and how it was made."""
    starts = [FIRST] if frame.cut is None else [FIRST, frame.cut]
    shots = [{"from": start, **shot_of(replace(frame, number=start)).record} for start in starts]
    inside, outside = _bands(frame)
    words = {
        "clip": frame.clip,
        "seed": frame.seed,
        "first": FIRST,
        "frames_a_second": RATE,
        "size": frame.size,
        "cuts": starts[1:],
        "noise_of_255": {"read": frame.noise[0], "shot_at_white": frame.noise[1]},
        "trimap_pixels": {"inside": round(inside, 2), "outside": round(outside, 2)},
        "still": SCRIPTS[frame.clip].still,
        "shots": shots,
    }
    return json.dumps(words, indent=1).encode() + b"\n"
