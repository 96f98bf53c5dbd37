"""Bounds that hold: what does not fit into memory is told before memory is taken, as code 4."""

import resource
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from words import assert_words, pair

from a2u_cli.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("environment")


def test_a_worker_that_the_system_ends_is_a_shortage(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr("a2u_cli.rendering.sets._submit", fail)
    run = run_a2u("render", tmp_path / "r", "--count", "2", "--workers", "2")
    assert_words(run, "a worker process was ended from outside", "fewer workers", code=4)


DECODER = "a2u_cli.images.reading.decode_levels"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("matte", "p.png", "-t", "p_trimap.png"), DECODER),
        (("matte", "p.png", "-t", "p_trimap.png"), "a2u_cli.matting.inference.raw_alpha"),
        (("matte", "p.png", "-t", "p_trimap.png"), "a2u_cli.images.writing.encode_png"),
        (("batch", "."), "a2u_cli.weights.format.load_file"),
        (("cutout", "p.png", "-a", "m.png"), DECODER),
        (("cutout", "p.png", "-a", "m.png"), "a2u_cli.foreground.estimate_foreground"),
        (("composite", "p.png", "-a", "m.png"), DECODER),
        (("trimap", "make", "m.png"), DECODER),
        (("trimap", "check", "p_trimap.png"), DECODER),
        (("explain", "p.png", "-t", "p_trimap.png"), "a2u_cli.matting.explain.look"),
        (("eval", "m", "--gt", "gt"), "a2u_cli.scoring.evaluation.score"),
        (("weights", "info", "{weights}"), "json.loads"),
        (("weights", "verify", "{weights}"), "a2u_cli.weights.format.load_file"),
        (("weights", "import", "{weights}"), "a2u_cli.weights.format.load_file"),
        (("render", "r", "--count", "1", "--size", "64"), "a2u_cli.rendering.sets.render_scene"),
        (("train", "t", "--steps", "1"), "a2u_cli.training.data.building.build_engine"),
        (("doctor",), "a2u_cli.matting.devices.describe_device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.split(".")[-1],
)
def test_a_shortage_of_memory_is_code_4_in_every_command(
    run_a2u: RunA2U,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Path,
    words: Sequence[str],
    place: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("std::bad_alloc")

    pair(tmp_path, "p", size=(8, 8))
    for name in ("m.png", "gt/p.png", "m/p.png"):
        write_image(tmp_path / name, np.full((8, 8), 0.5, np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    monkeypatch.setattr(place, fail)
    run = run_a2u(*(word.format(weights=weights) for word in words))
    assert_words(run, "memory", code=4)
    assert "damaged" not in run.stderr


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)], ids=str)
def test_thin_pictures_are_matted_and_explained_in_bounded_memory(
    run_a2u: RunA2U, tmp_path: Path, weights: Path, size: tuple[int, int]
) -> None:
    write_image(tmp_path / "p.png", np.random.default_rng(1).random((*size, 3), np.float32))
    write_image(tmp_path / "t.png", np.full(size, 128, np.uint8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = ("--weights", weights, "--device", "cpu")
    for command in ("matte", "explain"):
        run = run_a2u(command, tmp_path / "p.png", "-t", tmp_path / "t.png", *words)
        assert run.code == 0, run.stderr
    assert read_image(tmp_path / "p_alpha.png").size == size
    page = read_image(tmp_path / "p_explained.png").image
    assert page.shape[0] < 6000
    assert page.shape[1] < 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB
