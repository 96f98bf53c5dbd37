"""Compose training batches on the device from pools of pictures held in its memory.

A batch is a pure function of the seed, its requests and what the pool holds; background processes
may render new foregrounds into the pool while training goes on.
"""

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import pictures as pack
from .drawn_trimaps import UNKNOWN, draw_trimaps
from .draws import Dice, constant
from .photography import blur, jitter, photographed
from .samples import LEAST, MOST_UNKNOWN, Request

LEVELS = 4
CELL = 8  # pixels of a cell in which soft pixels are looked for
CANDIDATES = 3  # drawn for every sample wanted
CUT_OUT_SHARE, PHOTOGRAPH_SHARE = 0.2, 0.66
COLOURS, ALPHA = slice(0, 3), slice(3, 4)

Map = Callable[..., Iterator[Any]]


@dataclass(frozen=True)
class Placement:
    """Which picture of a stock to sample where: `index` (N), `centre` (N, 2) as x, y in pixels.

    `axes` (N, 2, 2) maps steps of the output to steps in the picture.
    """

    index: Tensor
    centre: Tensor
    axes: Tensor

    def take(self, chosen: Tensor) -> "Placement":
        """Keep some of the samples."""
        return Placement(self.index[chosen], self.centre[chosen], self.axes[chosen])


