"""Check and time the fused operators and the network on a GPU: python -m benchmarks.cuda_check.

Correctness first, against the plain torch form in float64; then operators beside the time that
their memory traffic alone takes, the whole network at 1080p, and training steps. `--rehearse` runs
every line of it on tiny sizes on the CPU; its numbers mean nothing. Needs torch, and Triton for the
fused forms; exits with 1 where a check fails.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators import affinity
from a2u_cli.operators.fused import resampling

RESULTS = Path(__file__).resolve().parent / "results"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}  # of the largest value
OPERATORS = ("downsample", "upsample", "filter_pair")
PARITY = 1e-4  # whole network, float32, relative to the largest value
LIMITS = {"operator": 2.0, "latency": 10.0}  # times the floor; ms


@dataclass
class Setup:
    """Where and how large; rehearsals are tiny."""

    device: torch.device
    rehearse: bool
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, value: str, limit: str = "", verdict: str = "") -> None:
        """Keep and print a line of the table."""
        self.rows.append((what, value, limit, verdict))
        print(f"{what:58} {value:>14} {limit:>10} {verdict}", flush=True)

    def judge(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """Add a line with its verdict; a rehearsal's times are not judged."""
        timed = unit != ""
        verdict = "rehearsed" if self.rehearse and timed else "ok" if value <= limit else "FAILED"
        text = f"{value:.3g} {unit}".strip()
        self.add(what, text, f"<= {limit:g}", verdict)

    def seconds(self, timed: Callable[[], object], runs: int = 20) -> float:
        """Give the median time of `timed`, on the GPU between CUDA events."""
        runs = 1 if self.rehearse else runs
        for _ in range(1 if self.rehearse else 5):
            timed()
        if self.device.type == "cpu":
            start = time.perf_counter()
            timed()
            return time.perf_counter() - start
        times = []
        for _ in range(runs):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            timed()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / 1000)
        return float(median(times))


def main() -> None:
    """Run everything, print the table last, write cuda_check.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS, help="for the CSV file")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("no CUDA device here: not measured. On a CPU use --rehearse.")
    setup = Setup(torch.device("cpu" if options.rehearse else "cuda"), options.rehearse)
    name = "CPU, rehearsal" if options.rehearse else torch.cuda.get_device_name()
    setup.add("machine", name, "", f"torch {torch.__version__}; forms: {resampling.describe()}")
    for part in (check_operators, check_network, time_operators, time_network, time_training):
        part(setup)
    finish(setup, options.folder)


def finish(setup: Setup, folder: Path) -> None:
    """Write the file, print the table, and exit."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "cuda_check_rehearsal.csv" if setup.rehearse else "cuda_check.csv"
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("what", "value", "limit", "verdict"), *setup.rows])
    failed = [row[0] for row in setup.rows if row[3] == "FAILED"]
    print(f"\nwritten to {folder / name}\n")
    for what, value, limit, verdict in setup.rows:
        print(f"{what:58} {value:>14} {limit:>10} {verdict}")
    sys.exit(f"FAILED: {', '.join(failed)}" if failed else 0)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Switch the fused forms off."""
    before = os.environ.get("A2U_NATIVE")
    os.environ["A2U_NATIVE"] = "0"
    try:
        yield
    finally:
        del os.environ["A2U_NATIVE"]
        if before is not None:
            os.environ["A2U_NATIVE"] = before


def operands(
    name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Make x and float32 kernels; `shape` is samples, channels, coarse height and width."""
    samples, channels, h, w = shape
    generator = torch.Generator(device).manual_seed(7)

    def image(channels: int, scale: int, dtype: torch.dtype) -> Tensor:
        size = (samples, scale * h, scale * w, channels)
        values = torch.randn(size, generator=generator, device=device, dtype=dtype)
        return values.movedim(-1, 1)  # (samples, channels, rows, columns), channels last

    if name == "downsample":
        return [image(channels, 2, dtype), image(36, 1, torch.float32) / 6]
    if name == "upsample":
        return [image(channels, 1, dtype), image(9, 2, torch.float32) / 3]
    filters = [torch.randn(samples, 36, generator=generator, device=device) / 6 for _ in range(2)]
    return [image(channels, 2, dtype), *filters]


