"""The metrics of `scoring.metrics`, under the name that programs import them by."""

from .scoring.metrics import (
    ConnRule,
    Scores,
    connectivity_error,
    gradient_error,
    mad,
    mse,
    sad,
    score,
)

__all__ = [
    "ConnRule",
    "Scores",
    "connectivity_error",
    "gradient_error",
    "mad",
    "mse",
    "sad",
    "score",
]
