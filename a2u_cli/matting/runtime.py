"""What mattes pictures: a network on a runtime. Commands and folder runs ask no more of it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from ..foreground import estimate_foreground
from ..units import FloatArray, Mask, Size, Trimap
from .planning import PROCESS, Plan
from .quality import Quality, Watch


class Place(Protocol):
    """Where is computed; as text its whole name, such as "cuda:1"."""

    @property
    def type(self) -> str:
        """The kind: "cpu", "cuda" or "mps"."""


class Runtime(ABC):
    """Weights in hand, ready to matte one picture or a million; see `Matter` for what each is."""

    weights: str
    path: Path
    sha256: str
    licence: str
    suited: str  # the quality that the weights are best used with, or nothing
    quality: Quality
    max_memory: int | None

    @property
    @abstractmethod
    def device(self) -> Place:
        """Where it computes."""

    @property
    @abstractmethod
    def dtype_name(self) -> str:
        """The dtype's name, such as "float32", for journals and reports."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """How many threads it computes in on a CPU."""

    def matte(self, image: FloatArray, trimap: Trimap, *, watch: Watch | None = None) -> FloatArray:
        """Estimate the alpha matte: float32 (H, W) in [0, 1], the trimap's known pixels kept.

        `image` is float32 (H, W, 3) RGB in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}.
        `watch` is as in `inference.matte`.

        Raises what `inference.matte` does.
        """
        return self._matte(image, trimap, self.quality, watch)

    def pass_once(
        self, image: FloatArray, trimap: Trimap, *, watch: Watch | None = None
    ) -> FloatArray:
        """Do what `matte` does in one pass, whatever quality it has."""
        return self._matte(image, trimap, "fast", watch)

    @abstractmethod
    def _matte(
        self, image: FloatArray, trimap: Trimap, quality: Quality, watch: Watch | None
    ) -> FloatArray:
        """Do what `matte` does, in a given quality."""

    def cut_out(
        self,
        image: FloatArray,
        trimap: Trimap,
        *,
        watch: Watch | None = None,
        light: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate the foreground's own colours, float32 (H, W, 3) straight, and the alpha matte.

        Takes and raises what `matte` does. Where `light` is given, the linear light of the image,
        the colours are light, too.
        """
        alpha = self.matte(image, trimap, watch=watch)
        bound = self.max_memory
        if bound is not None:  # what is left beside the process and the pictures it holds
            held = (image, trimap, alpha) if light is None else (image, trimap, alpha, light)
            bound -= PROCESS + sum(array.nbytes for array in held)
        if light is None:
            return estimate_foreground(image, alpha, max_memory=bound), alpha
        return estimate_foreground(light, alpha, max_memory=bound, light=True), alpha

    @abstractmethod
    def plan(self, size: Size, *, max_memory: int | None = None) -> Plan:
        """Tell how a picture of (height, width) would be walked, and in how much memory.

        `max_memory` is another bound than its own. Raises OutOfMemory where it does not fit.
        """

    @abstractmethod
    def decoded_share(self, unknown: Mask) -> float:
        """Tell how much of a picture is decoded where only some pixels, bool (H, W), are unknown.

        Raises OutOfMemory where it does not fit.
        """

    @abstractmethod
    def budget(self) -> int:
        """Tell how many bytes it may take at present."""
