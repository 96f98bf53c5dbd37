"""The network as data: where each stage stands, how wide it is and how far it looks; and the way.

`model` is built from the table; the pass in windows, its memory and its halos are reckoned from it;
and `walk` is the one place that says which stage follows which, for whole planes and for windows.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

BLOCKS = 3  # of each residual stage
DILATIONS = (6, 12, 18)  # of the context's convolutions


@dataclass(frozen=True)
class Stage:
    """A stage: its output is 1 / 2**level of the picture's size.

    `inputs` and `channels` are the planes that come in and go out, `skip` those that the encoder
    hands to a decoder stage. `reach` is how far each step of the stage looks beyond its own place,
    in its own pixels: a residual block, either convolution of a stage that halves, a resampling
    pair (in the smaller picture's pixels, for given kernels), the whole of any other stage. `cost`
    is about what it takes in hundredths of a pass, a decoder with the upsampling before it
    (measured on a CPU, where all is unknown): progress is told by it, and nothing decided.
    """

    level: int
    inputs: int
    channels: int
    reach: int
    cost: float
    skip: int = 0

    @property
    def values(self) -> float:
        """How many values the output has for each pixel of the picture."""
        return self.channels / float(4**self.level)


STAGES = {
    "stem": Stage(0, 4, 64, reach=3, cost=21),
    "pair1": Stage(1, 64, 64, reach=1, cost=10),
    "pair2": Stage(2, 64, 64, reach=1, cost=1.5),
    "stage1": Stage(2, 64, 64, reach=2, cost=3),
    "down2": Stage(3, 64, 128, reach=1, cost=2),
    "stage2": Stage(3, 128, 128, reach=2, cost=3.5),
    "down3": Stage(4, 128, 256, reach=1, cost=1.5),
    "stage3": Stage(4, 256, 256, reach=2, cost=2),
    "context": Stage(4, 256, 256, reach=max(DILATIONS), cost=5),
    "decoder4": Stage(3, 256, 128, reach=5, cost=3, skip=128),
    "decoder3": Stage(2, 128, 64, reach=5, cost=8, skip=64),
    "decoder2": Stage(1, 64, 64, reach=5, cost=10, skip=64),
    "decoder1": Stage(0, 64, 32, reach=5, cost=28, skip=4),
    "head": Stage(0, 32, 1, reach=1, cost=1),
    "smooth": Stage(0, 1, 1, reach=1, cost=0.5),
}
RESAMPLING = ("pair1", "pair2", "down2", "down3")  # the stages that halve, from the finest on

Plane = TypeVar("Plane")


class Way(Protocol[Plane]):
    """What each kind of stage does to planes, whatever a plane is: a tensor, or windows of one.

    `halve` and `descend` also give the kernels' state that `double` needs at the same stage.
    """

    def run(self, stage: str, x: Plane) -> Plane: ...

    def refine(self, stage: str, x: Plane) -> Plane: ...

    def surround(self, stage: str, x: Plane) -> Plane: ...

    def halve(self, stage: str, x: Plane) -> tuple[Plane, Any]: ...

    def descend(self, stage: str, x: Plane) -> tuple[Plane, Any]: ...

    def double(self, stage: str, features: Plane, state: Any) -> Plane: ...

    def decode(self, stage: str, doubled: Plane, skip: Plane) -> Plane: ...


def walk(way: Way[Plane], picture: Plane) -> Plane:
    """Lead a picture (N, 4, H, W), normalised colours and trimap, to raw alpha (N, 1, H, W)."""
    half, state1 = way.halve("pair1", way.run("stem", picture))  # (N, 64, H/2, W/2)
    quarter, state2 = way.halve("pair2", half)  # (N, 64, H/4, W/4)
    level1 = way.refine("stage1", quarter)
    eighth, state3 = way.descend("down2", level1)  # (N, 128, H/8, W/8)
    level2 = way.refine("stage2", eighth)
    sixteenth, state4 = way.descend("down3", level2)  # (N, 256, H/16, W/16)
    y = way.surround("context", way.refine("stage3", sixteenth))
    y = way.decode("decoder4", way.double("down3", y, state4), level2)  # (N, 128, H/8, W/8)
    y = way.decode("decoder3", way.double("down2", y, state3), level1)  # (N, 64, H/4, W/4)
    y = way.decode("decoder2", way.double("pair2", y, state2), half)  # (N, 64, H/2, W/2)
    y = way.decode("decoder1", way.double("pair1", y, state1), picture)  # (N, 32, H, W)
    return way.run("smooth", way.run("head", y))  # (N, 1, H, W)
