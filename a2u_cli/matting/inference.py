"""From arrays to arrays: pad, run the network, crop, keep what the trimap knows."""

from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import torch

from ..errors import A2UError, ImageError, OutOfMemory, is_memory
from ..images.arrays import require_array
from ..network.folding import fold_norms
from ..network.model import ConvNorm, MattingNetwork
from ..trimap import check_pair, halve_trimap, require_trimap, restore_known
from ..units import UNKNOWN, FloatArray, Mask, Trimap
from .areas import cost, cover_closely, pad_needed
from .devices import exactly, free_memory
from .planning import Plan, make_plan
from .refinement import refine
from .streaming import run_whole, stream, streams
from .windows import Window

SHARE = 0.8  # of the free memory is taken
CACHED_TILE, LARGEST_TILE = 384, 2048  # sides: where caches matter, and where launches do
Watch = Callable[[str, float], object]  # told what begins, and what share of all is done by then
Quality = Literal["fast", "refined", "best"]
FORMER = {"standard": "fast"}  # what a quality was called before
HALF_WEIGHT, HALF_DEPTH = 0.8, 64.0  # of the half-size matte, from so many pixels of the known on
CONFIDENCE, DOUBT = 0.1, 2e-3  # in a matte where its views agree; their spread that halves it
LEAST, SURE, SHARPNESS = 0.0007, 0.01, 8  # confidence in one pass: least, and more towards 0 and 1
SLACK = 0.02  # what the refinement, being least squares, falls short of 0 and 1
STILL = 0.05  # a move by the colours of one pass's matte that is halved; smaller ones are more so
VIEWS = 36  # bytes a pixel that "best" holds beside a pass: a mirrored picture, three mattes
HALF, SOLVER = 0.25, 0.6  # what the half size and the refinement take, about, of one pass
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
    pairs other than A2U's runs in one piece, whatever `max_memory` and `skip_known` say.

    `quality` "fast" is one pass of the network. "refined" lets the colours settle what the pass
    leaves between 0 and 1 (`refinement.refine`). "best" takes about three times as long:
    it averages the matte with that of the mirrored picture, and deep in unknown regions with that
    of the picture at half size, where the network sees more of what surrounds them; the colours
    decide where the three differ. `watch` is told of each pass, and of the refinement, when it
    begins.

    Raises ImageError or TrimapError for arrays of another kind, OutOfMemory where the picture does
    not fit, A2UError where the network's output is not finite.
    """
    _check_pair(image, trimap)
    quality = require_quality(quality)
    with torch.inference_mode(), exactly(dtype):
        if isinstance(network.stem, ConvNorm):  # else folded by the caller
            network = fold_norms(network, dtype)

        if max_memory is not None and quality == "best":
            max_memory -= VIEWS * trimap.size
        steps = _Steps(quality, trimap, watch)

        def view(image: FloatArray, trimap: Trimap) -> FloatArray:
            steps.begin()
            return _run(network, image, trimap, dtype, max_memory, skip_known=skip_known)

        if quality == "fast":
            return view(image, trimap)
        if quality == "refined":
            alpha = view(image, trimap)
            confidence = trust(alpha)
        else:
            alpha, spread = _averaged(view, image, trimap)
            confidence = np.float32(CONFIDENCE) / (1 + (spread / np.float32(DOUBT)) ** 2)
        steps.begin()
        refined = refine(image, trimap, alpha, confidence, device=network.mean.device)
        stretched = (refined - np.float32(SLACK)) / np.float32(1 - 2 * SLACK)
        settled = np.clip(stretched, 0.0, 1.0, out=stretched)
        return settled if quality == "best" else keep_large(alpha, settled)


def trust(alpha: FloatArray) -> FloatArray:
    """Say how far the colours must believe one pass's matte, (H, W): more towards 0 and 1."""
    return np.float32(LEAST) + np.float32(SURE) * np.abs(2 * alpha - 1) ** SHARPNESS


def keep_large(alpha: FloatArray, settled: FloatArray) -> FloatArray:
    """Take the large moves from a matte to a settled one; small ones are as often for the worse.

    Each, d, is multiplied by d^2 / (d^2 + STILL^2).
    """
    move = settled - alpha
    square = move * move
    return np.asarray(alpha + move * (square / (square + STILL**2)), np.float32)