class Stock:
    """Square pictures of one kind as uint8 with their halved copies, an atlas on the device.

    The first ones come from files and stay; the rendered ones behind them are replaced in turn.
    """

    def __init__(
        self,
        pictures: list[pack.Pixels],
        rendered: list[pack.Pixels],
        capacity: int,
        *,
        device: torch.device,
    ) -> None:
        self.side, channels = rendered[0].shape[0], rendered[0].shape[2]
        self.pictures, self.filled = len(pictures), len(pictures)
        self.capacity = len(pictures) + max(capacity, len(rendered))
        self.atlas = torch.zeros(
            (self.capacity, channels, self.side, self.side * 3 // 2),
            dtype=torch.uint8,
            device=device,
        )
        self.soft = torch.zeros((self.capacity, (self.side // CELL) ** 2), device=device)
        # the whole picture at the left, its halved copies below each other beside it
        self.corners = tuple(
            float(place)
            for level in range(LEVELS)
            for place in ((self.side, self.side - 2 * (self.side >> level)) if level else (0, 0))
        )
        self._next = 0
        for pixels in (*pictures, *rendered):
            self.put(pixels)

    def put(self, pixels: pack.Pixels) -> None:
        """Add a picture, in the place of the oldest rendered one when full."""
        slot = self._next
        self._next = self.pictures if slot + 1 == self.capacity else slot + 1
        self.filled = max(self.filled, slot + 1)
        level = self._upload(pixels).permute(2, 0, 1).float()
        soft = ((level[-1:] > 5) & (level[-1:] < 250)).float()
        self.soft[slot] = F.max_pool2d(soft, CELL).flatten() + 1e-6
        for k in range(LEVELS):
            left, top = (int(place) for place in self.corners[2 * k : 2 * k + 2])
            side = level.shape[-1]
            self.atlas[slot, :, top : top + side, left : left + side] = level.round().byte()
            level = F.avg_pool2d(level, 2)

    def _upload(self, pixels: pack.Pixels) -> Tensor:
        """Copy to the device without waiting for what it is doing."""
        host = torch.from_numpy(pixels)
        if self.atlas.is_cuda:
            host = host.pin_memory()
        return host.to(self.atlas.device, non_blocking=True)

    def choose(self, dice: Dice, share: float) -> Tensor:
        """Choose pictures, a `share` of them from files: int64 (N)."""
        rendered = self.pictures + dice.integers(self.filled - self.pictures)
        from_files = dice.chance(share) & (self.pictures > 0)
        return torch.where(from_files, dice.integers(self.pictures), rendered).flatten()

    def sample(self, place: Placement, size: int, planes: slice) -> Tensor:
        """Sample squares of `size` pixels with antialiasing: float32 (N, C, size, size) in [0, 1].

        Pixels outside a picture repeat its edge.
        """
        reach = torch.arange(size, device=self.atlas.device) - (size - 1) / 2
        steps = torch.stack(torch.meshgrid(reach, reach, indexing="xy"), -1)  # (size, size, 2)
        points = torch.einsum("nij,yxj->nyxi", place.axes, steps) + place.centre[:, None, None]
        scale = place.axes[:, 0].norm(dim=1)
        level = (scale.log2() - 0.3).ceil().clamp(0, LEVELS - 1).long()
        corners = constant(self.corners, reach.device).view(-1, 2)
        shrink = (0.5**level)[:, None, None, None]
        inside = self.side * shrink - 0.5
        points = (points * shrink).clamp(min=0.5).minimum(inside) + corners[level][:, None, None]
        atlas = self.atlas[:, planes][place.index].float()
        extent = constant((self.side * 1.5, float(self.side)), reach.device)
        levels = F.grid_sample(atlas, 2 * points / extent - 1, align_corners=False)
        return (levels / 255.0).clamp(max=1.0)


class Pool:
    """Batches from a stock of foregrounds (RGBA) and one of backgrounds (RGB) on one device."""

    def __init__(
        self,
        foregrounds: Stock,
        backgrounds: Stock,
        *,
        seed: int = 0,
        refill: "Renderer | None" = None,
    ) -> None:
        self.foregrounds, self.backgrounds, self.seed = foregrounds, backgrounds, seed
        self.refill = refill

    @torch.no_grad()
    def batch(self, requests: list[Request]) -> dict[str, Tensor]:
        """Compose the samples of requests of one size and progress, as `training.collate` does."""
        for pixels in self.refill.ready() if self.refill else ():
            self.foregrounds.put(pixels)
        first = requests[0]
        state = np.random.SeedSequence((self.seed, 2, first.index)).generate_state(1, np.uint64)
        generator = torch.Generator(self.foregrounds.atlas.device).manual_seed(int(state[0] >> 1))
        smooth = max(0.0, 1.0 - 3.0 * first.progress)
        places, alphas, trimap = self._shapes(first, len(requests), generator)
        dice = Dice(generator, len(requests))
        colour = self._colours(places, alphas, smooth, dice)
        alpha = _joint(alphas)
        background = self._background(first.size, smooth, dice)
        near = (colour * alpha).sum((2, 3), True) / alpha.sum((2, 3), True).clamp(min=1e-3)
        shift = near - background.mean((2, 3), keepdim=True)
        background = background + shift * dice.uniform(0.3, 0.8) * dice.chance(0.2)
        background = background.clamp(0, 1)
        image = photographed(background + (colour - background) * alpha, dice)
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
        dice = Dice(generator, CANDIDATES * count)
        places = [self._place(size, dice) for _ in range(2)]
        front, back = (self.foregrounds.sample(place, size + 2 * margin, ALPHA) for place in places)
        alpha = [front, back * dice.chance(0.25)]
        trimap = draw_trimaps(_joint(alpha), size, dice, without=0.1 * request.progress)
        inner = (..., slice(margin, margin + size), slice(margin, margin + size))
        alpha, trimap = [plane[inner] for plane in alpha], trimap[inner]
        hard = dice.chance(0.3 * request.progress).flatten()
        chosen = rank(trimap, hard).argsort(stable=True)[:count]
        places = [place.take(chosen) for place in places]
        return places, [plane[chosen] for plane in alpha], trimap[chosen]

    def _place(self, size: int, dice: Dice) -> Placement:
        """Place squares around soft pixels at scales from magnified to the whole picture."""
        whole = float(self.foregrounds.side)
        index = self.foregrounds.choose(dice, CUT_OUT_SHARE)
        side = dice.log_uniform(min(size / 1.4, whole), whole, 1)
        cells = self.foregrounds.side // CELL
        race = self.foregrounds.soft[index] / -dice.uniform(1e-7, 1.0, cells**2).log()
        cell = race.argmax(1, keepdim=True)  # each cell wins in proportion to its softness
        corner = torch.cat([cell % cells, cell // cells], 1)
        centre = (corner + dice.uniform(0, 1, 2)) * CELL + dice.uniform(-0.4, 0.4, 2) * side
        centre = centre.maximum(side / 2).minimum(whole - side / 2)
        quarter = dice.integers(4).flatten() * (math.pi / 2)
        tilt = dice.normal(0.0, 0.15, 1)[:, 0] * dice.chance(0.5).flatten()
        return Placement(index, centre, _axes(side / size, quarter + tilt, dice))

    def _colours(
        self, places: list[Placement], alpha: list[Tensor], smooth: float, dice: Dice
    ) -> Tensor:
        """Colour both foregrounds and lay the first over the second: straight colour."""
        front, back = (
            jitter(self._coloured(place, alpha[0].shape[-1], smooth, dice), dice)
            for place in places
        )
        joint = _joint(alpha)
        share = torch.where(joint > 1e-3, alpha[0] / joint.clamp(min=1e-6), 1.0)
        return back + (front - back) * share

    def _coloured(self, place: Placement, size: int, smooth: float, dice: Dice) -> Tensor:
        colour = self.foregrounds.sample(place, size, COLOURS)
        photograph = self._cover(size, dice, 1.0)
        colour = torch.where(dice.chance(0.12 * (1.0 - smooth)), photograph, colour)
        return torch.where(dice.chance(smooth), smooth_colour(size, dice), colour)

    def _background(self, size: int, smooth: float, dice: Dice) -> Tensor:
        scene = self._cover(size, dice, PHOTOGRAPH_SHARE)
        scene = torch.where(dice.chance(smooth), smooth_colour(size, dice), scene)
        defocus = dice.log_uniform(0.5, max(1.0, size / 20)) * dice.chance(0.35)
        return jitter(blur(scene, defocus), dice)

    def _cover(self, size: int, dice: Dice, share: float) -> Tensor:
        """Sample a part of a background, mirrored or not."""
        whole = float(self.backgrounds.side)
        index = self.backgrounds.choose(dice, share)
        side = dice.uniform(min(size, whole), whole, 1)
        centre = side / 2 + dice.uniform(0, 1, 2) * (whole - side)
        place = Placement(index, centre, _axes(side / size, torch.zeros_like(side[:, 0]), dice))
        return self.backgrounds.sample(place, size, COLOURS)


class Renderer:
    """Processes that render foregrounds of rising numbers, a few ahead of what is taken."""

    def __init__(
        self, executor: ProcessPoolExecutor, seed: int, first: int, side: int, ahead: int
    ) -> None:
        self.executor, self.seed, self.side, self.number = executor, seed, side, first
        self.pending: deque[Future[pack.Pixels]] = deque()
        for _ in range(ahead):
            self._order()

    def _order(self) -> None:
        job = self.executor.submit(pack.render_cut_out, self.seed, self.number, self.side)
        self.pending.append(job)
        self.number += 1

    def ready(self) -> Iterable[pack.Pixels]:
        """Give what is finished, without waiting, and order as many anew."""
        while self.pending and self.pending[0].done():
            yield self.pending.popleft().result()
            self._order()

    def close(self) -> None:
        """Stop rendering."""
        self.executor.shutdown(wait=False, cancel_futures=True)


def build_pool(
    *,
    pictures: Path | None = None,
    rendered: int = 1024,
    capacity: int = 8192,
    scenes: int = 256,
    side: int = pack.SIDE,
    seed: int = 0,
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> Pool:
    """Build a pool: `rendered` foregrounds, `scenes`, and the pictures of a pack or a folder.

    With `workers` the processes that rendered go on: foregrounds are added up to `capacity`, then
    replaced in turn, so batches depend on timing; without, they are pure functions of the seed.
    """
    cut_outs, photographs = pack.read_pictures(pictures) if pictures else ([], [])
    executor: ProcessPoolExecutor | None = None
    if workers:
        spawn = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, spawn, pack.limit_threads)
    spread: Map = partial(executor.map, chunksize=4) if executor else map
    stocks = []
    for files, decode, count, render, room in (
        (cut_outs, pack.decode_cut_out, rendered, pack.render_cut_out, capacity if workers else 0),
        (photographs, pack.decode_photograph, scenes, pack.render_scene, 0),
    ):
        decoded = spread(decode, files, repeat(side, len(files)))
        drawn = spread(render, repeat(seed, count), range(count), repeat(side, count))
        stocks.append(Stock(list(decoded), list(drawn), room, device=torch.device(device)))
    refill = Renderer(executor, seed, rendered, side, 2 * workers) if executor else None
    return Pool(stocks[0], stocks[1], seed=seed, refill=refill)


def rank(trimap: Tensor, hard: Tensor) -> Tensor:
    """Rank trimaps (N, 1, S, S) for use: 0 is well-posed, or `hard` with something known.

    2 has nothing unknown. Well-posed is what `dataset.well_posed` says.
    """
    unknown = (trimap == UNKNOWN).float().mean((1, 2, 3))
    known = torch.minimum(*((trimap == value).float().mean((1, 2, 3)) for value in (0.0, 1.0)))
    posed = (known >= LEAST) & (unknown >= LEAST) & (unknown <= MOST_UNKNOWN)
    usable = posed | (hard & (unknown > 0.01) & (unknown < 0.9))
    return torch.where(usable, 0, torch.where(unknown > 0.01, 1, 2))


def smooth_colour(size: int, dice: Dice) -> Tensor:
    """Render flat colours, gradients and low-frequency fields, (N, 3, size, size)."""
    base = dice.uniform(0.05, 0.95) + dice.normal(0.0, 0.2, 3, 1, 1)
    grey, tint = (dice.field(3, size, channels) for channels in (1, 3))
    return (base + dice.uniform(0.0, 0.5) * grey + dice.uniform(0.0, 0.25) * tint).clamp(0, 1)


def _joint(alpha: list[Tensor]) -> Tensor:
    return alpha[0] + (1.0 - alpha[0]) * alpha[1]


def _axes(scale: Tensor, angle: Tensor, dice: Dice) -> Tensor:
    """Combine scale (N, 1), angle (N) and a mirroring in one of two cases; (N, 2, 2)."""
    mirror = 1.0 - 2.0 * dice.chance(0.5).flatten()
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], 1)
    return turned.view(-1, 2, 2) * scale[..., None]
