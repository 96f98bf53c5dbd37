"""Training: the losses, the schedule, and runs that repeat, resume and learn."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from a2u_cli.errors import A2UError, OutOfMemory, WeightsError
from a2u_cli.training import trainer as training
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import DataEngine, Recipe
from a2u_cli.training.losses import laplacian_l1, matting_loss
from a2u_cli.training.options import TrainOptions
from a2u_cli.training.trainer import Trainer
from a2u_cli.weights import load_model

TINY = TrainOptions(steps=4, batch=2, sizes=(32, 48), growth=(0.5,), warmup=2, save_every=2)


@pytest.fixture(autouse=True)
def small_runs(monkeypatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture
def tiny(cache: Path) -> Callable[..., DataEngine]:
    """Engines over a few small drawings."""

    def build(seed: int = 0, **options: object) -> DataEngine:
        sizes = {"drawn": 8, "scenes": 2, "drawn_side": 96}
        return build_engine(seed=seed, cache=cache, **sizes, **options)

    return build


@pytest.fixture
def make(tiny) -> Callable[..., Trainer]:
    def build(
        folder: Path, options: TrainOptions = TINY, source: DataEngine | None = None
    ) -> Trainer:
        return Trainer(training.start_network(None, seed=0), source or tiny(), options, folder)

    return build


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "curve.jsonl").read_text().splitlines()]


def batch(**planes: torch.Tensor) -> dict[str, torch.Tensor]:
    zero = torch.zeros(1, 3, 16, 16)
    given = {"alpha": zero[:, :1], "foreground": zero, "background": zero}
    return given | {"trimap": torch.full((1, 1, 16, 16), 128 / 255)} | planes


def test_a_perfect_matte_loses_nothing_and_known_pixels_count_nothing() -> None:
    alpha = torch.rand(1, 1, 16, 16)
    trimap = torch.full((1, 1, 16, 16), 128 / 255)
    trimap[..., 8:] = 1.0
    raw = alpha.clone()
    raw[..., 8:] = 5.0
    assert matting_loss(raw, batch(alpha=alpha, trimap=trimap))["loss"] == 0


def test_the_composition_loss_is_the_error_of_the_recomposed_colour() -> None:
    foreground, background = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    raw = torch.rand(1, 1, 16, 16)
    losses = matting_loss(raw, batch(foreground=foreground, background=background))
    mixed = raw * foreground + (1 - raw) * background
    torch.testing.assert_close(losses["composition"], (mixed - background).abs().mean())


def test_the_pyramid_sees_edges_more_than_constants() -> None:
    constant = torch.full((1, 1, 32, 32), 0.1)
    edge = torch.zeros(1, 1, 32, 32)
    edge[..., 16:] = 0.2
    assert laplacian_l1(constant) < 1e-3
    assert laplacian_l1(edge) > 1.0


def test_the_pyramid_blurs_as_a_convolution_does() -> None:
    x = torch.randn(2, 1, 22, 16, generator=torch.Generator().manual_seed(0))
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    expected, level = torch.zeros(()), x
    for scale in (1.0, 2.0, 4.0):
        padded = F.pad(level, (2, 2, 2, 2), mode="replicate")
        smooth = F.conv2d(padded, torch.outer(taps, taps)[None, None])
        expected = expected + scale * (level - smooth).abs().sum()
        level = smooth[..., ::2, ::2]
    torch.testing.assert_close(laplacian_l1(x), expected)


def test_the_rate_warms_up_and_falls() -> None:
    rates = [TrainOptions(steps=100, warmup=10).rate(step, step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(3e-4)
    assert max(rates) == pytest.approx(3e-3)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 1e-4


def test_without_decay_the_rate_stays_level_and_with_a_part_it_falls_at_the_end() -> None:
    level, late = (TrainOptions(steps=100, warmup=10, decay=decay) for decay in (0.0, 0.4))
    assert {level.rate(s, s / 100) for s in range(10, 100)} == {level.learning_rate}
    assert late.rate(59, 0.59) == late.learning_rate
    assert late.rate(80, 0.8) == pytest.approx(0.505 * late.learning_rate)
    assert late.rate(99, 0.99) < 0.02 * late.learning_rate


def test_by_the_clock_the_rate_follows_the_time() -> None:
    options = TrainOptions(minutes=3.0, warmup=10)
    assert options.rate(4, 0.0) == pytest.approx(options.learning_rate / 2)
    assert options.rate(10_000, 0.5) == pytest.approx(0.505 * options.learning_rate)
    assert options.rate(10_000, 0.999) < 0.02 * options.learning_rate


def test_a_run_can_be_a_part_of_the_whole_training() -> None:
    options = TrainOptions(steps=10, sizes=(96, 192), growth=(0.5,), span=(0.4, 0.6))
    requests = [options.request(step, step / 10) for step in (0, 5)]
    assert [request.progress for request in requests] == pytest.approx([0.4, 0.5])
    assert [request.size for request in requests] == [96, 192]


def test_crops_grow_and_batches_shrink_at_equal_cost() -> None:
    options = TrainOptions(steps=100, batch=16, sizes=(96, 192), growth=(0.5,))
    requests = [options.request(step, step / 100) for step in (0, 99)]
    assert [(len(r.numbers), r.size) for r in requests] == [(16, 96), (4, 192)]
    assert options.request(3, 0.03).numbers[0] == 48


@pytest.mark.parametrize("sizes", [(96, 192), (192, 96), (64, 256, 32)])
def test_no_two_samples_of_a_run_share_a_number(sizes: tuple[int, ...]) -> None:
    options = TrainOptions(steps=30, batch=4, sizes=sizes)
    numbers = [n for step in range(30) for n in options.request(step, step / 30).numbers]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)


def test_what_is_not_told_follows_from_the_rest() -> None:
    options = TrainOptions(steps=400, sizes=(96, 144, 192, 240))
    assert options.filled()["growth"] == (0.25, 0.5, 0.75)
    assert (options.filled()["warmup"], options.filled()["average"]) == (40, 1 - 1 / 80)
    told = replace(options, growth=(0.1, 0.2, 0.3), warmup=0, average=0.5).filled()
    assert (told["growth"], told["warmup"], told["average"]) == ((0.1, 0.2, 0.3), 0, 0.5)


def test_a_size_off_the_stride_is_refused() -> None:
    with pytest.raises(A2UError, match="multiples of 16"):
        TrainOptions(sizes=(100,), growth=())


def test_two_runs_from_one_seed_give_one_curve(tmp_path: Path, make) -> None:
    make(tmp_path / "a").run()
    make(tmp_path / "b").run()
    np.testing.assert_allclose(curve(tmp_path / "a"), curve(tmp_path / "b"), atol=1e-6)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch, make) -> None:
    make(tmp_path / "whole").run()
    stopped = make(tmp_path / "stopped")

    def stop(line: training.StepReport) -> None:
        if line.step == 3:  # one step past the checkpoint of step 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop)
    again = make(tmp_path / "stopped")
    assert again.step == 2
    again.run()
    np.testing.assert_allclose(curve(tmp_path / "stopped"), curve(tmp_path / "whole"), atol=1e-6)
    assert len(curve(tmp_path / "stopped")) == 4


def test_a_run_by_the_clock_ends_on_time_and_counts_what_it_has_had(tmp_path: Path, make) -> None:
    trainer = make(tmp_path, replace(TINY, minutes=0.05))
    start = time.monotonic()
    trainer.run()
    assert time.monotonic() - start < 30
    steps = trainer.step
    assert steps == len(curve(tmp_path)) >= 1
    again = make(tmp_path, replace(TINY, minutes=0.05))
    assert again.seconds >= 3.0
    again.run()
    assert again.step == steps


@pytest.mark.parametrize(
    ("changed", "former", "asked"),
    [
        ({"batch": 4}, "batch 2", "batch 4"),
        ({"seed": 1, "learning_rate": 1e-3}, "learning_rate 0.003, seed 0", "seed 1"),
        ({"span": (1.0, 1.0)}, r"span \(0.0, 1.0\)", r"span \(1.0, 1.0\)"),
    ],
)
def test_a_run_does_not_go_on_with_other_options(
    tmp_path: Path, changed: dict, former: str, asked: str, make
) -> None:
    make(tmp_path).save()
    with pytest.raises(A2UError, match=f"trained with {former}.* asked for is .*{asked}"):
        make(tmp_path, replace(TINY, **changed))


def test_a_run_does_not_go_on_with_other_samples(tmp_path: Path, make, tiny) -> None:
    make(tmp_path).save()
    for other in (tiny(seed=1), tiny(recipe=Recipe(camera=False))):
        with pytest.raises(A2UError, match=r"trained with samples' .* choose another folder"):
            make(tmp_path, source=other)


def test_a_run_goes_on_to_more_steps_and_saves_as_often_as_told(tmp_path: Path, make) -> None:
    make(tmp_path).save()
    make(tmp_path, replace(TINY, steps=6, save_every=3))


def test_a_checkpoint_that_does_not_fit_into_memory_is_not_called_foreign(
    tmp_path: Path, monkeypatch, make
) -> None:
    make(tmp_path).save()

    def load(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(OutOfMemory, match="takes more memory than is free"):
        make(tmp_path)


def test_a_foreign_checkpoint_is_refused_in_words(tmp_path: Path, make) -> None:
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"not a checkpoint of this network"):
        make(tmp_path)


def test_a_run_from_before_an_option_goes_on_by_its_default(tmp_path: Path, make) -> None:
    trainer = make(tmp_path)
    before = trainer._settings()
    del before["frozen_norms"]
    trainer._require_same(before)
    before["frozen_norms"] = True
    with pytest.raises(A2UError, match="frozen_norms"):
        trainer._require_same(before)


def test_frozen_norms_keep_their_statistics_and_learn_the_rest(tmp_path: Path, make) -> None:
    trainer = make(tmp_path, replace(TINY, steps=2, frozen_norms=True))
    norm = trainer.network.head.norm
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    trainer.run()
    kept = {name: torch.equal(value, before[name]) for name, value in norm.state_dict().items()}
    assert kept["running_mean"] and kept["running_var"] and kept["num_batches_tracked"]
    assert not kept["weight"] and not kept["bias"]


def test_the_loss_falls_from_the_first_steps(tmp_path: Path, make) -> None:
    options = TrainOptions(steps=14, batch=4, sizes=(48,), growth=(), warmup=4, save_every=50)
    make(tmp_path, options).run()
    losses = curve(tmp_path)
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.parametrize("steps", [1, training.MOST_LOST + 1])
def test_a_step_without_a_finite_gradient_changes_nothing_and_many_end_the_run(
    steps: int, tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(tmp_path, replace(TINY, steps=8, growth=(0.9,)))
    before, losses, reports = {}, trainer.losses, []

    def broken(*arguments: object, **options: object) -> dict[str, torch.Tensor]:
        found = losses(*arguments, **options)
        if 1 <= trainer.step <= steps:
            before.setdefault("stem", trainer.network.stem.conv.weight.detach().clone())
            found["loss"] = found["loss"] + (found["loss"] - found["loss"].detach()) * torch.inf
        elif before and steps == 1 and trainer.step == 2:
            assert torch.equal(trainer.network.stem.conv.weight, before["stem"])
        return found

    monkeypatch.setattr(trainer, "losses", broken)
    if steps == 1:
        trainer.run(reports.append)
        assert [report.step for report in reports if report.lost] == [2]
        return
    with pytest.raises(A2UError, match="not finite, 5 times in a row; continue from the last"):
        trainer.run(reports.append)


def test_the_averaged_weights_are_exported_and_load(tmp_path: Path, make) -> None:
    trainer = make(tmp_path)
    trainer.run()
    path = training.export(trainer)
    loaded = load_model(path)
    expected = trainer.averaged.state_dict()["stem.conv.weight"]
    torch.testing.assert_close(
        loaded.state_dict()["stem.conv.weight"], expected, atol=1e-3, rtol=1e-3
    )
    assert (tmp_path / "preview.png").exists()


def test_training_goes_on_from_given_weights(tmp_path: Path, make) -> None:
    trainer = make(tmp_path)
    given = trainer.averaged.state_dict()
    given["stem.conv.weight"].normal_()  # no longer what the seed gives
    path = training.export(trainer)
    again = training.start_network(str(path), seed=0).state_dict()
    for name, tensor in given.items():
        torch.testing.assert_close(again[name], tensor, atol=1e-3, rtol=1e-3, msg=name)


@pytest.mark.requires_cuda
def test_a_step_on_cuda_gives_the_loss_of_the_cpu(tmp_path: Path, tiny) -> None:
    """Without dropout, whose masks come from another generator on another device."""
    for device in ("cpu", "cuda"):
        network = training.start_network(None, seed=0)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        place = tmp_path / device
        Trainer(network, tiny(device=device), TINY, place, device=device).run()
    assert abs(curve(tmp_path / "cpu")[0] - curve(tmp_path / "cuda")[0]) < 1e-3
