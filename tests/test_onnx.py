"""Exported graphs: held to torch at five sizes, refused when changed, run where torch is not."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, RunA2U, error_histogram, sane_network
from exported import SHIPPED
from test_cli import assert_refused

from a2u_cli.errors import A2UError, OutOfMemory, WeightsError
from a2u_cli.export import certificate
from a2u_cli.images import read_image
from a2u_cli.images.reading import read_grey
from a2u_cli.matting.matter import Matter
from a2u_cli.matting.onnx_matter import OnnxMatter
from a2u_cli.matting.opening import open_runtime
from a2u_cli.trimap import read_trimap
from a2u_cli.weights import save_weights

pytest_plugins = "exported"
exports = pytest.mark.exports

SIZES = [(16, 16), (34, 50), (101, 37), (17, 301), (233, 181)]
PLUSH, TRIMAP = ROOT / "examples/plush.png", ROOT / "examples/plush_trimap.png"


def compare(graph: Path, weights: Path, limit: float) -> None:
    one, other = OnnxMatter(graph, quality="fast"), Matter(weights, quality="fast", device="cpu")
    for size in SIZES:
        picture = certificate.draw(size)
        found, expected = one.matte(*picture), other.matte(*picture)
        assert np.abs(found - expected).max() <= limit, error_histogram(found, expected)


@exports
def test_five_sizes_are_torch_s(exported_graph: Path) -> None:
    compare(exported_graph, SHIPPED, 1e-4)


@exports
def test_the_channel_wise_variant_is_torch_s(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from a2u_cli.export.onnx_files import write_onnx

    weights, graph = tmp_path / "unshare.safetensors", tmp_path / "unshare.onnx"
    save_weights(sane_network(shared=False), weights, licence="CC0", source="test", quality="fast")
    write_onnx(weights, graph)
    compare(graph, weights, 1e-4)


@exports
def test_half_a_graph_is_near_torch_and_its_norms_and_softmax_are_wide(
    tmp_path: Path, a2u: RunA2U, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(certificate, "SIZES", SIZES)
    monkeypatch.setattr(certificate, "_take_costs", lambda makes: [])
    graph = tmp_path / "half.onnx"
    run = a2u("export", "onnx", graph, "--half", "--weights", SHIPPED)
    assert run.code == 0, run.stderr
    told = certificate.read(graph)
    assert told.dtype == "float16" and 0 < told.largest < 2e-3  # 7e-4 at twenty sizes
    kinds = kinds_by_operation(onnx.load(graph))
    assert {"FLOAT", "FLOAT16"} == kinds["Conv"]  # the head and the kernels' stay wide
    wide = ("Softmax", "Sigmoid", "ReduceMean", "ReduceSum", "Sqrt", "MatMul", "Div", "Clip")
    for operation in wide:
        assert kinds[operation] - {"INT64"} == {"FLOAT"}, operation


def kinds_by_operation(model: "onnx.ModelProto") -> dict[str, set[str]]:  # noqa: F821
    """Tell of which kinds of numbers the results of each operation are."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    typed |= {value.name: value.type.tensor_type.elem_type for value in graph.output}
    kinds: dict[str, set[str]] = {}
    for node in graph.node:
        kind = onnx.TensorProto.DataType.Name(typed[node.output[0]])
        kinds.setdefault(node.op_type, set()).add(kind)
    return kinds


@exports
def test_a_certificate_names_what_it_compared(exported_graph: Path) -> None:
    told = json.loads(certificate.place(exported_graph).read_text())
    assert told["opset"] == 18 and "onnxruntime" in told["runtime"] and told["processor"]
    assert max(row["largest"] for row in told["rows"]) <= 1e-4


@exports
def test_a_changed_graph_is_refused_by_its_certificate(
    exported_graph: Path, tmp_path: Path, a2u: RunA2U
) -> None:
    import onnx

    copy = tmp_path / "copy.onnx"
    shutil.copy(certificate.place(exported_graph), certificate.place(copy))
    model = onnx.load(exported_graph)
    for change, part in (
        (tamper, "changed since it was certified"),
        (lower_opset, "is no sound ONNX graph"),
        (raise_opset, "has opset 19, its certificate 18"),
    ):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        change(changed)
        copy.write_bytes(changed.SerializeToString())
        if change is not tamper:  # as if the certificate had been mended, too
            told = json.loads(certificate.place(copy).read_text())
            told["file_sha256"] = certificate.digest(copy)
            certificate.place(copy).write_text(json.dumps(told))
        assert_refused(a2u("export", "verify", copy), 3, part)


def tamper(model: "onnx.ModelProto") -> None:  # noqa: F821
    """Change one number of the weights."""
    weights = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = np.frombuffer(weights.raw_data, np.float32).copy()
    values[7] += 1
    weights.raw_data = values.tobytes()


def lower_opset(model: "onnx.ModelProto") -> None:  # noqa: F821
    [main] = [known for known in model.opset_import if not known.domain]
    main.version = 17


def raise_opset(model: "onnx.ModelProto") -> None:  # noqa: F821
    [main] = [known for known in model.opset_import if not known.domain]
    main.version = 19


@exports
def test_a_graph_that_differs_from_torch_gets_no_certificate(
    exported_graph: Path, tmp_path: Path
) -> None:
    import onnx

    model = onnx.load(exported_graph)
    tamper(model)
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(model.SerializeToString())
    with pytest.raises(certificate.ParityError, match=r"expected at most 0\.0001"):
        certificate.certify(
            changed,
            {"weights_sha256": "", "dtype": "float32", "opset": "18"},
            exported=lambda: OnnxMatter(changed, quality="fast"),
            original=lambda: Matter(SHIPPED, quality="fast"),
            runtime="onnxruntime",
            sizes=SIZES[:2],
            costs=False,
        )


