"""Training: the losses, the schedule, and runs that repeat, resume and learn."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from a2u_cli.errors import A2UError, WeightsError
from a2u_cli.network.model import MattingNetwork
from a2u_cli.training import trainer as training
from a2u_cli.training.data.samples import SampleSource
from a2u_cli.training.losses import laplacian_l1, matting_loss
from a2u_cli.training.options import TrainOptions
from a2u_cli.training.trainer import Trainer
from a2u_cli.weights import load_model

TINY = TrainOptions(steps=4, batch=2, sizes=(32, 48), growth=(0.5,), warmup=2, save_every=2)


@pytest.fixture(autouse=True)
def small_runs(monkeypatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)


def make(folder: Path, options: TrainOptions = TINY, workers: int = 0) -> Trainer:
    network = training.start_network(None, seed=0)
    return Trainer(network, SampleSource(seed=0, render_size=96), options, folder, workers=workers)


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
    found = matting_loss(raw, batch(foreground=foreground, background=background))
    mixed = raw * foreground + (1 - raw) * background
    torch.testing.assert_close(found["composition"], (mixed - background).abs().mean())


def test_the_pyramid_sees_edges_more_than_constants() -> None:
    constant = torch.full((1, 1, 32, 32), 0.1)
    edge = torch.zeros(1, 1, 32, 32)
    edge[..., 16:] = 0.2
    assert laplacian_l1(constant) < 1e-3
    assert laplacian_l1(edge) > 1.0


def test_the_rate_warms_up_and_falls() -> None:
    rates = [TrainOptions(steps=100, warmup=10).rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(3e-4)
    assert max(rates) == pytest.approx(3e-3)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 1e-4


def test_without_decay_the_rate_stays_level_and_with_a_part_it_falls_at_the_end() -> None:
    level, late = (TrainOptions(steps=100, warmup=10, decay=decay) for decay in (0.0, 0.4))
    assert {level.rate(step) for step in range(10, 100)} == {level.learning_rate}
    assert late.rate(59) == late.learning_rate
    assert late.rate(80) == pytest.approx(0.505 * late.learning_rate)
    assert late.rate(99) < 0.02 * late.learning_rate


def test_a_run_can_be_a_part_of_the_whole_training() -> None:
    options = TrainOptions(steps=10, sizes=(96, 192), growth=(0.5,), span=(0.4, 0.6))
    assert [options.requests(s)[0].progress for s in (0, 5)] == pytest.approx([0.4, 0.5])
    assert [options.requests(s)[0].size for s in (0, 5)] == [96, 192]


def test_crops_grow_and_batches_shrink_at_equal_cost() -> None:
    options = TrainOptions(steps=100, batch=16, sizes=(96, 192), growth=(0.5,))
    assert [(len(r), r[0].size) for r in map(options.requests, (0, 99))] == [(16, 96), (4, 192)]
    assert options.requests(3)[0].index == 48


def test_a_size_off_the_stride_is_refused() -> None:
    with pytest.raises(A2UError, match="multiples of 16"):
        TrainOptions(sizes=(100,), growth=())


def test_two_runs_from_one_seed_give_one_curve(tmp_path: Path) -> None:
    make(tmp_path / "a").run()
    make(tmp_path / "b", workers=1).run()
    np.testing.assert_allclose(curve(tmp_path / "a"), curve(tmp_path / "b"), atol=1e-3)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch) -> None:
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
    np.testing.assert_allclose(curve(tmp_path / "stopped"), curve(tmp_path / "whole"), atol=1e-3)
    assert len(curve(tmp_path / "stopped")) == 4


def test_a_foreign_checkpoint_is_refused_in_words(tmp_path: Path) -> None:
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"not a checkpoint of this network"):
        make(tmp_path)


def test_the_loss_falls_from_the_first_steps(tmp_path: Path) -> None:
    options = TrainOptions(steps=14, batch=4, sizes=(48,), growth=(), warmup=4, save_every=50)
    make(tmp_path, options).run()
    losses = curve(tmp_path)
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_the_averaged_weights_are_exported_and_load(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.run()
    path = training.export(trainer, licence="CC0-1.0")
    loaded = load_model(path)
    expected = trainer.averaged.state_dict()["stem.conv.weight"]
    torch.testing.assert_close(
        loaded.state_dict()["stem.conv.weight"], expected, atol=1e-3, rtol=1e-3
    )
    assert (tmp_path / "preview.png").exists()


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    path = training.export(trainer, licence="CC0-1.0")
    again = training.start_network(str(path), seed=0)
    assert isinstance(again, MattingNetwork)


@pytest.mark.requires_cuda
def test_a_step_on_cuda_gives_the_loss_of_the_cpu(tmp_path: Path) -> None:
    make(tmp_path / "cpu").run()
    network = training.start_network(None, seed=0)
    Trainer(
        network,
        SampleSource(seed=0, render_size=96),
        TINY,
        tmp_path / "cuda",
        device="cuda",
        workers=0,
    ).run()
    assert abs(curve(tmp_path / "cpu")[0] - curve(tmp_path / "cuda")[0]) < 1e-3
