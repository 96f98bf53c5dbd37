"""Atlases, and batches from them: as `collate` gives them, pure in seed, mostly well-posed."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from a2u_cli.training import trainer as training
from a2u_cli.training.data.atlas import Atlas, Placement
from a2u_cli.training.data.batches import BatchComposer, build_composer, rank
from a2u_cli.training.data.drawn_trimaps import UNKNOWN
from a2u_cli.training.data.samples import Request, SampleSource, well_posed
from a2u_cli.training.options import TrainOptions
from a2u_cli.training.trainer import Trainer, collate, start_network
from benchmarks import gpu_train

SIZE = 64


@pytest.fixture(scope="module")
def composer() -> BatchComposer:
    return build_composer(rendered=12, scenes=4, side=128, seed=1)


@pytest.fixture(scope="module")
def batches(composer: BatchComposer) -> list[training.Batch]:
    return [composer.batch(requests(16, progress)) for progress in (0.0, 1.0)]


@pytest.fixture
def small_validation(monkeypatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)
    monkeypatch.setitem(SampleSource.__init__.__kwdefaults__, "render_size", 96)


def requests(count: int, progress: float, first: int = 0) -> list[Request]:
    return [Request(first + n, SIZE, progress) for n in range(count)]


def atlas(*pixels: np.ndarray, capacity: int = 0) -> Atlas:
    return Atlas([], list(pixels), capacity, device=torch.device("cpu"))


def place(centre: tuple[float, float], scale: float) -> Placement:
    return Placement(torch.tensor([0]), torch.tensor([centre]), scale * torch.eye(2)[None])


def test_a_batch_has_the_planes_of_collated_samples(batches) -> None:
    source = SampleSource(seed=1, render_size=96)
    expected = collate([source[request] for request in requests(2, 0.0)])
    for batch in batches:
        assert batch.keys() == expected.keys()
        for name, plane in batch.items():
            assert plane.shape[1:] == expected[name].shape[1:]
            assert plane.dtype == expected[name].dtype
            assert 0 <= plane.min() <= plane.max() <= 1
        values = torch.cat([plane["trimap"].unique() for plane in (batch, expected)]).unique()
        assert len(values) == 3


def test_known_pixels_are_nearly_solid_or_nearly_empty(batches) -> None:
    for batch in batches:
        assert (batch["alpha"][batch["trimap"] == 1] >= 0.96).all()
        assert (batch["alpha"][batch["trimap"] == 0] <= 0.04).all()


def test_a_batch_is_a_pure_function_of_seed_and_requests(composer: BatchComposer, batches) -> None:
    composer.batch(requests(3, 0.5, first=70))
    again = composer.batch(requests(16, 0.0))
    for name, plane in again.items():
        torch.testing.assert_close(plane, batches[0][name], atol=0, rtol=0)
    other = composer.batch(requests(16, 0.0, first=16))
    assert not torch.equal(other["image"], again["image"])


def test_early_samples_can_be_solved_and_hard_ones_come_later(composer: BatchComposer) -> None:
    shares = []
    for progress in (0.0, 1.0):
        trimaps = torch.cat(
            [composer.batch(requests(16, progress, n))["trimap"] for n in (0, 16, 32)]
        )
        posed = [well_posed(np.rint(t[0].numpy() * 255).astype(np.uint8)) for t in trimaps]
        shares.append(np.mean(posed))
    assert shares[0] >= 0.95
    assert 0.6 <= shares[1] < shares[0]


def test_colours_start_smooth(batches) -> None:
    early, late = (batch["background"].diff(dim=3).abs().mean() for batch in batches)
    assert early < 0.7 * late


def test_the_image_is_nearly_the_composite(batches) -> None:
    for batch in batches:
        mixed = torch.lerp(batch["background"], batch["foreground"], batch["alpha"])
        assert (batch["image"] - mixed).abs().mean() < 0.03


def test_well_posed_trimaps_come_before_hard_before_empty_ones() -> None:
    trimap = torch.zeros(4, 1, 10, 10)
    trimap[0, :, 4:] = UNKNOWN  # well-posed
    trimap[0, :, 8:] = 1.0
    trimap[1:3, :, 4:] = UNKNOWN  # no known foreground
    assert rank(trimap, torch.tensor([False, True, False, True])).tolist() == [0, 0, 1, 2]


def test_a_sample_at_full_scale_is_a_plain_cut_and_a_small_one_an_average() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    held = atlas(pixels)
    cut = held.sample(place((20.0, 30.0), 1.0), 8, slice(0, 3))
    torch.testing.assert_close(cut, planes[:, :3, 26:34, 16:24])
    quarter = held.sample(place((32.0, 32.0), 4.0), 16, slice(3, 4))
    mean = torch.nn.functional.avg_pool2d(planes[:, 3:], 4)
    torch.testing.assert_close(quarter, mean, atol=0.01, rtol=0)


def test_beyond_the_edge_the_edge_is_repeated() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, -1] = 255
    for scale in (1.0, 2.0):
        cut = atlas(pixels).sample(place((100.0, 32.0), scale), 16, slice(0, 4))
        assert (cut > 0.4).all()


def test_a_full_atlas_replaces_the_oldest_rendered_picture() -> None:
    grey = [np.full((64, 64, 4), level, np.uint8) for level in (10, 20, 30, 40)]
    held = Atlas([grey[0]], grey[1:2], 2, device=torch.device("cpu"))
    assert held.filled == 2
    for pixels in grey[2:]:
        held.put(pixels)
    assert held.filled == held.capacity == 3
    assert held.mipmaps[:, 0, 0, 0].tolist() == [10, 40, 30]


def test_processes_render_new_foregrounds_into_the_atlas() -> None:
    composer = build_composer(rendered=2, scenes=1, capacity=3, side=64, workers=1)
    assert composer.refill is not None
    try:
        end = time.monotonic() + 60
        while composer.foregrounds.filled < 3 and time.monotonic() < end:
            composer.batch([Request(0, 32, 0.0)])
        assert composer.foregrounds.filled == 3
    finally:
        composer.refill.close()


def test_training_from_atlases_repeats_and_resumes(
    composer: BatchComposer, tmp_path: Path, small_validation
) -> None:
    options = TrainOptions(steps=3, batch=2, sizes=(32,), warmup=1, save_every=2)

    def run(name: str, stop: int = 9) -> list[float]:
        def report(line: training.StepReport) -> None:
            if line.step == stop:
                raise KeyboardInterrupt

        trainer = Trainer(start_network(None, seed=0), composer, options, tmp_path / name)
        if stop < 9:
            with pytest.raises(KeyboardInterrupt):
                trainer.run(report)
        else:
            trainer.run()
        lines = (tmp_path / name / "curve.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    whole = run("whole")
    assert len(run("stopped", stop=2)) == 2
    np.testing.assert_allclose(run("stopped"), whole, atol=1e-3)


def test_a_rehearsal_leaves_everything_that_travels(
    tmp_path: Path, small_validation, monkeypatch, capsys
) -> None:
    out = tmp_path / "out"
    command = ["gpu_train", "--rehearse", "--out", str(out), "--folder", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", command)
    gpu_train.main()
    travels = {path.name: path.stat().st_size for path in out.iterdir()}
    assert travels.keys() == {
        *("weights.safetensors", "average.safetensors", "curve.jsonl", "preview.png", "run.json")
    }
    assert max(travels.values()) < 16 * 2**20
    run = json.loads((out / "run.json").read_text())
    assert run["steps"] == 3
    assert run["samples"] == 6
    again = start_network(str(out / "average.safetensors"), seed=0)
    assert again.stem.conv.weight.isfinite().all()
    assert "step 3" in capsys.readouterr().out
