"""Folders, commands and accidents drawn by the hundred; `make campaign` draws thousands."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "folder_campaign.py"


@pytest.mark.timeout(900)  # 40 seconds of work, for a machine with much else to do
@pytest.mark.parametrize("seed", ["1", "2"])
def test_whatever_happens_to_a_folder_every_picture_is_accounted_for(seed: str) -> None:
    command = [sys.executable, PROGRAM, "--folders", "100", "--seed", seed]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