@exports
def test_a_picture_and_a_folder_are_matted_by_a_graph(
    exported_graph: Path, tmp_path: Path, a2u: RunA2U
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        shutil.copy(PLUSH, folder / f"p{number}.png")
        shutil.copy(TRIMAP, folder / f"p{number}_trimap.png")
    graph = ("--weights", exported_graph, "--runtime", "onnx")
    how = ("--quality", "fast")
    run = a2u("matte", PLUSH, "-t", TRIMAP, "-o", tmp_path / "a.png", *graph, *how)
    assert run.code == 0, run.stderr
    assert "onnxruntime on cpu" in run.stderr
    shipped = ("--weights", SHIPPED)
    assert a2u("matte", PLUSH, "-t", TRIMAP, "-o", tmp_path / "b.png", *how, *shipped).code == 0
    run = a2u("batch", folder, *graph, "--workers", "2", *how)
    assert run.code == 0, run.stderr
    found, expected = (read_grey(tmp_path / name) for name in ("a.png", "b.png"))
    assert np.abs(found - expected).max() < 1.5 / 255
    for number in range(2):
        made = read_grey(folder / f"a2u_output/alpha/p{number}.png")
        assert np.array_equal(made, found)


@exports
def test_an_environment_without_torch_mattes(exported_graph: Path, tmp_path: Path) -> None:
    """The wheel without what it depends on, and the packages of the committed list."""
    pip = ("-m", "pip", "--disable-pip-version-check")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    run(python, *pip, "install", "--quiet", "--no-deps", wheel)
    run(python, *pip, "install", "--quiet", "-r", ROOT / "requirements-onnx.txt")
    assert "torch" not in run(python, *pip, "list").split()
    picture = ("matte", PLUSH, "--trimap", TRIMAP, "--weights", exported_graph)
    for quality in ("fast", "auto"):
        alpha = tmp_path / f"{quality}.png"
        chosen = () if quality == "auto" else ("--quality", quality)
        run(python, "-m", "a2u_cli", *picture, *chosen, "-o", alpha, cwd=tmp_path)
        expected = Matter(quality=quality, dtype="float32")
        alone = expected.matte(read_image(PLUSH).image, read_trimap(TRIMAP))
        assert np.abs(read_grey(alpha) - alone).max() <= 1 / 255


def run(*command: str | Path, cwd: Path | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "A2U_WEIGHTS")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@exports
def test_what_does_not_fit_into_memory_is_refused_before(exported_graph: Path) -> None:
    matter = OnnxMatter(exported_graph, max_memory="700MB")
    with pytest.raises(OutOfMemory, match="in one piece"):
        matter.plan((1000, 1000))


@exports
def test_a_pass_takes_what_was_planned_also_the_second_time_and_gives_it_back(
    exported_graph: Path,
) -> None:
    code = """
import sys
from pathlib import Path
from a2u_cli.export.certificate import draw, peak_memory
from a2u_cli.matting.onnx_matter import OnnxMatter
matter, size = OnnxMatter(sys.argv[1], quality="fast", threads=1), (400, 560)
for _ in range(2):
    matter.matte(*draw(size))
held = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]
print(peak_memory(), matter.plan(size).memory, 1024 * int(held))
"""
    peak, planned, held = map(
        int, run(sys.executable, "-c", code, exported_graph, cwd=ROOT).split()
    )
    assert 0.5 * planned < peak <= planned
    assert held < 0.4 * peak


def test_other_files_are_named(tmp_path: Path, a2u: RunA2U) -> None:
    out = ("-o", tmp_path / "a.png")
    picture = ("matte", PLUSH, "-t", TRIMAP, *out)
    assert_refused(a2u(*picture, "--runtime", "onnx"), 3, "a2u export onnx")
    assert_refused(a2u(*picture, "--weights", tmp_path / "no.onnx"), 3, "a2u export onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    assert_refused(a2u(*picture, "--weights", tmp_path / "bad.onnx"), 3, "cannot be loaded")
    run = a2u(*picture, "--weights", tmp_path / "bad.onnx", "--runtime", "torch")
    assert_refused(run, 3, "--runtime onnx")
    assert_refused(a2u(*picture, "--runtime", "tensorrt"), 2, "torch or onnx")
    assert not (tmp_path / "a.png").exists()


def test_graphs_of_others_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match="another kind"):
        OnnxMatter(tmp_path / "other.onnx")
    with pytest.raises(A2UError, match="none of onnxruntime's"):
        open_runtime(tmp_path / "other.onnx", device="mps")


def test_an_export_needs_the_suffix_and_a_free_place(tmp_path: Path, a2u: RunA2U) -> None:
    assert_refused(a2u("export", "onnx", tmp_path / "a.pb"), 2, ".onnx")
    (tmp_path / "a.onnx").touch()
    assert_refused(a2u("export", "onnx", tmp_path / "a.onnx"), 2, "exists")
    assert_refused(a2u("export", "verify", tmp_path / "a.onnx"), 3, "no certificate")


def test_torchscript_is_torch_s(
    tmp_path: Path, a2u: RunA2U, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "SIZES", ((16, 16), (34, 50), (17, 70)))
    monkeypatch.setattr(certificate, "_take_costs", lambda makes: [])
    run = a2u("export", "torchscript", tmp_path / "a.pt")
    assert run.code == 0, run.stderr
    told = json.loads((tmp_path / "a.pt.json").read_text())
    assert len(told["rows"]) == 3 and max(row["largest"] for row in told["rows"]) <= 1e-4
    (tmp_path / "a.pt").write_bytes(b"no file of torch")
    assert_refused(a2u("export", "verify", tmp_path / "a.pt"), 3, "no TorchScript file")
