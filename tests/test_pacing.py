"""How far a matte has come is told while it is made, and whoever is told may end it."""

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import sane_network

from a2u_cli.matting import inference
from a2u_cli.matting.inference import matte
from a2u_cli.matting.pacing import Pace, between
from a2u_cli.matting.planning import PROCESS
from a2u_cli.matting.quality import Quality
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.network.stages import STAGES
from a2u_cli.units import FloatArray

Told = list[tuple[str, float]]
WAYS = {"whole": None, "windows": PROCESS + 8_000_000}  # bytes


def tensors() -> int:
    """Count those that are alive."""
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


class Cancelled(Exception):
    """What ends the work here."""


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    return fold_norms(sane_network())


@pytest.fixture(params=WAYS)
def run(
    request: pytest.FixtureRequest, network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FloatArray]:
    """Matte a picture in one of the ways of the pass."""
    rng = np.random.default_rng(3)
    image = rng.random((80, 96, 3), np.float32)
    trimap = np.full((80, 96), 128, np.uint8)
    trimap[:, :20], trimap[:, 76:] = 0, 255
    other = {"whole": "stream", "windows": "run_whole"}[request.param]
    monkeypatch.delattr(inference, other)  # it is not the way

    def call(watch: Callable[[str, float], object] | None, quality: Quality) -> FloatArray:
        bound = WAYS[request.param]
        return matte(network, image, trimap, quality=quality, max_memory=bound, watch=watch)

    return call


def test_the_costs_of_the_stages_make_up_a_pass() -> None:
    assert sum(stage.cost for stage in STAGES.values()) == pytest.approx(100)


def test_a_pass_and_the_refinement_tell_how_far_they_are_and_change_no_byte(
    run: Callable[..., FloatArray],
) -> None:
    told: Told = []
    watched = run(lambda *step: told.append(step), "best")
    assert np.array_equal(watched, run(None, "best"))
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and 0.95 < shares[-1] <= 1
    for name in ("pass 1 of 2", "pass 2 of 2", "settling by colour"):
        own = [share for step, share in told if step == name]
        assert len(set(own)) > 10
        assert max(np.diff(own)) < 0.4 * (own[-1] - own[0])


@pytest.mark.parametrize("place", [0.3, 0.8])
def test_what_a_watcher_raises_ends_the_work_and_leaves_nothing(
    run: Callable[..., FloatArray], place: float
) -> None:
    expected = run(None, "refined")
    told: Told = []

    def watch(step: str, share: float) -> None:
        told.append((step, share))
        if share >= place:
            raise Cancelled

    gc.collect()
    before = tensors()
    threads = threading.active_count()
    gc.disable()  # nothing waits for it
    try:
        with pytest.raises(Cancelled):
            run(watch, "refined")
        after = tensors()
    finally:
        gc.enable()
    assert after == before and threading.active_count() == threads
    assert [share for _, share in told if share >= place] == [told[-1][1]]
    assert np.array_equal(run(None, "refined"), expected)


def test_a_stage_that_is_computed_when_it_is_read_is_told_where_it_is_read() -> None:
    told: list[float] = []
    pace = Pace(told.append)
    pace.begin("stem")
    pace.begin("pair1", loops=2)
    assert list(pace.over("ab")) == ["a", "b"]
    assert list(pace.over("c")) == ["c"]
    pace.begin("pair2")
    assert list(pace.over("d")) == ["d"]
    both = (STAGES["stem"].cost + STAGES["pair1"].cost) / 100
    assert told == pytest.approx([0, both / 4, both / 2, both])


def test_a_part_tells_its_shares_as_shares_of_the_whole() -> None:
    told: list[float] = []
    tell = between(told.append, 0.5, 0.75)
    tell(0.0), tell(0.5), tell(1.0)
    assert told == [0.5, 0.625, 0.75]
