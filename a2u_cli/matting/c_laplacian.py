"""The system that a refinement solves, in C: `laplacian.c`, in strips that threads share."""

import ctypes
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..operators.fused.arguments import Strip
from ..operators.fused.library import library, spread, threads
from ..units import FloatArray, Mask
from .descent import Descent, Ties

ROWS = 64  # of a strip
REACH = 2  # pixels: the margins of all planes
LINKS = 12  # of a pixel, to the later ones that share a window with it
WORTH_THREADS = 20_000  # free pixels: fewer are done before other threads wake up


def settle(
    colours: FloatArray,
    free: Mask,
    alpha: FloatArray,
    given: FloatArray,
    trust: FloatArray,
    ties: Ties,
    descent: Descent,
) -> FloatArray:
    """Do what `laplacian.settle` does, in float32 and several times as fast."""
    inputs = {"colours": colours, "trust": trust, "given": given, "direction": alpha}
    planes = {name: _padded(plane.astype(np.float32)) for name, plane in inputs.items()}
    strips = _Strips(_padded(free.astype(np.uint8)), planes, ties)
    strips.solve(descent)
    return np.asarray(alpha + strips.moved[REACH:-REACH, REACH:-REACH], np.float32)


class _Strips:
    """The planes of a system, and the strips in which C takes each step."""

    def __init__(self, free: NDArray[np.uint8], planes: dict[str, FloatArray], ties: Ties) -> None:
        height, width = free.shape
        tops = range(REACH, height - REACH, ROWS)
        before = np.concatenate([[0], np.count_nonzero(free, axis=1).cumsum()])
        self.moved = np.zeros(free.shape, np.float32)
        self.factors, self.sums = np.zeros(2), np.zeros((len(tops), 2))
        steps = ("product", "residual", "sweep", "scale")
        arrays: dict[str, NDArray[Any]] = {n: np.zeros_like(self.moved) for n in steps}
        arrays |= planes | _sorted(ties, free) | {"free": free, "moved": self.moved}
        arrays["links"] = np.zeros((LINKS, height, width), np.float32)
        arrays["factors"] = self.factors
        self._alive = arrays  # C has but their addresses
        places = {name: array.ctypes.data for name, array in arrays.items()}
        self._strips = []
        for top, sums in zip(tops, self.sums, strict=True):
            rows = top, min(top + ROWS, height - REACH)
            first = int(before[top])
            self._strips.append(Strip(height, width, *rows, first, sums=sums.ctypes.data, **places))
        self._threads = threads() if before[-1] > WORTH_THREADS else 1

    def solve(self, descent: Descent) -> None:
        """Go down by conjugate gradients (Hestenes and Stiefel 1952), to `moved`."""
        self._step("link")
        self._step("begin")
        energy, rest = self._step("walk")
        start, goal = rest, descent.tolerance**2 * rest
        for _ in range(descent.most_rounds):
            if rest <= goal:
                break
            descent.say((rest / start) ** 0.5)
            self._step("turn")
            self.factors[1] = energy / self._step("multiply")[0]
            former = energy
            energy, rest = self._step("walk")
            self.factors[0] = energy / former

    def _step(self, name: str) -> tuple[float, float]:
        """Take one step in all strips; gives its sums."""
        function = getattr(library(), f"a2u_{name}")
        function.argtypes, function.restype = [ctypes.POINTER(Strip)], None
        spread(function, self._strips, threads=self._threads)
        return cast(tuple[float, float], tuple(self.sums.sum(0).tolist()))


def _padded(plane: NDArray[Any]) -> NDArray[Any]:
    padded = np.pad(plane, [(REACH, REACH)] * 2 + [(0, 0)] * (plane.ndim - 2))
    return np.ascontiguousarray(padded)  # C goes by rows, whatever order was handed in


def _sorted(ties: Ties, free: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Give the ties of each free pixel, those from others to it too, one pixel after the other."""
    each, count = ties.others.shape
    others = np.ascontiguousarray(ties.others, np.int32)
    weights = np.ascontiguousarray(ties.weights, np.float32)
    places = np.flatnonzero(free).astype(np.int32)
    result = {
        "starts": np.empty(count + 1, np.int32),
        "others": np.empty(2 * each * count, np.int32),
        "ties": np.empty(2 * each * count, np.float32),
    }
    given = [ctypes.c_void_p(array.ctypes.data) for array in (others, weights, places)]
    out = [ctypes.c_void_p(array.ctypes.data) for array in result.values()]
    library().a2u_tie(*given, ctypes.c_int64(each), ctypes.c_int64(count), *out)
    return result
