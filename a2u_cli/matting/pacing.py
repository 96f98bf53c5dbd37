"""How far a matte has come, told while it is made: whoever is told may end it by an exception."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..network.stages import STAGES
from ..operators.fused.area import Area

Tell = Callable[[float], object]  # told the share in [0, 1] that is done
Thing = TypeVar("Thing")


def unheard(_share: float) -> None:
    """Tell nobody."""


def between(tell: Tell, start: float, stop: float) -> Tell:
    """Tell the shares of a part as shares of the whole, which the part takes from start to stop."""
    return lambda share: tell(start + (stop - start) * share)


class Pace:
    """Tell how far a pass has come, by what its stages cost and the windows that are done."""

    def __init__(self, tell: Tell, areas: dict[str, Area] | None = None) -> None:
        costs = {name: stage.cost for name, stage in STAGES.items()}
        for name, area in (areas or {}).items():  # of the decoder, only these are computed
            costs[name] *= float(area.pixels.mean())
        total = sum(costs.values())
        self._costs = {name: cost / total for name, cost in costs.items()}
        self._tell, self._done, self._due, self._loops = tell, 0.0, 0.0, 1

    def begin(self, stage: str, loops: int = 1) -> None:
        """Take up a stage, which goes over windows so many times.

        What it does later, when it is read, or not at all falls to the stages that follow.
        """
        self._due += self._costs.pop(stage, 0.0)
        self._loops = loops

    def over(self, windows: Sequence[Thing]) -> Iterator[Thing]:
        """Give the windows one by one, and tell of each before it is begun."""
        share = self._due / max(1, self._loops)
        self._due -= share
        self._loops -= 1
        for window in windows:
            self._tell(self._done)
            yield window
            self._done += share / len(windows)

    def pass_on(self, stage: str) -> None:
        """Begin a stage that is done in one go, after the one before."""
        self._done, self._due = self._done + self._due, 0.0
        self.begin(stage)
        self._tell(self._done)
