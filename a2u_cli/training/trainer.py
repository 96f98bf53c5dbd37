"""Train the matting network: the loop, validation, checkpoints that resume exactly."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import A2UError, WeightsError, is_memory, listed
from ..images.writing import write_image
from ..network.model import MattingNetwork, freeze_norms
from ..operators.fused import convolution
from ..scoring.metrics import Scores, score
from ..units import UNKNOWN
from ..weights.cache import memory_for, reason, writing
from ..weights.format import load_model, save_weights
from . import distributed, muon
from .data.engine import DataEngine, Request
from .losses import Batch, matting_loss
from .options import TrainOptions

CHECKPOINT, PREVIEW, WEIGHTS = "checkpoint.pt", "preview.png", "weights.safetensors"
CURVE = "curve.jsonl"  # in the run's folder, a line a step
MOST_LOST = 4  # steps in a row whose gradient is not finite, before a run is given up
VALIDATION_CROPS = 32
VALIDATION_SIZE = 128
CHANGEABLE = ("steps", "minutes", "save_every")  # of the options, where a run goes on
# Of the settings: older checkpoints do not tell them.
TOLD_LATER = ("start", "held out", "operator")


@dataclass(frozen=True)
class Validation:
    """Means over crops that training never sees: L1 in the unknown region, and the four metrics."""

    error: float
    sad: float
    mse: float
    grad: float
    conn: float

    def __str__(self) -> str:
        return (
            f"validation {self.error:.4f} (SAD {self.sad:.3f}, MSE {1000 * self.mse:.1f}e-3, "
            f"Grad {self.grad:.3f}, Conn {self.conn:.3f})"
        )


@dataclass(frozen=True)
class StepReport:
    """One line of the curve: losses are means over the unknown region."""

    step: int
    loss: float
    alpha: float
    composition: float
    pyramid: float
    rate: float
    seconds: float
    lost: bool = False  # its gradient was not finite, and nothing was learned from it
    validation: Validation | None = None


def start_network(weights: str | None, *, seed: int, operator: str | None = None) -> MattingNetwork:
    """Load the weights to start from, or make a new network with an operator from the seed."""
    if weights is not None:
        return load_model(weights)
    torch.manual_seed(seed)
    return MattingNetwork(operator=operator)


class Trainer:
    """A training run in a folder: `curve.jsonl`, `checkpoint.pt`, `preview.png`.

    A folder that holds a checkpoint is continued from it; everything random hangs on the seed and
    the step, so the curve goes on as if it had never stopped. Of the options only `steps` and
    `minutes`, which the rate then follows, and `save_every` may differ from the checkpoint's. Under
    torchrun every process takes its share of each batch, and the first one writes. Validation crops
    are from `held_out`; without it other crops of the pictures trained on. `start` names the
    weights that the run starts from, by their sha256; the `licence` is the checkpoint's unless
    given.

    Raises A2UError where a checkpoint is of other options or samples, or beyond what is asked for,
    or a batch cannot be shared evenly; WeightsError where it is no checkpoint of this network.
    """

    def __init__(
        self,
        network: MattingNetwork,
        source: DataEngine,
        options: TrainOptions,
        folder: Path,
        *,
        device: torch.device | str = "cpu",
        held_out: DataEngine | None = None,
        start: str | None = None,
        licence: str | None = None,
    ) -> None:
        self.start, self.licence = start, licence or "unstated"
        self._keeps_licence = licence is None
        self.options, self.source, self.held_out, self.folder = options, source, held_out, folder
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = distributed.parallel(self.network)
        banks = {p for p in self.network.parameters() if muon.suits(p)}
        rest = [p for p in self.network.parameters() if p not in banks]
        rate, decay = options.learning_rate, options.weight_decay
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            muon.Muon(
                [p for p in self.network.parameters() if p in banks],
                rate,
                weight_decay=decay,
                dtype=_rounding(self.device) if options.bfloat16 else torch.float32,
            ),
            torch.optim.AdamW(rest, rate, weight_decay=decay),
        )
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(options.average_kept),
            use_buffers=True,
        )
        self.lost = 0  # steps in a row whose gradient was not finite
        self.step, self._seconds, self._since = 0, 0.0, time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def averaged(self) -> MattingNetwork:
        """The exponential average of the weights, which is what gets released."""
        return cast(MattingNetwork, self.average.module)

    @property
    def seconds(self) -> float:
        """How long the run has trained, those before it went on included."""
        return self._seconds + time.monotonic() - self._since

    def run(self, report: Callable[[StepReport], None] = lambda _: None) -> None:
        """Train to the last step or minute, saving every `save_every` steps."""
        options, first = self.options, distributed.rank() == 0
        self._seconds, self._since = self.seconds, time.monotonic()
        requests = self._requests()
        with (
            (self.folder / CURVE).open("a") if first else nullcontext() as curve,
            ThreadPoolExecutor(1, "composing") as composing,
        ):
            request = next(requests, None)
            coming = composing.submit(self._compose, request)
            while request is not None and (batch := coming.result()) is not None:
                start = time.perf_counter()
                rate = options.rate(request.step, request.done)
                request = next(requests, None)
                coming = composing.submit(self._compose, request)  # while the network trains
                losses = self._train_step(batch, rate)
                line = self._describe(losses, rate, start)
                if curve is None:
                    continue
                due = self.step % options.save_every == 0 or request is None
                if due:
                    line = StepReport(**{**asdict(line), "validation": self.validate()})
                curve.write(json.dumps(asdict(line)) + "\n")
                curve.flush()
                if due:  # last, since a resumed run drops what the curve has beyond it
                    self.save()
                report(line)

    def _requests(self) -> Iterator[Request]:
        processes = distributed.processes()
        if any(count % processes for count in self.options.crops):
            raise A2UError(
                f"batches of {sorted(self.options.crops)} crops, expected multiples of the "
                f"{processes} processes; change --batch or --size"
            )
        step = self.step
        while (share := self._share(step)) < 1.0:
            yield self.options.request(step, share)
            step += 1

    def _share(self, step: int) -> float:
        """Tell how much of the run is over: one value for all processes, whose clocks differ."""
        if self.options.minutes is None:
            return step / self.options.steps
        share = self.seconds / (60.0 * self.options.minutes)
        return float(distributed.mean(torch.tensor(share, dtype=torch.float64)))

    def _compose(self, request: Request | None) -> Batch | None:
        place = distributed.rank(), distributed.processes()
        return None if request is None else self.source.batch(request.share(*place))

    def _train_step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Do a step and give its losses; where its gradient is not finite, nothing is learned."""
        for group in (g for o in self.optimisers for g in o.param_groups):
            group["lr"] = rate
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)  # dropout
        self.network.train()
        if self.options.frozen_norms:
            freeze_norms(self.network)
        losses = self.losses(self.model, batch, shared=True)
        self.network.zero_grad()
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.lost = 0 if norm.isfinite() else self.lost + 1
        if not self.lost:
            for optimiser in self.optimisers:
                optimiser.step()
            self.average.update_parameters(self.network)
        self.step += 1
        return {name: value.detach() for name, value in losses.items()}

    def _describe(self, losses: dict[str, Tensor], rate: float, start: float) -> StepReport:
        """Wait for a step's losses."""
        means = distributed.mean(torch.stack(list(losses.values())))
        values = dict(zip(losses, means.tolist(), strict=True))
        if self.lost > MOST_LOST:
            raise A2UError(
                f"step {self.step - 1}: the gradient is not finite, {self.lost} times in a row; "
                f"continue from the last checkpoint in {self.folder} with a lower learning rate"
            )
        seconds = time.perf_counter() - start
        return StepReport(step=self.step, rate=rate, seconds=seconds, lost=self.lost > 0, **values)

    def losses(
        self, network: nn.Module, batch: Batch, *, shared: bool = False
    ) -> dict[str, Tensor]:
        """Run a network on a batch from anywhere and give the losses of `matting_loss`."""
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            image = batch["image"].contiguous(memory_format=torch.channels_last)
            raw = network(image, batch["trimap"])
        return matting_loss(raw, batch, shared=shared)

    @cached_property
    def _validation(self) -> list[Batch]:
        engine = self.held_out or self.source.validating()
        numbers = range(VALIDATION_CROPS)
        requests = [
            Request(0, numbers[i : i + 8], VALIDATION_SIZE) for i in range(0, VALIDATION_CROPS, 8)
        ]
        return [engine.batch(request) for request in requests]

    @torch.no_grad()
    def validate(self) -> Validation:
        """Score the average on crops that training never sees; writes a preview."""
        network = self.averaged.eval()
        errors, scores, rows = [], [], []
        for batch in self._validation:
            raw = network(batch["image"].to(self.device), batch["trimap"].to(self.device))
            raw, batch = raw.cpu().float(), {name: value.cpu() for name, value in batch.items()}
            errors.append(matting_loss(raw, batch)["alpha"].item())
            known = batch["trimap"] != UNKNOWN / 255
            alpha = torch.where(known, batch["trimap"], raw.clamp(0, 1))
            scores += _score_crops(alpha, batch)
            rows.append(_preview(alpha, batch))
        write_image(self.folder / PREVIEW, np.concatenate(rows), depth=8)
        names = ("sad", "mse", "grad", "conn")
        means = {name: fmean(getattr(crop, name) for crop in scores) for name in names}
        return Validation(fmean(errors), **means)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "settings": self._settings(),
            "until": self._until,
            "licence": self.licence,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        with writing(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _settings(self) -> dict[str, Any]:
        """Tell what makes the curve what it is: the options, and where samples come from."""
        options = {k: v for k, v in asdict(self.options).items() if k not in CHANGEABLE}
        held_out = str(self.held_out.facts()) if self.held_out else "none"
        options |= {"start": self.start or "a new network", "held out": held_out}
        options |= {"operator": self.network.operator}
        return options | {f"samples' {name}": fact for name, fact in self.source.facts().items()}

    @property
    def _until(self) -> list[float | None]:
        """When this run ends: steps, or minutes."""
        minutes = self.options.minutes
        return [self.options.steps if minutes is None else None, minutes]

    def _require_same(self, before: dict[str, Any]) -> None:
        now = self._settings()
        since = asdict(TrainOptions())  # an option that the checkpoint does not know stood so
        before = {name: since[name] for name in since if name in now} | before
        before = {name: now[name] for name in TOLD_LATER} | before
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            former, asked = (
                listed([f"{name} {settings.get(name)}" for name in names])
                for settings in (before, now)
            )
            raise A2UError(
                f"{self.checkpoint} was trained with {former}, but asked for is {asked}; go on "
                "with the former, or choose another folder"
            )

    def _resume(self) -> None:
        with memory_for(self.checkpoint):
            try:
                state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
                self._require_same(state["settings"])
                self.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"])
                for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
                    optimiser.load_state_dict(kept)
                self.step, self._seconds = _progress(state["step"], state["seconds"])
                if self._keeps_licence:
                    self.licence = str(state.get("licence", self.licence))
            except Exception as error:
                if isinstance(error, A2UError) or is_memory(error):
                    raise
                raise WeightsError(
                    f"{self.checkpoint}: not a checkpoint of this network ({reason(error)}); "
                    "choose another folder, or remove the file to start anew"
                ) from error
        self._require_more(state.get("until"))
        curve = self.folder / CURVE
        if curve.exists() and distributed.rank() == 0:  # steps after the checkpoint are done again
            lines = curve.read_bytes().splitlines()[: self.step]
            with writing(curve) as temporary:
                temporary.write_bytes(b"".join(line + b"\n" for line in lines))

    def _require_more(self, before: object) -> None:
        """Refuse another, earlier end than a finished run had: nothing would be done of it."""
        if self.options.minutes is None:
            beyond, asked = self.step > self.options.steps, f"{self.options.steps} steps"
        else:
            over = self._seconds >= 60 * self.options.minutes
            beyond = over and before is not None and before != self._until
            asked = f"{self.options.minutes:g} minutes"
        if beyond:
            raise A2UError(
                f"{self.checkpoint} has trained for {self.step} steps, {self._seconds / 60:.1f} "
                f"minutes, but asked for is {asked}; ask for more, or choose another folder"
            )


def _progress(step: Any, seconds: Any) -> tuple[int, float]:
    """Take a checkpoint's steps and seconds; raises ValueError where they cannot be such."""
    if type(step) is not int or step < 0 or not 0 <= float(seconds) < math.inf:
        raise ValueError(f"step {step!r} after {seconds!r} seconds")
    return step, float(seconds)


def _rounding(device: torch.device) -> torch.dtype:
    """Give the dtype that serves Muon best in a run in bfloat16: that, where it is fast."""
    fast = device.type != "cpu" or convolution.computes_in(torch.bfloat16)
    return torch.bfloat16 if fast else torch.float32


def _score_crops(alpha: Tensor, batch: Batch) -> list[Scores]:
    planes = (alpha, batch["alpha"], batch["trimap"])
    levels = [np.asarray((255.0 * p[:, 0]).round().numpy(), np.uint8) for p in planes]
    return [score(*crop) for crop in zip(*levels, strict=True) if (crop[2] == UNKNOWN).any()]


def _preview(alpha: Tensor, batch: Batch) -> np.ndarray[Any, Any]:
    """Lay out image, trimap, prediction and truth below each other, a column a sample."""
    planes = [batch["image"], batch["trimap"], alpha, batch["alpha"]]
    columns = [torch.cat([p[n].expand(3, -1, -1) for p in planes], 1) for n in range(8)]
    return torch.cat(columns, 2).clamp(0, 1).permute(1, 2, 0).numpy()


def require_own(folder: Path) -> None:
    """Refuse a folder whose files a run would replace or go on with, though none has begun there.

    Raises A2UError.
    """
    begun = (curve := folder / CURVE).is_file() and b'{"step":'.startswith(curve.read_bytes()[:8])
    there = [folder / name for name in (CURVE, WEIGHTS, PREVIEW) if os.path.lexists(folder / name)]
    if there and not (begun or (folder / CHECKPOINT).exists()):
        raise A2UError(
            f"{there[0]} is there, and no training has begun in {folder}; choose another folder"
        )


def export(trainer: Trainer, *, quality: str = "") -> Path:
    """Write the averaged weights as `weights.safetensors` in the run's folder, in float16.

    `quality` is what the weights that the run started from are best used with.
    """
    path = trainer.folder / WEIGHTS
    save_weights(
        trainer.averaged,
        path,
        licence=trainer.licence,
        source="a2u train",
        training=trainer.options.filled() | {"steps": trainer.step},
        quality=quality,
        dtype=torch.float16,
    )
    return path