def call(name: str, tensors: list[Tensor]) -> tuple[Tensor, ...]:
    """Run an operator in the form that the package would choose."""
    if name == "filter_pair":
        x, *filters = tensors
        return affinity.encode(x, *(f.view(-1, 1, 1, 6, 6) for f in filters))
    operator = affinity.downsample if name == "downsample" else affinity.upsample
    return (operator(*tensors),)


def with_gradients(name: str, tensors: list[Tensor]) -> list[Tensor]:
    """Give the outputs, and the gradients of all inputs for a fixed gradient of the outputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    outputs = call(name, leaves)
    generator = torch.Generator().manual_seed(8)
    grads = [torch.randn(o.shape, generator=generator).bfloat16().to(o) for o in outputs]
    return [*outputs, *torch.autograd.grad(outputs, leaves, grads)]


def difference(result: Tensor, expected: Tensor) -> float:
    """Give the largest difference, relative to the largest value."""
    expected = expected.double()
    error = (result.to(expected) - expected).abs().max() / expected.abs().max()
    return float(error)


def check_operators(setup: Setup) -> None:
    """Compare every fused form, forward and backward, with the plain form in float64."""
    shapes = [(2, 4, 3, 5)] if setup.rehearse else [(2, 64, 37, 61), (1, 256, 17, 9), (3, 33, 5, 7)]
    fused = resampling.usable(torch.zeros(1, device=setup.device), 6)
    verdict = "ok" if fused else "rehearsed" if setup.rehearse else "FAILED"
    setup.add("fused forms are in use", "yes" if fused else "no", "", verdict)
    for name in OPERATORS:
        for label, dtype in DTYPES.items():
            worst = 0.0
            for shape in shapes:
                tensors = operands(name, shape, dtype, setup.device)
                result = with_gradients(name, tensors)
                with plain_torch():
                    expected = with_gradients(name, [tensor.double() for tensor in tensors])
                worst = max(worst, *map(difference, result, expected))
            setup.judge(f"{name} {label}: error, gradients included", worst, TOLERANCE[label])


def make_network(device: torch.device) -> MattingNetwork:
    torch.manual_seed(0)
    network = MattingNetwork().to(device).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def make_input(device: torch.device, samples: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Make a random image and an unknown trimap, (samples, 3 and 1, height, width)."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(samples, 3, height, width, generator=generator)
    trimap = torch.full((samples, 1, height, width), 128 / 255)
    return tuple(t.to(device, memory_format=torch.channels_last) for t in (image, trimap))


def check_network(setup: Setup) -> None:
    """Compare the whole network on the device with the plain form on the CPU, in float32."""
    side = 32 if setup.rehearse else 256
    precise = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    cpu = torch.device("cpu")
    with torch.inference_mode():
        with plain_torch():
            expected = make_network(cpu)(*make_input(cpu, 1, side, side))
        result = make_network(setup.device)(*make_input(setup.device, 1, side, side))
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = precise
    error = difference(result.cpu(), expected)
    setup.judge(f"network float32, {side} px: device against CPU", error, PARITY)


def measured_bandwidth(setup: Setup) -> float:
    """Give bytes a second, read and written, of a large copy."""
    source = torch.zeros((1 << 16) if setup.rehearse else (1 << 32), dtype=torch.uint8)
    source = source.to(setup.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / setup.seconds(lambda: target.copy_(source))


def time_operators(setup: Setup) -> None:
    """Time operators at the sizes of a 1080p picture's first level beside their floor."""
    bandwidth = measured_bandwidth(setup)
    setup.add("memory bandwidth of a copy", f"{bandwidth / 1e9:.0f} GB/s")
    shape = (1, 4, 3, 4) if setup.rehearse else (1, 64, 544, 960)
    for label in ("bfloat16", "float32"):
        for name in OPERATORS:
            tensors = operands(name, shape, DTYPES[label], setup.device)
            time_operator(setup, f"{name} {label}", name, tensors, bandwidth)


