"""From arrays to arrays: pad, run the network, crop, keep what the trimap knows."""

import numpy as np
import torch

from ..errors import A2UError, OutOfMemory, is_memory
from ..network.folding import fold_norms
from ..network.model import ConvNorm, MattingNetwork
from ..trimap import restore_known
from ..units import UNKNOWN, FloatArray, Mask, Trimap
from .areas import cost, cover_closely, pad_needed
from .devices import exactly, free_memory
from .pacing import Tell, unheard
from .planning import Plan, make_plan, make_whole_plan
from .quality import Quality, Watch, compose, require_inputs, require_quality
from .streaming import run_whole, stream, streams
from .windows import Window

SHARE = 0.8  # of the free memory is taken
CACHED_TILE, LARGEST_TILE = 384, 2048  # sides: where caches matter, and where launches do
VIEWS = 32  # bytes a pixel that "best" holds beside a pass: a mirrored picture, two mattes
WORTH_WINDOWS = 1 / 3  # of the whole's cost: dearer windows lose to the network in one piece


def matte(
    network: MattingNetwork,
    image: FloatArray,
    trimap: Trimap,
    *,
    dtype: torch.dtype = torch.float32,
    max_memory: int | None = None,
    skip_known: bool = True,
    quality: Quality = "fast",
    watch: Watch | None = None,
) -> FloatArray:
    """Estimate the alpha matte of an image, on the device that the network is on.

    `image` is float32 (H, W, 3) RGB in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}; the result
    is float32 (H, W) in [0, 1], exactly 0 and 1 where the trimap knows. `dtype` is that of the
    convolutions; statistics and softmax stay in float32. `max_memory` bounds the bytes that the
    process may take (None: most of what is free) and `skip_known` leaves out work that no unknown
    pixel depends on; neither changes the matte by more than rounding. For many pictures, hand in
    `fold_norms(network, dtype)`: then it is not folded each time anew. A network with resampling
    pairs other than A2U's runs in one piece, whatever `skip_known` says, and is refused where that
    does not fit into `max_memory`.

    `quality` "fast" is one pass of the network. "refined" lets the colours settle what the pass
    leaves between 0 and 1 (`refinement.refine`). "best" takes a pass more: what it settles is the
    mean with the mirrored picture's matte. `watch` is told of each pass, and of the refinement,
    when it begins and while it goes on, in the thread that calls; what it raises ends the work and
    comes out here.

    Raises ImageError or TrimapError for arrays of another kind, OutOfMemory where the picture does
    not fit, A2UError where the network's output is not finite.
    """
    require_inputs(image, trimap)
    quality = require_quality(quality)
    with torch.inference_mode(), exactly(dtype):
        if isinstance(network.stem, ConvNorm):  # else folded by the caller
            network = fold_norms(network, dtype)

        if max_memory is not None and quality == "best":
            max_memory -= VIEWS * trimap.size

        def view(image: FloatArray, trimap: Trimap, tell: Tell) -> FloatArray:
            return _run(network, image, trimap, dtype, max_memory, tell, skip_known=skip_known)

        device = str(network.mean.device)
        return compose(view, image, trimap, quality, watch=watch, device=device)


def _run(
    network: MattingNetwork,
    image: FloatArray,
    trimap: Trimap,
    dtype: torch.dtype,
    max_memory: int | None,
    tell: Tell,
    *,
    skip_known: bool,
) -> FloatArray:
    """Run a folded network once: the matte as `matte` describes it."""
    device = network.mean.device
    windows = streams(network)
    plan = plan_memory(
        trimap.shape, device=device, dtype=dtype, max_memory=max_memory, windows=windows
    )
    needed = trimap == UNKNOWN if skip_known else None
    try:
        alpha = raw_alpha(network, image, trimap, plan, needed, tell)
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        height, width = trimap.shape
        raise OutOfMemory(
            f"a picture of {width}x{height} does not fit into the memory of {device}; "
            "make the picture smaller or use a device with more memory"
        ) from error
    if not np.isfinite(alpha if needed is None else alpha[needed]).all():
        raise A2UError(
            f"the network gave values that are not finite in {dtype}; use --dtype float32, "
            "or check the weights with: a2u weights verify"
        )
    return restore_known(np.clip(alpha, 0.0, 1.0, out=alpha), trimap)


def raw_alpha(
    network: MattingNetwork,
    image: FloatArray,
    trimap: Trimap,
    plan: Plan,
    needed: Mask | None,
    tell: Tell = unheard,
) -> FloatArray:
    """Run a folded network in the way that is cheapest: whole, or the windows that are needed."""
    if not streams(network) or _in_one_piece(plan, needed):
        return run_whole(network, image, trimap, tell)
    return stream(network, image, trimap, plan, needed=needed, tell=tell)


def _in_one_piece(plan: Plan, needed: Mask | None) -> bool:
    """Tell whether the network itself is the way: it fits, and little of it could be left out."""
    return plan.whole and (needed is None or _share_in_windows(plan, needed) > WORTH_WINDOWS)


def decoded_share(plan: Plan, needed: Mask) -> float:
    """Tell how much of a picture is decoded for the needed pixels, bool (H, W): 1 is all of it."""
    share = _share_in_windows(plan, needed)
    return 1.0 if plan.whole and share > WORTH_WINDOWS else min(1.0, share)


def _share_in_windows(plan: Plan, needed: Mask) -> float:
    """Tell what the windows of needed pixels cost, against the whole picture in one."""
    pixels = pad_needed((needed.shape[0], needed.shape[1]), needed)
    height, width = pixels.shape
    whole = [Window(0, height, 0, width, (height, width))]
    return cost(cover_closely(pixels, plan, 0), 0) / cost(whole, 0)


def memory_budget(device: torch.device, max_memory: int | None) -> int:
    """Tell how many bytes may be taken on a device; None: most of what is free."""
    return int(SHARE * free_memory(device)) if max_memory is None else max_memory


def plan_memory(
    size: tuple[int, int],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    max_memory: int | None = None,
    windows: bool = True,
) -> Plan:
    """Choose how to walk a picture of (height, width); as text, the plan says what it will take.

    Without `windows`, as `streams` tells of a network, it is one piece.

    Raises OutOfMemory where it does not fit into `max_memory` bytes, None: most of what is free.
    """
    cuda, budget = device.type == "cuda", memory_budget(device, max_memory)
    if not windows:
        return make_whole_plan(size, budget=budget, value=dtype.itemsize)
    largest = LARGEST_TILE if cuda else CACHED_TILE
    return make_plan(size, budget=budget, value=dtype.itemsize, largest=largest)
