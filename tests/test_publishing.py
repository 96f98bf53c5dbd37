# ruff: noqa: F811 - fixtures that are imported
"""Weights as a model repository: its folder, its card, and its way to a Hub on 127.0.0.1."""

import dataclasses
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
from conftest import Run, RunA2U
from huggingface_hub import ModelCard, SpaceCard, hf_hub_download
from huggingface_hub.repocard import metadata_load
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_weights_hub import COMMIT, Hub, Machine, faults, hub, machine  # noqa: F401

from a2u_cli.commands.weights import _certified
from a2u_cli.errors import A2UError, WeightsError
from a2u_cli.export import certificate, web
from a2u_cli.export.certificate import Certificate, ParityError, Row
from a2u_cli.weights import publishing, registry
from a2u_cli.weights.cache import sha256_of
from a2u_cli.weights.card import space_card, write_text
from a2u_cli.weights.header import read_header

pytest_plugins = "exported"

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def online(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Let the Hub's library, in this process, know of no other Hub than the one here."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return hub


@pytest.fixture
def publish(run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run `a2u weights publish` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_a2u("weights", "publish", *arguments)


@pytest.fixture
def graph(weights: Path, tmp_path: Path) -> Path:
    """Give a tiny graph with a certificate that names the weights."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    made = onnx.helper.make_graph([node], "a2u", [value], [onnx.ValueInfoProto(name="y")])
    made.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1]))
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)])
    facts = {"weights_sha256": sha256_of(weights), "dtype": "float32"}
    onnx.helper.set_model_props(model, facts)
    path = tmp_path / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    certificate.write(certificate_of(path, facts["weights_sha256"]), path)
    return path


@pytest.fixture
def page(
    graph: Path, weights: Path, stand_in: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Lay out a page of the tiny graph."""
    out = tmp_path_factory.mktemp("page")
    facts = {"licence": "Apache-2.0", "weights_sha256": sha256_of(weights)}
    web.write_page(out, graph, facts, "tiny", stand_in)
    return out


def certificate_of(file: Path, weights_sha256: str, *, largest: float = 1e-6) -> Certificate:
    rows = (Row(16, 16, largest, 1e-7),)
    sums = (sha256_of(file), weights_sha256)
    return Certificate(*sums, "float32", 18, "onnxruntime 1.32.0", "2.13.0", "a processor", rows)


def relicensed(weights: Path, to: Path, licence: str) -> Path:
    with safe_open(weights, "pt") as file:
        told = file.metadata()
    save_file(load_file(weights), to, {**told, "licence": licence})
    return to


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# The folder


def test_a_dry_run_makes_and_shows_the_whole_repository_and_uploads_nothing(
    publish: Callable[..., Run], online: Hub, weights: Path, graph: Path, tmp_path: Path
) -> None:
    run = publish(weights, "--to", "me/mats", "--onnx", graph)
    folder = tmp_path / "me--mats"
    assert run.code == 0, run.stderr
    assert names(folder) == {
        *("LICENSE", "README.md", "config.json", "model.safetensors"),
        *("graph.onnx", "graph.onnx.json"),
    }
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    assert json.loads((folder / "config.json").read_text()) == {"shared": True}
    *shown, place = run.stdout.decode().splitlines()
    assert place == "me--mats"
    assert [line.split() for line in shown] == [
        [sha256_of(path), str(path.stat().st_size), path.name] for path in sorted(folder.iterdir())
    ]
    command = f"a2u weights publish {weights} --to me/mats --onnx {graph} --yes"
    assert f"nothing was uploaded; to upload it: {command}\n" in run.stderr
    assert "me/mats is not on the Hub yet" in run.stderr
    assert not online.files
    assert {method for method, _, _ in online.requests} == {"GET"}


def test_the_folder_is_told_to_machines(publish: Callable[..., Run], weights: Path) -> None:
    run = publish(weights, "--json")
    told = json.loads(run.stdout)
    assert (told["folder"], told["address"]) == (f"{weights.stem}-hub", None)
    assert [part["name"] for part in told["parts"]] == sorted(names(Path(told["folder"])))


def test_a_folder_that_holds_something_else_is_left_alone(
    publish: Callable[..., Run], weights: Path, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    assert publish(weights, "--folder", place).code == 0
    before = (place / "README.md").stat().st_mtime_ns
    assert publish(weights, "--folder", place).code == 0, "the same is no other"
    assert (place / "README.md").stat().st_mtime_ns == before
    (place / "README.md").write_text("mine")
    (place / "notes.txt").write_text("mine")
    run = publish(weights, "--folder", place)
    assert run.code == 2
    assert "holds something else than would be written (notes.txt, README.md)" in run.stderr
    assert (place / "README.md").read_text() == "mine"
    run = publish(weights, "--folder", place / "notes.txt")
    assert run.code == 2
    assert "is a file, expected a folder" in run.stderr
    assert names(tmp_path) == {"out"}, "nothing half-made stays"


def test_a_full_disk_leaves_nothing(
    publish: Callable[..., Run], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")

    monkeypatch.setattr(shutil, "copyfile", full)
    run = publish(weights)
    assert (run.code, run.stdout) == (3, b"")
    assert "-hub (No space left on device); nothing was made\n" in run.stderr
    assert not names(tmp_path)


# What may be published


@pytest.mark.parametrize(
    ("licence", "line"),
    [
        ("non-commercial", "are not ours to publish (licence non-commercial)"),
        ("unknown", "state no licence (unknown)"),
        ("unstated", "state no licence (unstated)"),
    ],
)
def test_weights_whose_licence_forbids_it_are_refused(
    publish: Callable[..., Run], weights: Path, tmp_path: Path, licence: str, line: str
) -> None:
    run = publish(relicensed(weights, tmp_path / "theirs.safetensors", licence))
    assert (run.code, run.stdout) == (3, b"")
    assert line in run.stderr
    assert run.stderr.count("\n") == 1
    assert names(tmp_path) == {"theirs.safetensors"}


def test_the_authors_weights_are_refused_by_name(publish: Callable[..., Run]) -> None:
    run = publish("a2u-official")
    assert run.code == 3
    assert "non-commercial use only" in run.stderr


@pytest.mark.parametrize(
    "name", ["mats", "me/mats/more", "me/m--ats", "me/mats@main", "me/" + "x" * 97]
)
def test_names_that_no_repository_can_have_are_refused(
    publish: Callable[..., Run], name: str, tmp_path: Path
) -> None:
    run = publish("a2u-open", "--to", name)
    assert run.code == 2
    assert "is no name of a repository; expected OWNER/NAME" in run.stderr
    assert not names(tmp_path)


def test_uploading_without_saying_where_to_is_refused(publish: Callable[..., Run]) -> None:
    run = publish("a2u-open", "--yes")
    assert (run.code, run.stderr.count("\n")) == (2, 1)
    assert "add --to OWNER/NAME" in run.stderr


def test_graphs_are_taken_along_only_as_they_were_certified(graph: Path, weights: Path) -> None:
    digest = sha256_of(weights)
    said = _certified([graph], digest)
    assert list(said) == [graph, certificate.place(graph)]
    assert "alpha is at most 1.0e-06 from torch's" in said[graph]
    with pytest.raises(ParityError, match=r"made of other weights .* expected 0000"):
        _certified([graph], "0" * 64)
    certificate.write(certificate_of(graph, digest, largest=0.5), graph)
    with pytest.raises(ParityError, match=r"differs from torch by 0\.5, expected at most"):
        _certified([graph], digest)
    told = certificate_of(graph, digest)
    certificate.write(dataclasses.replace(told, file_sha256="0" * 64), graph)
    with pytest.raises(ParityError, match="changed since it was certified"):
        _certified([graph], digest)
    certificate.place(graph).unlink()
    with pytest.raises(WeightsError, match="is no certificate"):
        _certified([graph], digest)
    with pytest.raises(A2UError, match=r"is no \.onnx file"):
        _certified([weights], digest)


def test_files_of_one_name_are_refused(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "README.md"
    with pytest.raises(A2UError, match=r"two files would be called README\.md"):
        publishing.make_folder(weights, tmp_path / "out", name="x", more={other: ""})
    with pytest.raises(A2UError, match="is no name on the Hub"):
        publishing.make_folder(weights, tmp_path / "out", name="x", more={Path("a b.onnx"): ""})


# The card


def test_the_card_of_the_default_weights_has_their_figures_and_passes(
    online: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", (ROOT / "weights",))
    made = publishing.make_folder(
        ROOT / "weights" / "a2u-open.safetensors", tmp_path / "out", name="x", repository="me/mats"
    )
    card = ModelCard.load(made.folder / "README.md")
    card.validate()
    asked = [path for method, path, _ in online.requests if method == "POST"]
    assert asked == ["/api/validate-yaml"]
    data = card.data
    assert (data.license, data.library_name) == ("apache-2.0", "a2u-cli")
    assert (data.pipeline_tag, data.model_name) == ("image-segmentation", "a2u-open")
    figures = [
        (result.dataset_name.split()[-2], result.metric_name, result.metric_value)
        for result in data.eval_results
    ]
    assert len(figures) == 16
    text = (ROOT / "weights" / "README.md").read_text()
    narrow, wide = text.split("\nNarrow trimaps:\n")[1].split("\nWide trimaps:\n")
    for width, name, value in figures:
        title, _, quality = name.partition(", --quality ")
        row = "| a2u-open, auto | " if quality == "auto" else "| a2u-open | "
        table = (narrow if width == "narrow" else wide).partition("| mean | SAD")[2]
        cells = table.partition(row)[2].partition("\n")[0].split(" | ")
        column = ["SAD", "MSE x 1e3", "Grad", "Conn"].index(title)
        assert float(cells[column]) == value, (width, name)
    assert "hf://me/mats" in card.text
    assert {"training_data.csv", "failures.jpg"} <= names(made.folder)
    assert "](../" not in card.text
    assert "../benchmarks/results/eval_dev.csv" in made.unlinked
    assert (made.folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_card_of_other_weights_tells_what_their_header_knows_and_no_more(
    online: Hub, weights: Path, tmp_path: Path
) -> None:
    file = relicensed(weights, tmp_path / "mine.safetensors", "My Own (2026)")
    made = publishing.make_folder(file, tmp_path / "out", name="mine")
    card = ModelCard.load(made.folder / "README.md")
    card.validate()
    assert card.data.license == "other"
    assert card.data.license_name == "my-own-2026"
    assert card.data.license_link == "LICENSE"
    assert not card.data.eval_results
    assert "| licence | My Own (2026) |" in card.text
    assert "No scores came with these weights" in card.text
    assert "states it: My Own (2026)" in (made.folder / "LICENSE").read_text()


def test_other_weights_by_the_name_of_the_default_ones_do_not_get_their_card(
    publish: Callable[..., Run], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", (ROOT / "weights",))
    shutil.copyfile(weights, "a2u-open.safetensors")
    assert publish("a2u-open.safetensors").code == 0
    assert "No scores came with these" in Path("a2u-open-hub", "README.md").read_text()


def test_what_a_header_holds_stays_within_its_cell(weights: Path) -> None:
    header = dataclasses.replace(
        read_header(weights), source="a | b\n\n# c", training={"steps": 7, "note": "x|y"}
    )
    text = write_text(header, name="mine")
    assert "| source | a \\| b # c |\n" in text
    assert "| note | x\\|y |\n" in text
    assert "| steps | 7 |\n" in text


def test_a_card_that_the_hub_would_refuse_does_not_pass_here(online: Hub) -> None:
    with pytest.raises(ValueError, match="license"):
        ModelCard("---\nlicense: my own\n---\n").validate()
    assert faults("# no front matter") == ["empty or missing yaml metadata in repo card"]


def test_a_space_serves_a_folder_that_browsers_grant_threads(online: Hub, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(space_card("Mattes", models=["me/mats"]), encoding="utf-8")
    facts = metadata_load(tmp_path / "README.md")
    assert (facts["sdk"], facts["app_file"]) == ("static", "index.html")
    assert (facts["title"], facts["models"]) == ("Mattes", ["me/mats"])
    assert facts["license"] == "apache-2.0"
    assert facts["custom_headers"] == {
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "cross-origin",
    }
    SpaceCard.load(tmp_path / "README.md").validate()


# A page as a Space


def test_a_dry_run_makes_a_whole_space_of_a_page_whose_card_passes(
    publish: Callable[..., Run], online: Hub, weights: Path, page: Path, tmp_path: Path
) -> None:
    run = publish(weights, "--to", "me/mattes", "--space", page)
    assert run.code == 0, run.stderr
    folder = tmp_path / "me--mattes"
    assert contents(folder).keys() - contents(page).keys() == {"README.md"}
    assert contents(page).items() <= contents(folder).items()
    SpaceCard.load(folder / "README.md").validate()
    facts = metadata_load(folder / "README.md")
    assert (facts["title"], facts["sdk"], facts["license"]) == ("mattes", "static", "apache-2.0")
    command = f"a2u weights publish {weights} --to me/mattes --space {page} --yes"
    assert f"nothing was uploaded; to upload it: {command}\n" in run.stderr
    assert "me/mattes is not on the Hub yet" in run.stderr
    assert not online.files
    assert publish(weights, "--to", "me/mattes", "--space", page).code == 0, "the same is no other"
    (folder / "index.html").write_text("mine")
    run = publish(weights, "--to", "me/mattes", "--space", page)
    assert run.code == 2 and "holds something else than would be written" in run.stderr


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_is_no_page_of_these_weights_is_no_space(
    publish: Callable[..., Run], weights: Path, graph: Path, page: Path, tmp_path: Path
) -> None:
    def refused(code: int, words: str, *more: object) -> None:
        run = publish(weights, "--space", page, *more)
        assert (run.code, run.stdout, run.stderr.count("\n")) == (code, b"", 1), run.stderr
        assert words in run.stderr

    refused(2, "--onnx would do nothing: a page has its graph", "--onnx", graph)
    (page / "notes.txt").write_text("mine")
    refused(2, "holds notes.txt, which is none of a page's files")
    (page / "notes.txt").unlink()
    told = (page / "model.json").read_text()
    (page / "model.json").write_text(told.replace(sha256_of(weights), "0" * 64))
    refused(3, "has a network of other weights (sha256 0000")
    (page / "model.json").write_text("{}")
    refused(2, "model.json is damaged")
    (page / "model.json").write_text(told)
    own = certificate.read(page / "model.onnx")
    certificate.write(dataclasses.replace(own, file_sha256="0" * 64), page / "model.onnx")
    refused(3, "model.onnx was changed since it was certified")
    (page / "index.html").unlink()
    refused(2, "has no index.html, expected a page: make one with a2u export web")
    assert not list(tmp_path.glob("*-space"))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the Hub's library
def test_a_space_is_got_back_byte_by_byte(
    publish: Callable[..., Run], online: Hub, weights: Path, page: Path, tmp_path: Path
) -> None:
    online.token = "hf_secret"
    run = publish(weights, "--to", "me/mattes", "--space", page, "--yes")
    assert run.code == 0, run.stderr
    assert run.stderr.splitlines()[-1].startswith(f"published: {online.address}/")
    assert "hf_secret" not in run.stdout.decode() + run.stderr
    assert [(asked["type"], asked["sdk"]) for asked in online.created] == [("space", "static")]
    published = contents(tmp_path / "me--mattes")
    for name, data in published.items():
        back = hf_hub_download("me/mattes", name, repo_type="space", local_dir="back")
        assert Path(back).read_bytes() == data
    assert len(online.files) == len(published)


# The Hub


def test_what_was_published_is_got_back_byte_by_byte(
    hub: Hub, machine: Machine, weights: Path, graph: Path
) -> None:
    hub.token = "hf_secret"
    code = """
import sys
from a2u_cli import Matter
from a2u_cli.cli import main
for words in (sys.argv[1:], ["weights", "get", "hf://me/mats"]):
    sys.argv = ["a2u", *words]
    try:
        main()
    except SystemExit as done:
        assert not done.code
from a2u_cli.weights import HubMattingNetwork
assert HubMattingNetwork.from_pretrained("me/mats").shared
matter = Matter("hf://me/mats", device="cpu", quality="fast")
"""
    words = ("weights", "publish", str(weights), "--to", "me/mats", "--onnx", str(graph), "--yes")
    done = machine.python(code, *words, HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    folder = machine.folder / "me--mats"
    assert hub.files == {f"me/mats/{path.name}": path.read_bytes() for path in folder.iterdir()}
    assert len(hub.commits) == 1
    uploading, published = done.stderr.splitlines()[-2:]
    assert uploading.startswith("uploading 6 files, 16.3 MB")
    assert published.endswith("to get it: a2u weights get hf://me/mats")
    assert sha256_of(Path(done.stdout.splitlines()[-1])) == sha256_of(weights)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the Hub's library
def test_what_a_repository_holds_already_is_told_and_stays(
    publish: Callable[..., Run], online: Hub, weights: Path
) -> None:
    online.files = {"me/mats/README.md": b"old", "me/mats/notes.txt": b"theirs"}
    dry = publish(weights, "--to", "me/mats")
    run = publish(weights, "--to", "me/mats", "--yes")
    assert run.code == 0, run.stderr
    for err in (dry.stderr, run.stderr):
        assert "me/mats is there; to be replaced where they differ: README.md\n" in err
        assert "me/mats holds other files, which stay: notes.txt\n" in err
    assert online.files["me/mats/notes.txt"] == b"theirs"
    assert online.files["me/mats/README.md"] != b"old"
    assert [head["parentCommit"] for head in online.commits] == [COMMIT]
    assert all("/repos/create" not in path for _, path, _ in online.requests)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_one_line_that_does_not_show_it(
    publish: Callable[..., Run], online: Hub, weights: Path, status: int
) -> None:
    online.refuses = status
    run = publish(weights, "--to", "me/mats", "--yes")
    assert (run.code, run.stdout) == (3, b"")
    line = run.stderr.splitlines()[-1]
    assert line.startswith(f"error: cannot publish to me/mats (the Hub answers {status}: no token")
    assert "hf auth login" in line
    assert "hf_secret" not in run.stderr
    assert not online.files


@pytest.mark.parametrize(("status", "words"), [(422, "not with Bearer ***"), (412, "meanwhile")])
def test_what_a_server_says_is_told_without_the_token_in_it(
    publish: Callable[..., Run], online: Hub, weights: Path, status: int, words: str
) -> None:
    online.refuses = status
    run = publish(weights, "--to", "me/mats", "--yes")
    assert run.code == 3
    line = run.stderr.splitlines()[-1]
    assert line.startswith("error: cannot publish to me/mats (")
    assert words in line
    assert "hf_secret" not in run.stderr


def test_without_a_network_a_dry_run_is_done_and_an_upload_one_line(
    publish: Callable[..., Run], online: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    dry = publish(weights, "--to", "me/mats")
    assert dry.code == 0
    assert "warning: cannot look into me/mats (" in dry.stderr
    run = publish(weights, "--to", "me/mats", "--yes")
    assert (run.code, run.stdout, run.stderr.count("\n")) == (3, b"", 1)
    assert run.stderr.startswith("error: cannot look into me/mats (")
