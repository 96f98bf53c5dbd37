"""Check the arrays that public functions are given: one refusal for all, before any work."""

from typing import Any

import numpy as np

from ..errors import A2UError, ImageError

ROUNDING = 1e-5  # what a resize in float32 may leave beyond 0 and 1


def require_array(
    value: Any,
    name: str,
    *,
    channels: tuple[int, ...],
    error: type[A2UError] = ImageError,
    light: bool = False,
) -> None:
    """Refuse what is no array of floats in [0, 1], within what a resize may round.

    `channels` are those that it may have: 1 stands for (H, W), 3 for (H, W, 3). `light` may have
    any finite values.

    Raises `error`, which says what was found.
    """
    require_shape(value, name, channels=channels, error=error)
    if not np.issubdtype(value.dtype, np.floating):
        raise error(
            f"{name} holds {value.dtype} values, expected floats in [0, 1]; divide levels by "
            "their largest, 255 for 8 bits"
        )
    low, high = value.min(), value.max()
    if light:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise error(f"{name} holds values that are not finite, expected light; mend them")
    elif not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN fails too
        raise error(
            f"{name} holds values from {low:.7g} to {high:.7g}, expected [0, 1]; divide 8-bit "
            "values by 255, clip what a resize has overshot"
        )


def require_shape(
    value: Any,
    name: str,
    *,
    channels: tuple[int, ...],
    error: type[A2UError] = ImageError,
) -> None:
    """Refuse what is no array of pixels, whatever its values; the rest as in `require_array`."""
    shapes = ", ".join("(H, W)" if count == 1 else f"(H, W, {count})" for count in channels)
    if not isinstance(value, np.ndarray):
        raise error(
            f"{name} is {kind_of(value)}, expected a numpy array {shapes}; convert it with "
            "numpy.asarray"
        )
    depth = 1 if value.ndim == 2 else value.shape[-1] if value.ndim == 3 else 0
    if not value.size or depth not in channels or (depth == 1 and value.ndim == 3):
        raise error(
            f"{name} has shape {value.shape}, expected {shapes} with at least one pixel; bring it "
            "to that"
        )


def kind_of(value: Any) -> str:
    """Name the type of what was given: "a torch.Tensor"."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a {module}{kind.__qualname__}"
