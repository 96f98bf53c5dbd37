"""How long a folder will take, and what one picture is at."""

import io
import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RunA2U, sane_network

from a2u_cli.commands import progress
from a2u_cli.commands.plan import in_time
from a2u_cli.images import write_image
from a2u_cli.jobs import outlook
from a2u_cli.jobs.options import Options
from a2u_cli.jobs.outlook import look_ahead
from a2u_cli.jobs.spreading import Team
from a2u_cli.matting.inference import decoded_share, matte
from a2u_cli.matting.planning import make_plan
from a2u_cli.network.folding import fold_norms
from a2u_cli.pairing import find_pairs

PIXEL, DECODED, UNKNOWN = 1e-3, 2e-3, 4e-3  # seconds


def put(folder: Path, name: str, size: tuple[int, int], unknown: int) -> None:
    """Write a picture, the first columns of which are unknown."""
    write_image(folder / f"{name}.png", np.full((*size, 3), 0.5, np.float32))
    trimap = np.zeros(size, np.uint8)
    trimap[:, -1], trimap[:, :unknown] = 255, 128
    write_image(folder / f"{name}_trimap.png", trimap)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    put(tmp_path / "in", "a", (10, 20), 5)
    put(tmp_path / "in", "b", (10, 30), 15)
    put(tmp_path / "in", "c", (10, 40), 8)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 seconds"),
        (89, "89 seconds"),
        (91, "2 minutes"),
        (3600, "60 minutes"),
        (9000, "2.5 hours"),
    ],
)
def test_a_time_is_said_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert in_time(seconds) == text


def test_an_estimate_counts_what_each_picture_costs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels, the decoded ones (half of each here) and the unknown; what is there costs nothing."""
    monkeypatch.setattr(outlook, "_measure", lambda *_: (PIXEL, DECODED, UNKNOWN, 9.0))
    matter = SimpleNamespace(decoded_share=lambda unknown: 0.5)
    pairs = find_pairs(photos).found
    write_image(tmp_path / "out/alpha/c.png", np.zeros((10, 40), np.float32))
    look = look_ahead(pairs, tmp_path / "out", matter, Options(), Team(), int)
    pixels, unknown = 200 + 300, 50 + 150
    assert look.seconds == pytest.approx(pixels * (PIXEL + DECODED / 2) + unknown * UNKNOWN)
    assert look.done == 1 and look.unknown == (0.25, 0.5)
    (photos / "b_trimap.png").write_bytes(b"")  # costs what a whole picture does
    look = look_ahead(pairs, tmp_path / "out", matter, Options(), Team(), int)
    known = 200 * (PIXEL + DECODED / 2) + 50 * UNKNOWN
    assert look.seconds == pytest.approx(known + 300 * (PIXEL + DECODED + UNKNOWN))


def test_workers_share_the_time_and_add_that_of_their_start(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crew:
        def __init__(self, setups: object) -> None:
            self.size = 2

        def call(self, *_: object) -> tuple[float, ...]:
            time.sleep(0.3)
            return PIXEL, 0.0, 0.0, 0.1

        def each(self, action: object, things: object) -> "list[object]":
            return [action(thing) for thing in things]

    monkeypatch.setattr(outlook, "Crew", Crew)
    monkeypatch.setattr(outlook, "setups", lambda *_: [])
    monkeypatch.setattr(outlook, "_measure", lambda *_: (2 * PIXEL, 0.0, 0.0, 9.0))
    matter = SimpleNamespace(decoded_share=lambda unknown: 1.0)
    pairs = find_pairs(photos).found
    small = frozenset(pair for pair in pairs if pair.name != "c")
    team = Team((("cpu", None), ("cpu", None)), 1, small)
    look = look_ahead(pairs, tmp_path / "out", matter, Options(), team, int)
    start = look.seconds - (500 * PIXEL / 2 + 400 * 2 * PIXEL)
    assert 0.5 <= start < 5  # two calls of 0.3 s, less the 0.1 s that are no start


def test_speeds_are_told_apart_by_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = [0.0]

    def matting(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        unknown = trimap == 128
        cost = PIXEL * trimap.size + DECODED * share(unknown) * trimap.size
        times[0] += cost + UNKNOWN * unknown.sum()
        return np.zeros(trimap.shape, np.float32)

    def share(unknown: np.ndarray) -> float:
        return float(unknown.any(0).mean())

    monkeypatch.setattr(outlook.time, "perf_counter", lambda: times[0])
    matter = SimpleNamespace(matte=matting, decoded_share=share, max_memory=None)
    *speeds, taken = outlook._measure(matter, Options(), 64)
    assert speeds == pytest.approx([PIXEL, DECODED, UNKNOWN])
    assert taken == times[0]


def test_bands_are_decoded_whole_and_a_small_region_is_not() -> None:
    plan = make_plan((512, 512), budget=8 << 30, largest=512)
    assert plan.whole
    needed = np.zeros((512, 512), np.bool_)
    needed[200:230, 200:230] = True
    assert decoded_share(plan, needed) < 1 / 3
    needed[:, ::32] = True
    assert decoded_share(plan, needed) == 1.0


def test_a_dry_run_says_how_long_the_rest_takes(a2u: RunA2U, photos: Path) -> None:
    plan = json.loads(a2u("batch", photos, "--dry-run", "--json").stdout)
    assert 0 < plan["seconds"] < 60 and plan["hours"] == plan["seconds"] / 3600
    assert plan["done"] == 0 and plan["workers"] == 1
    assert a2u("batch", photos).code == 0
    told = a2u("batch", photos, "--dry-run").stdout.decode()
    assert "results of 3 are there" in told and "time:       about 1 seconds" in told


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ("fast", [("pass 1 of 1", 0)]),
        ("refined", [("pass 1 of 1", 0), ("settling by colour", 1 / 1.6)]),
        (
            "best",
            [
                ("pass 1 of 2", 0),
                ("pass 2 of 2", 1 / 2.6),
                ("settling by colour", 2 / 2.6),
            ],
        ),
    ],
)
def test_who_watches_is_told_of_each_pass_and_of_the_refinement(
    rng: np.random.Generator, quality: str, expected: list[tuple[str, float]]
) -> None:
    trimap = np.full((16, 32), 128, np.uint8)
    trimap[:, :8] = 255
    told: list[tuple[str, float]] = []
    image = rng.random((16, 32, 3), np.float32)
    network = fold_norms(sane_network())
    matte(network, image, trimap, quality=quality, watch=lambda *step: told.append(step))
    begun = [next(of_step) for _, of_step in itertools.groupby(told, key=lambda step: step[0])]
    assert [name for name, _ in begun] == [name for name, _ in expected]
    assert [share for _, share in begun] == pytest.approx([share for _, share in expected])


def test_what_a_picture_is_at_is_shown_on_a_terminal_that_waits_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with progress.watching() as watch:
        assert watch is None  # stderr is none here
    shown = {}
    for patience in (0.0, 60.0):
        stream = io.StringIO()
        stream.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(progress, "PATIENCE", patience)
        with progress.watching() as watch:
            assert watch
            watch("pass 1 of 1", 0.0)
            time.sleep(0.2)
            watch("settling by colour", 0.625)
            time.sleep(0.2)
        shown[patience] = stream.getvalue()
    assert "pass 1 of 1" in shown[0.0]
    assert "settling by colour" in shown[0.0] and "about 0 s left" in shown[0.0]
    assert shown[60.0] == ""
