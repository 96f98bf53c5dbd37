"""What tests of exported files share: one graph of the shipped weights for the whole session."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a2u_cli.export import certificate, web

SHIPPED = Path(__file__).parent.parent / "weights" / "a2u-open.safetensors"


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Give a folder that looks like onnxruntime-web's, with nothing in it that could be run."""
    return lay_stand_in(tmp_path / "dist")


def lay_stand_in(folder: Path) -> Path:
    folder.mkdir()
    for name in web.RUNTIME_FILES:
        (folder / name).write_text(f"/*!\n * ONNX Runtime Web v{web.VERSION}\n */")
    return folder


@pytest.fixture(scope="session")
def exported_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have `a2u export web` export the shipped weights, a minute, and lay out a page."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("exported")
    page, stand_in = folder / "page", lay_stand_in(folder / "dist")
    words = ("export", "web", page, "--weights", SHIPPED, "--runtime-from", stand_in)
    command = [sys.executable, "-m", "a2u_cli", *words]
    done = subprocess.run(command, cwd=SHIPPED.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return page


@pytest.fixture(scope="session")
def exported_graph(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Give that page's graph and its certificate; A2U_TEST_GRAPH names one made before."""
    before = os.environ.get("A2U_TEST_GRAPH")
    made = Path(before or request.getfixturevalue("exported_page") / web.GRAPH)
    graph = tmp_path_factory.mktemp("graph") / "a2u-open.onnx"
    shutil.copy(made, graph)
    shutil.copy(certificate.place(made), certificate.place(graph))
    return graph
