"""What the whole-pass benchmark measures, each ready to run on a made-up picture.

A method prepares everything that does not belong to the pass and returns the pass, to be timed.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from a2u_cli.errors import OutOfMemory
from a2u_cli.matting.inference import matte
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.training.losses import matting_loss

from .cases import VITMATTE, Case, picture
from .floor import convolutions, convolutions_in_strips
from .reference import ReferencePair

Pass = Callable[[], object]
WARM_SIDE = 1024  # a warm-up takes the picture's method to at most this side
BATCH = {"cuda": 16, "cpu": 2}  # pictures in a training step
REPEATS_CUDA = 20


@dataclass(frozen=True)
class Measured:
    """Seconds of each pass, and the process's (on CUDA, the device's) peak memory in bytes."""

    seconds: list[float]
    peak: int


def serve(case: Case, answer: Connection) -> None:
    """Send what `measure` finds, or in words why it found nothing: the body of a fresh process."""
    if case.device == "cpu":
        _limit_memory()
    try:
        answer.send(measure(case))
    except Exception as error:
        texts = ("alloc", "memory")
        short = isinstance(error, (MemoryError, OutOfMemory)) or any(t in str(error) for t in texts)
        reason = f"failed: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        answer.send("did not fit" if short else reason)


def measure(case: Case) -> Measured:
    """Warm up on a picture of at most 1024x1024, then time the pass: once, on CUDA 20 times."""
    method = METHODS[case.method]
    cuda = case.device == "cuda"
    if cuda:
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
    small = (min(case.size[0], WARM_SIDE), min(case.size[1], WARM_SIDE))
    method(replace(case, size=small))()
    run = method(case)
    if cuda:
        run()  # algorithms are chosen, and kernels compiled, for each shape
        torch.cuda.reset_peak_memory_stats()
    seconds = [_time(run, cuda=cuda) for _ in range(REPEATS_CUDA if cuda else 1)]
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return Measured(seconds, torch.cuda.max_memory_allocated() if cuda else peak)


def _time(run: Pass, *, cuda: bool) -> float:
    start = time.perf_counter()
    run()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _limit_memory() -> None:
    """Let a pass that does not fit fail by itself, before it takes the machine down."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        lines = dict(line.split(":") for line in facts.read_text().splitlines())
        available = 1024 * int(lines["MemAvailable"].split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (available, hard))


def ours(case: Case) -> Pass:
    """Matte as a user of the library would: arrays in, array out, everything automatic."""
    dtype = getattr(torch, case.dtype)
    network = fold_norms(_ours(case.device).eval(), dtype)
    image, trimap = picture(case)
    bound = None if case.bound is None else int(case.bound * 2**30)
    return lambda: matte(network, image, trimap, dtype=dtype, max_memory=bound)


def network_alone(case: Case) -> Pass:
    """Run our network as it stands on tensors that lie on the device."""
    network = _ours(case.device).eval()
    image, trimap = _tensors(case)
    image = image.contiguous(memory_format=torch.channels_last)
    return _forward(lambda: network(image, trimap), case)


def unfold(case: Case) -> Pass:
    """Run the network with the reference's operators on tensors that lie on the device."""
    network = _reference(case.device).eval()
    image, trimap = _tensors(case)
    return _forward(lambda: network(image, trimap), case)


@cache
def _ours(device: str) -> MattingNetwork:
    torch.manual_seed(0)
    return MattingNetwork().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@cache
def _reference(device: str) -> MattingNetwork:
    torch.manual_seed(0)
    return MattingNetwork(pair=ReferencePair).to(device)


def _tensors(case: Case) -> tuple[Tensor, Tensor]:
    image, trimap = picture(case)
    colours = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()  # (1, 3, H, W)
    hint = torch.from_numpy(trimap)[None, None].float() / 255.0  # (1, 1, H, W)
    return colours.to(case.device), hint.to(case.device)


def _forward(network_pass: Pass, case: Case) -> Pass:
    def run() -> None:
        with torch.inference_mode(), _autocast(case):
            network_pass()

    return run


def _autocast(case: Case) -> torch.autocast:
    return torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == "bfloat16")


def closed_form(case: Case) -> Pass:
    """Run pymatting's closed-form matting untuned; it needs known pixels of both kinds."""
    import pymatting

    image, trimap = picture(case)
    arrays = image.astype(np.float64), trimap / 255.0
    return lambda: pymatting.estimate_alpha_cf(*arrays)


def vitmatte(case: Case) -> Pass:
    """Run ViTMatte-S with random weights, in the published configuration."""
    transformers: Any = import_module("transformers")
    transformers.logging.set_verbosity_error()
    backbone = transformers.VitDetConfig(
        hidden_size=384,
        num_attention_heads=6,
        num_channels=4,
        image_size=512,
        window_size=14,
        window_block_indices=[0, 1, 3, 4, 6, 7, 9, 10],
        residual_block_indices=[2, 5, 8, 11],
        use_relative_position_embeddings=True,
        out_features=["stage12"],
    )
    sizes = {"convstream_hidden_sizes": [48, 96, 192], "fusion_hidden_sizes": [256, 128, 64, 32]}
    config = transformers.VitMatteConfig(backbone_config=backbone, hidden_size=384, **sizes)
    torch.manual_seed(0)
    dtype = getattr(torch, case.dtype)
    network = transformers.VitMatteForImageMatting(config).eval().to(case.device, dtype)
    pixels = torch.cat(_tensors(case), 1)  # (1, 4, H, W)
    pixels = F.pad(pixels, (0, -pixels.shape[3] % 32, 0, -pixels.shape[2] % 32)).to(dtype)

    def run() -> None:
        with torch.inference_mode():
            network(pixel_values=pixels)

    return run


def train_ours(case: Case) -> Pass:
    """Train our network by one step on a batch of crops of `size`."""
    return _train(_ours(case.device), case)


def train_unfold(case: Case) -> Pass:
    """Train the network with the reference's operators by one step."""
    return _train(_reference(case.device), case)


def _train(network: MattingNetwork, case: Case) -> Pass:
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-4)
    shapes = {"image": 3, "trimap": 1, "alpha": 1, "foreground": 3, "background": 3}
    batch = {
        name: torch.rand(BATCH[case.device], channels, *case.size, device=case.device)
        for name, channels in shapes.items()
    }
    batch["trimap"].fill_(128 / 255)

    def run() -> None:
        with _autocast(case):
            raw = network(batch["image"], batch["trimap"])
        optimiser.zero_grad(set_to_none=True)
        matting_loss(raw, batch)["loss"].backward()
        optimiser.step()

    return run


METHODS: dict[str, Callable[[Case], Pass]] = {
    "unfold": unfold,
    "ours": ours,
    "our network alone": network_alone,
    "convolutions": convolutions,
    "convolutions in strips": convolutions_in_strips,
    "closed-form": closed_form,
    VITMATTE: vitmatte,
    "training step, unfold": train_unfold,
    "training step, ours": train_ours,
}
