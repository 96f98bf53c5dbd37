# ruff: noqa: F811 - fixtures that are imported
"""Options and checkpoints of training that cannot be right are told in words."""

import tracemalloc
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunA2U
from test_trainer import TINY, cache, make, tiny  # noqa: F401

from a2u_cli.errors import A2UError, WeightsError
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.options import TrainOptions
from a2u_cli.training.trainer import Trainer, start_network

pytestmark = pytest.mark.usefixtures("environment")
DONE = TrainOptions(steps=2, batch=2, sizes=(32,), growth=(), save_every=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": (0,)},
        {"sizes": (-16,)},
        {"sizes": ()},
        {"sizes": (1 << 20,)},
        {"sizes": (32, 48), "growth": (1.5,)},
        {"sizes": (32, 48, 64), "growth": (0.5, 0.2)},
        {"seed": -1},
        {"seed": 1 << 64},
        {"learning_rate": float("nan")},
        {"minutes": float("inf")},
    ],
    ids=str,
)
def test_training_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(A2UError, match="expected"):
        TrainOptions(**{"growth": ()} | wrong if "sizes" in wrong else wrong)


def test_bad_sizes_and_seeds_of_training_are_one_line(run_a2u: RunA2U, tmp_path: Path) -> None:
    for words in (("--size", "0"), ("--seed", "-1"), ("--seed", str(1 << 70)), ("--size", "x")):
        run = run_a2u("train", tmp_path / "run", "--steps", "1", *words)
        assert run.code == 2
        assert "unexpected" not in run.stderr
        assert run.stderr.splitlines()[-1].startswith(("error: ", "Error: "))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_thousand_million_steps_begin_at_once(tmp_path: Path, make: Any) -> None:
    trainer = make(tmp_path, replace(TINY, steps=1_000_000_000))
    tracemalloc.start()
    first = list(islice(trainer._requests(), 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [request.step for request in first] == [0, 1, 2]
    assert peak < 1_000_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Write a run that is done after two steps, from a new network."""
    folder = tmp_path_factory.mktemp("finished")
    engine = build_engine(seed=0, drawn=8, scenes=2, drawn_side=96, cache=cache)
    trainer = Trainer(start_network(None, seed=0), engine, DONE, folder, licence="CC0-1.0")
    trainer.step = 2
    trainer.save()
    return folder


def resumed(finished: Path, tiny: Any, **options: Any) -> Trainer:
    chosen = replace(DONE, **{k: v for k, v in options.items() if hasattr(DONE, k)})
    others = {k: v for k, v in options.items() if not hasattr(DONE, k)}
    return Trainer(start_network(None, seed=0), tiny(), chosen, finished, **others)


def test_a_finished_run_is_left_as_it_is_under_the_same_options(
    finished: Path,
    tiny: Any,
) -> None:
    trainer = resumed(finished, tiny)
    trainer.run(lambda _: pytest.fail("it trained"))
    assert trainer.licence == "CC0-1.0"  # not said again, and not lost
    assert resumed(finished, tiny, licence="MIT").licence == "MIT"
    assert resumed(finished, tiny, steps=3).step == 2


@pytest.mark.parametrize(
    "other",
    [{"steps": 1}, {"seed": 1}, {"batch": 4}, {"start": "0" * 64}, {"minutes": 0.0}],
    ids=str,
)
def test_a_finished_run_refuses_other_options(
    finished: Path,
    tiny: Any,
    other: dict[str, Any],
) -> None:
    with pytest.raises(A2UError, match="but asked for is"):
        resumed(finished, tiny, **other)


@pytest.mark.parametrize(
    "wrong",
    [{"step": "2"}, {"step": -1}, {"step": 1.5}, {"step": None}, {"seconds": float("nan")}],
    ids=str,
)
def test_wrong_steps_in_a_checkpoint_are_told_in_words(
    finished: Path,
    tiny: Any,
    tmp_path: Path,
    wrong: dict[str, Any],
) -> None:
    state = torch.load(finished / "checkpoint.pt", weights_only=True) | wrong
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="not a checkpoint of this network"):
        resumed(tmp_path, tiny)
