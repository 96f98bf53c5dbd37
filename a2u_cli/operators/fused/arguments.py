"""The arguments of the compiled functions, field by field as in `arguments.h`."""

from ctypes import Structure, c_double, c_int64, c_void_p
from enum import IntEnum

ABI = 4


class Operation(IntEnum):
    """What `a2u_resample` does."""

    DOWN = 0
    UP = 1
    FILTER = 2
    DOWN_BACKWARD = 3
    UP_BACKWARD = 4
    FILTER_BACKWARD = 5


class Resampling(Structure):
    """Of `a2u_resample`."""

    _fields_ = [
        *((n, c_int64) for n in ("op", "bf16", "h", "w", "channels", "k", "start", "stop")),
        *((n, c_void_p) for n in ("tiles", "x", "kernels", "kernels2", "grad", "grad2")),
        *((n, c_void_p) for n in ("out", "out2", "sums")),
    ]


class Picture(Structure):
    """A float32 image, and the distances from one image, row and pixel to the next."""

    _fields_ = [("at", c_void_p), *((n, c_int64) for n in ("image", "row", "pixel"))]


class Convolution(Structure):
    """Of `a2u_convolve` and `a2u_convolve_backward`."""

    _fields_ = [
        *((n, c_int64) for n in ("height", "width", "inputs", "outputs", "size", "start", "stop")),
        *((n, c_void_p) for n in ("tiles", "known")),
        *((n, Picture) for n in ("x", "other")),
        ("late", c_int64),
        *((n, c_void_p) for n in ("filter", "bias", "out", "space")),
        ("slope", c_double),
    ]


class Encoding(Structure):
    """Of `a2u_encode`."""

    _fields_ = [
        *((n, c_int64) for n in ("h", "w", "channels", "k", "start", "stop", "left", "right")),
        ("x", Picture),
        *((n, c_void_p) for n in ("filters", "gain", "shift")),
        *((n, c_double) for n in ("scale", "slope")),
        *((n, c_void_p) for n in ("affinity", "sums")),
    ]


class Kernels(Structure):
    """Of `a2u_write_kernels`."""

    _fields_ = [
        *((n, c_int64) for n in ("h", "w", "sets", "taps", "room", "sigmoid", "start", "stop")),
        ("tiles", c_void_p),
        ("affinity", Picture),
        *((n, c_void_p) for n in ("weights", "ends", "inside", "out")),
    ]


class Strip(Structure):
    """Of the steps of `laplacian.c`."""

    _fields_ = [
        *((n, c_int64) for n in ("height", "width", "top", "bottom", "first")),
        *((n, c_void_p) for n in ("colours", "free", "links", "trust", "given")),
        *((n, c_void_p) for n in ("direction", "product", "residual", "sweep", "moved", "scale")),
        *((n, c_void_p) for n in ("starts", "others", "ties", "factors", "sums")),
    ]


class Team(Structure):
    """Of `a2u_take`."""

    _fields_ = [
        *((n, c_void_p) for n in ("function", "jobs")),
        *((n, c_int64) for n in ("size", "count", "next")),
    ]