class _Steps:
    """The steps of a matte, told one by one to who watches, if any."""

    def __init__(self, quality: Quality, trimap: Trimap, watch: Watch | None) -> None:
        passes = [1.0]
        if quality == "best":
            passes += [1.0] + [HALF] * _has_depth(trimap)
        names = [f"pass {number} of {len(passes)}" for number in range(1, len(passes) + 1)]
        self.weights = passes + [SOLVER] * (quality != "fast")
        self.names, self.watch, self.begun = [*names, "settling by colour"], watch, 0

    def begin(self) -> None:
        if self.watch:
            done = sum(self.weights[: self.begun]) / sum(self.weights)
            self.watch(self.names[self.begun], done)
        self.begun += 1


def require_quality(name: str) -> Quality:
    """Check a name, or a former one; raises A2UError where it is none of `Quality`."""
    name = FORMER.get(name, name)
    if name in get_args(Quality):
        return cast(Quality, name)
    *others, last = get_args(Quality)
    raise A2UError(f"quality {name!r} is unknown; expected {', '.join(others)} or {last}")


def _averaged(
    run: Callable[[FloatArray, Trimap], FloatArray], image: FloatArray, trimap: Trimap
) -> tuple[FloatArray, FloatArray]:
    """Average with the mirrored picture and, the further from known pixels, with half the size.

    Gives the matte and the standard deviation of the three, both (H, W).
    """
    alpha = run(image, trimap)
    mirrored = run(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(trimap[:, ::-1]))
    views = [alpha, mirrored[:, ::-1]]
    mean = (views[0] + views[1]) * np.float32(0.5)
    if _has_depth(trimap):
        depth = cv2.distanceTransform((trimap == UNKNOWN).astype(np.uint8), cv2.DIST_L2, 5)
        views.append(_at_half_size(run, image, trimap))
        weight = np.float32(HALF_WEIGHT) * np.minimum(depth / HALF_DEPTH, 1.0).astype(np.float32)
        mean = mean + weight * (views[2] - mean)
    return mean, np.std(views, axis=0)


def _has_depth(trimap: Trimap) -> bool:
    """Tell whether a picture has a half size, and anything in it is unknown."""
    return min(trimap.shape) >= 2 and bool((trimap == UNKNOWN).any())


def _at_half_size(
    run: Callable[[FloatArray, Trimap], FloatArray], image: FloatArray, trimap: Trimap
) -> FloatArray:
    small = halve_trimap(trimap)
    shrunk = cv2.resize(image, small.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    coarse = run(np.clip(shrunk, 0.0, 1.0), small)
    return cv2.resize(coarse, trimap.shape[::-1]).astype(np.float32)


def _run(
    network: MattingNetwork,
    image: FloatArray,
    trimap: Trimap,
    dtype: torch.dtype,
    max_memory: int | None,
    *,
    skip_known: bool,
) -> FloatArray:
    """Run a folded network once: the matte as `matte` describes it."""
    device = network.mean.device
    plan = plan_memory(trimap.shape, device=device, dtype=dtype, max_memory=max_memory)
    needed = trimap == UNKNOWN if skip_known else None
    try:
        alpha = raw_alpha(network, image, trimap, plan, needed)
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
    network: MattingNetwork, image: FloatArray, trimap: Trimap, plan: Plan, needed: Mask | None
) -> FloatArray:
    """Run a folded network in the way that is cheapest: whole, or the windows that are needed."""
    if not streams(network) or _in_one_piece(plan, needed):
        return run_whole(network, image, trimap)
    return stream(network, image, trimap, plan, needed=needed)


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
) -> Plan:
    """Choose how to walk a picture of (height, width); as text, the plan says what it will take.

    Raises OutOfMemory where it does not fit into `max_memory` bytes, None: most of what is free.
    """
    cuda, budget = device.type == "cuda", memory_budget(device, max_memory)
    largest = LARGEST_TILE if cuda else CACHED_TILE
    return make_plan(size, budget=budget, value=dtype.itemsize, largest=largest)


def _check_pair(image: Any, trimap: Any) -> None:
    """Refuse what is no image and its trimap; raises ImageError or TrimapError."""
    require_array(image, "image", channels=(3,))
    if image.dtype != np.float32:
        raise ImageError(f"image is {image.dtype}, expected float32; convert it")
    require_trimap(trimap)
    check_pair(image.shape[:2], trimap)
