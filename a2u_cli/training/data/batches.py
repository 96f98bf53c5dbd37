"""Compose training batches on the device from atlases of pictures held in its memory.

A batch is a pure function of the seed, its requests and what the atlases hold; background processes
may render new foregrounds into them while training goes on.
"""

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import pictures
from .atlas import ALPHA, CELL, COLOURS, Atlas, Placement
from .drawn_trimaps import UNKNOWN, draw_trimaps
from .photography import blur, jitter, photographed
from .planes import Pixels
from .random_draws import RandomDraws
from .samples import LEAST, MOST_UNKNOWN, Request

CANDIDATES = 3  # drawn for every sample wanted
CUT_OUT_SHARE, PHOTOGRAPH_SHARE = 0.2, 0.66

Map = Callable[..., Iterator[Any]]


class BatchComposer:
    """Batches from an atlas of foregrounds (RGBA) and one of backgrounds (RGB) on one device."""

    def __init__(
        self,
        foregrounds: Atlas,
        backgrounds: Atlas,
        *,
        seed: int = 0,
        refill: "Renderer | None" = None,
    ) -> None:
        self.foregrounds, self.backgrounds, self.seed = foregrounds, backgrounds, seed
        self.refill = refill

    def facts(self) -> dict[str, Any]:
        """Tell what batches hang on beside their requests and what is rendered meanwhile."""
        return {
            "seed": self.seed,
            "foregrounds": f"{self.foregrounds.from_files} files",
            "backgrounds": f"{self.backgrounds.from_files} files",
        }

    @torch.no_grad()
    def batch(self, requests: list[Request]) -> dict[str, Tensor]:
        """Compose the samples of requests of one size and progress, as `trainer.collate` does."""
        for pixels in self.refill.ready() if self.refill else ():
            self.foregrounds.put(pixels)
        first = requests[0]
        state = np.random.SeedSequence((self.seed, 2, first.index)).generate_state(1, np.uint64)
        generator = torch.Generator(self.foregrounds.mipmaps.device).manual_seed(int(state[0] >> 1))
        smooth = max(0.0, 1.0 - 3.0 * first.progress)
        places, alphas, trimap = self._shapes(first, len(requests), generator)
        draws = RandomDraws(generator, len(requests))
        colour = self._colours(places, alphas, smooth, draws)
        alpha = _joint(alphas)
        background = self._background(first.size, smooth, draws)
        near = (colour * alpha).sum((2, 3), True) / alpha.sum((2, 3), True).clamp(min=1e-3)
        shift = near - background.mean((2, 3), keepdim=True)
        background = background + shift * draws.uniform(0.3, 0.8) * draws.chance(0.2)
        background = background.clamp(0, 1)
        image = photographed(background + (colour - background) * alpha, draws)
        return {
            "image": image,
            "trimap": trimap,
            "alpha": alpha,
            "foreground": colour,
            "background": background,
        }

    def _shapes(
        self, request: Request, count: int, generator: torch.Generator
    ) -> tuple[list[Placement], list[Tensor], Tensor]:
        """Place two foregrounds a sample and draw trimaps; of all drawn keep the well-posed ones.

        The second alpha is mostly none. Bands reach in from beyond the crop, as they would in the
        whole picture.
        """
        size, margin = request.size, request.size // 3
        draws = RandomDraws(generator, CANDIDATES * count)
        places = [self._place(size, draws) for _ in range(2)]
        front, back = (self.foregrounds.sample(place, size + 2 * margin, ALPHA) for place in places)
        alpha = [front, back * draws.chance(0.25)]
        trimap = draw_trimaps(_joint(alpha), size, draws, without=0.1 * request.progress)
        inner = (..., slice(margin, margin + size), slice(margin, margin + size))
        alpha, trimap = [plane[inner] for plane in alpha], trimap[inner]
        hard = draws.chance(0.3 * request.progress).flatten()
        chosen = rank(trimap, hard).argsort(stable=True)[:count]
        places = [place.take(chosen) for place in places]
        return places, [plane[chosen] for plane in alpha], trimap[chosen]

    def _place(self, size: int, draws: RandomDraws) -> Placement:
        """Place squares around soft pixels at scales from magnified to the whole picture."""
        whole = float(self.foregrounds.side)
        index = self.foregrounds.choose(draws, CUT_OUT_SHARE)
        side = draws.log_uniform(min(size / 1.4, whole), whole, 1)
        cells = self.foregrounds.side // CELL
        race = self.foregrounds.soft[index] / -draws.uniform(1e-7, 1.0, cells**2).log()
        cell = race.argmax(1, keepdim=True)  # each cell wins in proportion to its softness
        corner = torch.cat([cell % cells, cell // cells], 1)
        centre = (corner + draws.uniform(0, 1, 2)) * CELL + draws.uniform(-0.4, 0.4, 2) * side
        centre = centre.maximum(side / 2).minimum(whole - side / 2)
        quarter = draws.integers(4).flatten() * (math.pi / 2)
        tilt = draws.normal(0.0, 0.15, 1)[:, 0] * draws.chance(0.5).flatten()
        return Placement(index, centre, _axes(side / size, quarter + tilt, draws))

    def _colours(
        self, places: list[Placement], alpha: list[Tensor], smooth: float, draws: RandomDraws
    ) -> Tensor:
        """Colour both foregrounds and lay the first over the second: straight colour."""
        front, back = (
            jitter(self._coloured(place, alpha[0].shape[-1], smooth, draws), draws)
            for place in places
        )
        joint = _joint(alpha)
        share = torch.where(joint > 1e-3, alpha[0] / joint.clamp(min=1e-6), 1.0)
        return back + (front - back) * share

    def _coloured(self, place: Placement, size: int, smooth: float, draws: RandomDraws) -> Tensor:
        colour = self.foregrounds.sample(place, size, COLOURS)
        photograph = self._cover(size, draws, 1.0)
        colour = torch.where(draws.chance(0.12 * (1.0 - smooth)), photograph, colour)
        return torch.where(draws.chance(smooth), smooth_colour(size, draws), colour)

    def _background(self, size: int, smooth: float, draws: RandomDraws) -> Tensor:
        scene = self._cover(size, draws, PHOTOGRAPH_SHARE)
        scene = torch.where(draws.chance(smooth), smooth_colour(size, draws), scene)
        defocus = draws.log_uniform(0.5, max(1.0, size / 20)) * draws.chance(0.35)
        return jitter(blur(scene, defocus), draws)

    def _cover(self, size: int, draws: RandomDraws, share: float) -> Tensor:
        """Sample a part of a background, mirrored or not."""
        whole = float(self.backgrounds.side)
        index = self.backgrounds.choose(draws, share)
        side = draws.uniform(min(size, whole), whole, 1)
        centre = side / 2 + draws.uniform(0, 1, 2) * (whole - side)
        place = Placement(index, centre, _axes(side / size, torch.zeros_like(side[:, 0]), draws))
        return self.backgrounds.sample(place, size, COLOURS)


class Renderer:
    """Processes that render foregrounds of rising numbers, a few ahead of what is taken."""

    def __init__(
        self, executor: ProcessPoolExecutor, seed: int, first: int, side: int, ahead: int
    ) -> None:
        self.executor, self.seed, self.side, self.number = executor, seed, side, first
        self.pending: deque[Future[Pixels]] = deque()
        for _ in range(ahead):
            self._order()

    def _order(self) -> None:
        job = self.executor.submit(pictures.render_cut_out, self.seed, self.number, self.side)
        self.pending.append(job)
        self.number += 1

    def ready(self) -> Iterable[Pixels]:
        """Give what is finished, without waiting, and order as many anew."""
        while self.pending and self.pending[0].done():
            yield self.pending.popleft().result()
            self._order()

    def close(self) -> None:
        """Stop rendering."""
        self.executor.shutdown(wait=False, cancel_futures=True)


def build_composer(
    *,
    files: Path | None = None,
    rendered: int = 1024,
    capacity: int = 8192,
    scenes: int = 256,
    side: int = pictures.SIDE,
    seed: int = 0,
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> BatchComposer:
    """Fill the atlases: `rendered` foregrounds, `scenes`, and the files of a pack or a folder.

    With `workers` the processes that rendered go on: foregrounds are added up to `capacity`, then
    replaced in turn, so batches depend on timing; without, they are pure functions of the seed.
    """
    cut_outs, photographs = pictures.read_pictures(files) if files else ([], [])
    executor: ProcessPoolExecutor | None = None
    if workers:
        spawn = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, spawn, pictures.limit_threads)
    spread: Map = partial(executor.map, chunksize=4) if executor else map
    atlases = []
    for given, decode, count, render, room in (
        (
            cut_outs,
            pictures.decode_cut_out,
            rendered,
            pictures.render_cut_out,
            capacity if workers else 0,
        ),
        (photographs, pictures.decode_photograph, scenes, pictures.render_scene, 0),
    ):
        decoded = spread(decode, given, repeat(side, len(given)))
        drawn = spread(render, repeat(seed, count), range(count), repeat(side, count))
        atlases.append(Atlas(list(decoded), list(drawn), room, device=torch.device(device)))
    refill = Renderer(executor, seed, rendered, side, 2 * workers) if executor else None
    return BatchComposer(atlases[0], atlases[1], seed=seed, refill=refill)


def rank(trimap: Tensor, hard: Tensor) -> Tensor:
    """Rank trimaps (N, 1, S, S) for use: 0 is well-posed, or `hard` with something known.

    2 has nothing unknown. Well-posed is what `samples.well_posed` says.
    """
    unknown = (trimap == UNKNOWN).float().mean((1, 2, 3))
    known = torch.minimum(*((trimap == value).float().mean((1, 2, 3)) for value in (0.0, 1.0)))
    posed = (known >= LEAST) & (unknown >= LEAST) & (unknown <= MOST_UNKNOWN)
    usable = posed | (hard & (unknown > 0.01) & (unknown < 0.9))
    return torch.where(usable, 0, torch.where(unknown > 0.01, 1, 2))


def smooth_colour(size: int, draws: RandomDraws) -> Tensor:
    """Render flat colours, gradients and low-frequency fields, (N, 3, size, size)."""
    base = draws.uniform(0.05, 0.95) + draws.normal(0.0, 0.2, 3, 1, 1)
    grey, tint = (draws.field(3, size, channels) for channels in (1, 3))
    return (base + draws.uniform(0.0, 0.5) * grey + draws.uniform(0.0, 0.25) * tint).clamp(0, 1)


def _joint(alpha: list[Tensor]) -> Tensor:
    return alpha[0] + (1.0 - alpha[0]) * alpha[1]


def _axes(scale: Tensor, angle: Tensor, draws: RandomDraws) -> Tensor:
    """Combine scale (N, 1), angle (N) and a mirroring in one of two cases; (N, 2, 2)."""
    mirror = 1.0 - 2.0 * draws.chance(0.5).flatten()
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], 1)
    return turned.view(-1, 2, 2) * scale[..., None]
