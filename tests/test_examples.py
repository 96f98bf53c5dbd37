"""The worked examples do what they say, at tiny size."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.timeout(600)
def test_fine_tuning_improves_pictures_that_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty quick steps on crops of feathers gain a tenth at least."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # beside other tests, more wait for each other
    example = runpy.run_path(str(EXAMPLES / "fine_tune.py"))
    before, after = example["fine_tune"](
        tmp_path,
        cutouts=24,
        side=320,
        training=(
            *("--steps", 40, "--batch", 4, "--size", 128),
            *("--learning-rate", 4e-3, "--device", "cpu"),
        ),
    )
    assert after < 0.9 * before
    held_out = {path.stem for path in (tmp_path / "held-out").iterdir()}
    assert held_out.isdisjoint(path.stem for path in (tmp_path / "cutouts").iterdir())
    assert len(held_out) == 3