def time_operator(
    setup: Setup, title: str, name: str, tensors: list[Tensor], bandwidth: float
) -> None:
    """Time an operator forward and backward; the floor reads and writes each tensor once."""
    with torch.no_grad():
        outputs = call(name, tensors)
        floor = size_of([*tensors, *outputs]) / bandwidth
        seconds = setup.seconds(lambda: call(name, tensors))
        with plain_torch():
            plain = setup.seconds(lambda: call(name, tensors), runs=5)
    setup.add(f"{title}: floor", f"{1e6 * floor:.0f} us")
    setup.add(f"{title}: plain torch", f"{1e6 * plain:.0f} us")
    setup.add(f"{title}: fused", f"{1e6 * seconds:.0f} us")
    setup.judge(f"{title}: fused, of its floor", seconds / floor, LIMITS["operator"], "x floor")
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    results = call(name, leaves)
    grads = [torch.ones_like(o) for o in results]
    backward = setup.seconds(
        lambda: torch.autograd.grad(results, leaves, grads, retain_graph=True), runs=10
    )
    floor = size_of([*tensors, *tensors, *outputs]) / bandwidth  # each input, its gradient, grads
    setup.add(f"{title}: backward", f"{1e6 * backward:.0f} us")
    setup.add(f"{title}: backward, of its floor", f"{backward / floor:.2f} x floor")


def size_of(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def time_network(setup: Setup) -> None:
    """Time the whole network at 1080p, norms folded: plain, fused, and as a CUDA graph."""
    height, width = (16, 32) if setup.rehearse else (1088, 1920)
    network = fold_norms(make_network(setup.device), torch.bfloat16)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.mean, network.std = network.mean.bfloat16(), network.std.bfloat16()
    arguments = [t.bfloat16() for t in make_input(setup.device, 1, height, width)]
    torch.backends.cudnn.benchmark = True
    with torch.inference_mode():
        with plain_torch():
            plain = setup.seconds(lambda: network(*arguments), runs=5)
        setup.add(f"network {width}x{height} bfloat16: plain torch", f"{1e3 * plain:.2f} ms")
        eager = setup.seconds(lambda: network(*arguments))
        setup.judge(f"network {width}x{height} bfloat16", 1e3 * eager, LIMITS["latency"], "ms")
        if setup.device.type == "cpu":
            return
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(*arguments)
        replay = setup.seconds(graph.replay)
        title = f"network {width}x{height} bfloat16, CUDA graph"
        setup.judge(title, 1e3 * replay, LIMITS["latency"], "ms")
    gigabytes = torch.cuda.max_memory_allocated() / 1e9
    setup.add("peak GPU memory so far", f"{gigabytes:.1f} GB")


def time_training(setup: Setup) -> None:
    """Time training steps in bfloat16 autocast: forward, L1 loss, backward, AdamW."""
    batch = 2 if setup.rehearse else 16
    network = make_network(setup.device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for side in (32,) if setup.rehearse else (256, 384, 512):
        image, trimap = make_input(setup.device, batch, side, side)
        target = image.mean(1, keepdim=True)

        def step(image: Tensor = image, trimap: Tensor = trimap, target: Tensor = target) -> None:
            with torch.autocast(setup.device.type, torch.bfloat16):
                alpha = network(image, trimap)
            loss = F.l1_loss(alpha.float(), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

        seconds = setup.seconds(step, runs=10)
        title = f"training, {batch} pictures of {side} px, bfloat16"
        setup.add(title, f"{1 / seconds:.2f} steps/s", "", f"{batch / seconds:.0f} pictures/s")


if __name__ == "__main__":
    main()
