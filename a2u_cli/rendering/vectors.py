"""Vectors as the last axis of arrays; sums are written out, since matrix products may differ."""

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]  # of floats, 32 or 64 bits; indices where so named


def vector(*values: float) -> Numbers:
    return np.array(values, np.float32)


def dot(a: Numbers, b: Numbers) -> Numbers:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def cross(a: Numbers, b: Numbers) -> Numbers:
    a, b = np.broadcast_arrays(a, b)
    turned = [
        a[..., (i + 1) % 3] * b[..., (i + 2) % 3] - a[..., (i + 2) % 3] * b[..., (i + 1) % 3]
        for i in range(3)
    ]
    return np.stack(turned, -1)


def length(a: Numbers) -> Numbers:
    return np.asarray(np.sqrt(dot(a, a)))


def unit(a: Numbers) -> Numbers:
    return np.asarray(a / np.maximum(length(a), 1e-9)[..., None])
