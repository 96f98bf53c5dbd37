"""What the whole-pass benchmark measures: which methods, at which sizes, how often."""

from collections.abc import Iterable
from dataclasses import dataclass

from .cases import VITMATTE, Case, Size

DTYPES = ("float32", "bfloat16")
FLOORS = ("convolutions", "convolutions in strips")


@dataclass(frozen=True)
class Plan:
    """The sizes to measure at, and how often: `runs` up to the screen's size, then once."""

    small: Size = (512, 512)
    middle: Size = (1024, 1024)
    screen: Size = (1088, 1920)
    photo: Size = (4000, 6000)
    giants: tuple[tuple[Size, float], ...] = (((4320, 7680), 4.0), ((10000, 10000), 6.0))  # GiB
    shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5)
    runs: int = 3
    cuda: tuple[Size, ...] = ((1088, 1920), (2160, 3840))
    crop: Size = (320, 320)
    accelerator: str = "cuda"

    @property
    def share(self) -> float:
        """The usual picture's unknown share."""
        return 0.1

    def tables(self) -> dict[str, list[Case]]:
        """Group the cases: those of a group take turns."""
        return {
            "All unknown, small": self._all_unknown(self.small),
            "All unknown, middle": self._all_unknown(self.middle),
            "Screen": [*self._all_unknown(self.screen), *self._partly(self.screen, self.shares)],
            "Photograph, 10 % unknown": self._photo(),
            "Giants, 10 % unknown, in bounded memory": self.bounded(),
            "CUDA" if self.accelerator == "cuda" else "CUDA, rehearsed": self._accelerated(),
        }

    def _all_unknown(self, size: Size) -> list[Case]:
        methods = [(name, dtype) for name in ("ours", *FLOORS, VITMATTE) for dtype in DTYPES]
        return [Case(name, dtype, size) for name, dtype in [("unfold", "float32"), *methods]]

    def _partly(self, size: Size, shares: Iterable[float]) -> list[Case]:
        regions = ("compact", "bands")
        steps = [(share, region) for share in shares for region in regions]
        cases = [Case("ours", dtype, size, *step) for dtype in DTYPES for step in steps]
        return cases + [Case("closed-form", "float64", size, self.share, r) for r in regions]

    def _photo(self) -> list[Case]:
        rivals = (("unfold", "float32"), (VITMATTE, "float32"), (VITMATTE, "bfloat16"))
        cases = [Case(*rival, self.photo, self.share, "compact") for rival in rivals]
        return cases + self._partly(self.photo, [self.share])

    def bounded(self) -> list[Case]:
        """Ours on pictures too large for most machines, told how much memory it may take."""
        return [
            Case("ours", dtype, size, self.share, "compact", bound=bound)
            for size, bound in self.giants
            for dtype in DTYPES
        ]

    def _accelerated(self) -> list[Case]:
        passes = [("unfold", "float32")]
        passes += [(n, d) for n in ("ours", "our network alone", "convolutions") for d in DTYPES]
        cases = [Case(*one, size, device=self.accelerator) for size in self.cuda for one in passes]
        steps = [("training step, unfold", "float32")]
        steps += [("training step, ours", dtype) for dtype in DTYPES]
        return cases + [Case(*step, self.crop, device=self.accelerator) for step in steps]


QUICK = Plan(
    small=(64, 64),
    middle=(64, 80),
    screen=(96, 128),
    photo=(128, 128),
    giants=(),
    shares=(0.1,),
    runs=1,
    cuda=((64, 96),),
    crop=(32, 32),
    accelerator="cpu",
)
