"""The data engine: training batches composed on a device from pictures held in its memory.

Every sample is a pure function of the seed, the step, and its number: the same in any batch, in any
process, after any resume.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..losses import Batch
from .atlas import ALPHA, RGB, Atlas, Placement, Source
from .drawn_trimaps import Style, draw_bands, draw_style, finish_trimaps
from .photography import blur, jitter, photographed
from .pictures import SIDE
from .random_draws import RandomDraws

TRIES = 4  # places tried for every sample: the first well-posed one is taken
LEAST, MOST_UNKNOWN = 0.04, 0.7  # of a well-posed crop: each part's least share, the unknown's most
HARD = 0.3  # of the samples, at the end of training: need not be well-posed
WITHOUT = 0.1  # of the trimaps, at the end of training: no foreground is known
SECOND, TEXTURED, BEHIND = 0.25, 0.12, 0.15  # see `_places`, `_foreground`, `_background`
CELL, COARSE = 2, 4  # pixels of a cell in which bands are measured, and of one in which places are
HELD = 360  # pictures, a third of them backgrounds: 2 GB at most


@dataclass(frozen=True)
class Request:
    """The samples of one step: their numbers and side in pixels.

    `progress` in [0, 1] is how far the whole training is, with which samples get harder; `done`
    how far this run is, with which the shares of the sources change.
    """

    step: int
    numbers: range
    size: int
    progress: float = 1.0
    done: float = 1.0

    def share(self, rank: int, processes: int) -> "Request":
        """Give one process's part of the samples."""
        return replace(self, numbers=self.numbers[rank::processes])


@dataclass(frozen=True)
class Recipe:
    """What is done beyond pasting; an ablation switches one part off."""

    curriculum: bool = True  # colours start smooth, and gain texture over the first third
    well_posed: bool = True  # crops show enough of both sides; ill-posed ones come in later
    near_colours: bool = True  # some backgrounds are moved towards the foreground's colour
    camera: bool = True  # fringes, sharpening, softness, noise, JPEG
    careless: float | None = 0.2  # so many trimaps heed no edge; None: all bands are even


WHOLE = Recipe()


