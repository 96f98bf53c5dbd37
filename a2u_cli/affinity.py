"""The operator of `operators.affinity`, under the name that programs import it by."""

from .operators.affinity import (
    AffinityPair,
    Form,
    KernelGenerator,
    Moments,
    Normalisation,
    downsample,
    encode,
    normalise_down,
    normalise_up,
    upsample,
)

__all__ = [
    "AffinityPair",
    "Form",
    "KernelGenerator",
    "Moments",
    "Normalisation",
    "downsample",
    "encode",
    "normalise_down",
    "normalise_up",
    "upsample",
]
