"""The Composition-1k command on a made-up set in that layout."""

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from a2u_cli.images import read_grey, write_image
from benchmarks import composition_1k

app = typer.Typer()
app.command()(composition_1k.main)


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    root = tmp_path / "set" / "Test_set"
    trimap = np.zeros((40, 56), np.uint8)
    trimap[:, 20:], trimap[:, 36:] = 128, 255
    write_image(root / "alpha" / "cat.png", rng.random((40, 56), np.float32))
    for name in ("cat_0", "cat_1"):
        write_image(root / "merged" / f"{name}.png", rng.random((40, 56, 3), np.float32))
        write_image(root / "trimaps" / f"{name}.png", trimap)
    return root.parent


def run(data: Path, output: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(data), "--output", str(output)])
    return result.exit_code, result.output


def test_every_composite_is_scored_beside_the_published_figures(data: Path, tmp_path: Path) -> None:
    code, text = run(data, tmp_path / "out")
    assert code == 0, text
    (ours,) = (line for line in text.splitlines() if line.startswith("| a2u-open, here"))
    assert ours.endswith("| 2 |")
    assert "| the paper, A2U | 32.15 | 8.20 | 16.39 | 29.25 | 1000 |" in text


def test_mattes_are_cut_to_whole_levels_and_those_that_are_there_kept(
    data: Path, tmp_path: Path
) -> None:
    assert composition_1k.truncate(np.array([0.9999, 1.0], np.float32)).tolist() == [254, 255]
    kept = tmp_path / "out" / "a2u-open" / "cat_0.png"
    write_image(kept, np.zeros((40, 56), np.uint8))
    assert run(data, tmp_path / "out")[0] == 0
    assert not read_grey(kept).any()
    assert (read_grey(kept.with_name("cat_1.png"))[:, 36:] == 1).all()


def test_a_trimap_with_other_greys_is_a_counted_failure(data: Path, tmp_path: Path) -> None:
    write_image(data / "Test_set/trimaps/cat_1.png", np.full((40, 56), 100, np.uint8))
    code, text = run(data, tmp_path / "out")
    assert code == 1
    assert "cat_1" in text
    assert "| 1 |" in text