class DataEngine:
    """Batches of foregrounds over backgrounds, with trimaps as people and tools draw them.

    `foregrounds` are sources of RGBA pictures, `backgrounds` of RGB; at most `held` pictures are in
    memory, each at most `side` pixels large.
    """

    def __init__(
        self,
        foregrounds: Sequence[Source],
        backgrounds: Sequence[Source],
        *,
        seed: int = 0,
        recipe: Recipe = WHOLE,
        held: int = HELD,
        side: int = SIDE,
        device: torch.device | str = "cpu",
    ) -> None:
        self.seed, self.recipe, self.side, self.held = seed, recipe, side, held
        self.device = torch.device(device)
        self.foregrounds = Atlas(foregrounds, held * 2 // 3, side, device=device)
        self.backgrounds = Atlas(backgrounds, max(1, held // 3), side, device=device)

    def facts(self) -> dict[str, Any]:
        """Tell what batches hang on beside their requests: equal facts give equal batches."""
        sources = [*self.foregrounds.sources, *self.backgrounds.sources]
        told = {f"{s.name}": f"{fingerprint(s)}, share {s.share}" for s in sources}
        return {"seed": self.seed, "held": self.held, **told, **asdict(self.recipe)}

    def validating(self, held: int = 96) -> "DataEngine":
        """Give a smaller engine over the same pictures, whose samples training never sees."""
        sources = self.foregrounds.sources, self.backgrounds.sources
        return DataEngine(
            *sources,
            seed=self.seed + 1_000_003,
            held=held,
            side=self.side,
            device=self.device,
        )

    @torch.no_grad()
    def batch(self, request: Request) -> Batch:
        """Compose the samples of a request; float32 in [0, 1], on the device.

        `image`, the composite after the camera, `foreground` and `background` are (N, 3, S, S),
        `alpha` and `trimap` (N, 1, S, S), the trimap's values 0, 128/255 and 1.
        """
        self.foregrounds.advance(request.step)
        self.backgrounds.advance(request.step)
        draws = RandomDraws.seeded(self.seed, request.numbers, self.device)
        places, style = self._places(request, draws)
        smooth = max(0.0, 1.0 - 3.0 * request.progress) if self.recipe.curriculum else 0.0
        colour, alpha = self._foreground(places, request, smooth, draws)
        background = self._background(request, smooth, draws)
        if self.recipe.near_colours:
            some = draws.which(0.2)
            near = (colour[some] * alpha[some]).sum((2, 3), True)
            near /= alpha[some].sum((2, 3), True).clamp(min=1e-3)
            shift = near - background[some].mean((2, 3), keepdim=True)
            background[some] += shift * draws.of(some).uniform(0.3, 0.8)
            background.clamp_(0, 1)
        image = background + (colour - background) * alpha
        return {
            "image": photographed(image, draws) if self.recipe.camera else image,
            "trimap": self._trimap(places, alpha, request.size, style),
            "alpha": alpha,
            "foreground": colour,
            "background": background,
        }

    def _places(
        self, request: Request, draws: RandomDraws
    ) -> tuple[list[tuple[Placement, Tensor]], Style]:
        """Choose places in one or two foregrounds for each sample, and how its trimap is drawn.

        Of some tries in the same pictures the first that is well-posed is taken, judged on coarse
        cells: were the pictures drawn anew, those without a solid part, glass and smoke, would be
        seen too seldom. The places come with the samples that they are for, which are all for the
        first and some for the second.
        """
        size, count = request.size, len(request.numbers)
        tries = draws.trying(TRIES)
        fronts, backs = (
            self._place(size, self._slots(request, draws).repeat_interleave(TRIES), tries)
            for _ in range(2)
        )
        double = tries.chance(SECOND).flatten()
        style = draw_style(
            tries, size, careless=self.recipe.careless, without=WITHOUT * request.progress
        )
        alpha = self._wide_alpha(fronts, size, COARSE)
        second = double.nonzero()[:, 0]
        behind = self._wide_alpha(backs.take(second), size, COARSE)
        alpha[second] += (1 - alpha[second]) * behind
        unknown, solid = draw_bands(alpha, size / COARSE, style)
        inner = _inner(size, COARSE)
        hard = tries.chance(HARD * request.progress * request.done).flatten()
        if not self.recipe.well_posed:
            hard = torch.ones_like(hard)
        ranks = rank(unknown[inner], solid[inner], hard).view(count, TRIES)
        chosen = ranks.argmin(1) + TRIES * torch.arange(count, device=self.device)
        second = double[chosen].nonzero()[:, 0]
        everyone = torch.arange(count, device=self.device)
        places = [(fronts.take(chosen), everyone), (backs.take(chosen[second]), second)]
        return places, style.take(chosen)

    def _slots(self, request: Request, draws: RandomDraws) -> Tensor:
        return self.foregrounds.choose(draws, request.done)

    def _place(self, size: int, slot: Tensor, draws: RandomDraws) -> Placement:
        """Place squares around soft pixels at scales from magnified to the whole picture."""
        extent = self.foregrounds.extent(slot)
        whole = extent.amax(1, keepdim=True)
        least = whole.clamp(max=size / 1.4)
        side = least * (whole / least) ** draws.uniform(0.0, 1.0, 1)
        centre = self.foregrounds.soft_places(slot, draws) + draws.uniform(-0.4, 0.4, 2) * side
        half = side.minimum(extent) / 2  # a square stays inside the picture where it fits
        centre = centre.maximum(half).minimum(extent - half)
        quarter = draws.integers(4).flatten() * (math.pi / 2)
        tilt = draws.normal(0.0, 0.15, 1)[:, 0] * draws.chance(0.5).flatten()
        return Placement(slot, centre, _axes(side / size, quarter + tilt, draws))

    def _wide_alpha(self, place: Placement, size: int, cell: int) -> Tensor:
        """Give alpha of crops with their margins in cells of some pixels, (N, 1, C, C)."""
        wide = Placement(place.slot, place.centre, place.axes * cell)
        return self.foregrounds.sample(wide, (size + 2 * _margin(size)) // cell, ALPHA)

    def _trimap(
        self, places: list[tuple[Placement, Tensor]], alpha: Tensor, size: int, style: Style
    ) -> Tensor:
        """Draw trimaps, whose bands reach in from beyond the crop as in the whole picture."""
        (front, _), (back, at) = places
        wide = self._wide_alpha(front, size, CELL)
        wide[at] += (1 - wide[at]) * self._wide_alpha(back, size, CELL)
        unknown, _ = draw_bands(wide, size / CELL, style)
        return finish_trimaps(unknown[_inner(size, CELL)], alpha, style)

    def _foreground(
        self,
        places: list[tuple[Placement, Tensor]],
        request: Request,
        smooth: float,
        draws: RandomDraws,
    ) -> tuple[Tensor, Tensor]:
        """Lay the first foregrounds over the second, where there are: straight colour and alpha.

        Some are textured with a background, which no foreground's own colours are as busy as.
        """
        layers = []
        for place, at in places:
            planes = self.foregrounds.sample(place, request.size, slice(0, 4))
            colour, few = planes[:, RGB], draws.of(at)
            some = few.which(TEXTURED * (1.0 - smooth))
            colour[some] = self._cover(request, few.of(some))
            some = few.which(smooth)
            colour[some] = smooth_colour(request.size, few.of(some))
            layers.append((jitter(colour, few), planes[:, ALPHA], at))
        (colour, alpha, _), (back_colour, back, at) = layers
        front = alpha[at]
        joint = front + (1.0 - front) * back
        share = torch.where(joint > 1e-3, front / joint.clamp(min=1e-6), 1.0)
        colour[at] = back_colour + (colour[at] - back_colour) * share
        alpha[at] = joint
        return colour, alpha

    def _background(self, request: Request, smooth: float, draws: RandomDraws) -> Tensor:
        """Cut backgrounds, some with another foreground on them, some out of focus."""
        scene = self._cover(request, draws)
        some = draws.which(BEHIND * (1.0 - smooth))
        if len(some):
            few = draws.of(some)
            place = self._place(request.size, self._slots(request, few), few)
            other = self.foregrounds.sample(place, request.size, slice(0, 4))
            scene[some] += (jitter(other[:, RGB], few) - scene[some]) * other[:, ALPHA]
        some = draws.which(smooth)
        scene[some] = smooth_colour(request.size, draws.of(some))
        some = draws.which(0.35)
        defocus = draws.of(some).log_uniform(0.5, max(1.0, request.size / 20))
        scene[some] = blur(scene[some], defocus)
        return jitter(scene, draws)

    def _cover(self, request: Request, draws: RandomDraws) -> Tensor:
        """Sample a part of a background, mirrored or not."""
        size = request.size
        slot = self.backgrounds.choose(draws, request.done)
        extent = self.backgrounds.extent(slot)
        whole = extent.amin(1, keepdim=True)
        least = whole.clamp(max=float(size))
        side = least + (whole - least) * draws.uniform(0.0, 1.0, 1)
        centre = side / 2 + draws.uniform(0.0, 1.0, 2) * (extent - side)
        place = Placement(slot, centre, _axes(side / size, torch.zeros_like(side[:, 0]), draws))
        return self.backgrounds.sample(place, size, RGB)


def rank(unknown: Tensor, solid: Tensor, hard: Tensor) -> Tensor:
    """Rank crops, bool (N, 1, S, S), for use: 0 is well-posed, or `hard` with something known.

    1 is well-posed but for its foreground, of which too little is known; 3 has nothing unknown.
    """
    share = unknown.float().mean((1, 2, 3))
    foreground, background = ((side & ~unknown).float().mean((1, 2, 3)) for side in (solid, ~solid))
    fair = (background >= LEAST) & (share >= LEAST) & (share <= MOST_UNKNOWN)
    usable = (fair & (foreground >= LEAST)) | (hard & (share > 0.01) & (share < 0.9))
    return torch.where(usable, 0, torch.where(fair, 1, torch.where(share > 0.01, 2, 3)))


def smooth_colour(size: int, draws: RandomDraws) -> Tensor:
    """Render flat colours, gradients and low-frequency fields, (N, 3, size, size)."""
    base = draws.uniform(0.05, 0.95) + draws.normal(0.0, 0.2, 3, 1, 1)
    grey, tint = (draws.field(3, size, channels) for channels in (1, 3))
    return (base + draws.uniform(0.0, 0.5) * grey + draws.uniform(0.0, 0.25) * tint).clamp(0, 1)


def fingerprint(source: Source) -> str:
    """Tell one list of pictures from another: a count and a checksum of their names."""
    names = "\n".join(picture.name for picture in source.pictures)
    digest = hashlib.sha256(names.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{len(source.pictures)} ({digest})"


def _margin(size: int) -> int:
    """Give what is seen beyond a crop on each side, in pixels: a third, in whole coarse cells."""
    return size // 3 // COARSE * COARSE


def _inner(size: int, cell: int) -> tuple[Any, slice, slice]:
    """Cut the crop out of planes with margins, in cells of some pixels."""
    inner = slice(_margin(size) // cell, (_margin(size) + size) // cell)
    return ..., inner, inner


def _axes(scale: Tensor, angle: Tensor, draws: RandomDraws) -> Tensor:
    """Combine scale (N, 1), angle (N) and a mirroring in one of two cases; (N, 2, 2)."""
    mirror = 1.0 - 2.0 * draws.chance(0.5).flatten()
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], 1)
    return turned.view(-1, 2, 2) * scale[..., None]
