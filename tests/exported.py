"""What tests of exported files share: one graph of the shipped weights for the whole session."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from a2u_cli.export import certificate, web
from a2u_cli.matting.matter import Matter
from a2u_cli.matting.onnx_matter import OnnxMatter

SHIPPED = Path(__file__).parent.parent / "weights" / "a2u-open.safetensors"
SIZES = ((16, 16), (34, 50), (101, 37))


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
def exported_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the shipped weights, which takes a minute; A2U_TEST_GRAPH names one made before."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from a2u_cli.export.onnx_files import read_facts, write_onnx

    graph = tmp_path_factory.mktemp("exported") / "a2u-open.onnx"
    if before := os.environ.get("A2U_TEST_GRAPH"):
        for file in (Path(before), certificate.place(Path(before))):
            shutil.copy(file, graph.parent / f"a2u-open{''.join(file.suffixes[-2:])}")
        return graph
    write_onnx(SHIPPED, graph)
    compared = certificate.certify(
        graph,
        read_facts(graph),
        exported=partial(OnnxMatter, graph, quality="fast"),
        original=partial(Matter, SHIPPED, quality="fast", device="cpu"),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        sizes=SIZES,
        costs=False,
    )
    certificate.write(compared, graph)
    return graph
