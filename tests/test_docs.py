"""What the pages of documentation show is run, and what they name is there."""

import ast
import csv
import importlib
import re
import runpy
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import typer.main
from conftest import RunA2U, sane_network
from test_layers import ROOMS

from a2u_cli.cli import app
from a2u_cli.images import write_image
from a2u_cli.operators.comparison import OPERATORS
from a2u_cli.weights import registry, save_weights

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PAGES += [ROOT / "CHANGELOG.md", ROOT / "weights" / "README.md"]
SOURCES = ("a2u_cli", "benchmarks", "examples", "tests", "weights")
MOST_LINES = 120  # of the README
TREE = ("cat", "trip/dog")  # pictures of a folder, as the README draws it
# Commands that are parsed and not run, by what tells them, and why.
NOT_RUN = {
    r"\bhf://": "downloads",
    r"\bs3://": "needs a store; test_s3.py has a server of one",
    r"^a2u weights get\b": "downloads",
    r"^a2u weights publish\b.* --to\b": "asks the Hub; test_publishing.py asks one of its own",
    r"^a2u weights import\b": "takes the authors' file, which nobody may hand on",
    r"--on ray\b": "needs an extra; test_cluster.py runs it",
    r"^a2u export web\b": "downloads; test_web.py lays out pages",
    r"a2u-open\.onnx\b": "takes a minute to export; test_onnx.py runs one",
    r"^a2u render\b": "takes minutes; test_render.py renders small ones",
    r"^a2u serve\b": "goes on until it is stopped; test_serve.py sends what the page shows",
    r"^a2u train\b": "takes from minutes to days; test_examples.py runs a short one",
}
DOORS = (
    *("errors", "images", "trimap", "foreground", "metrics", "inference"),
    *("weights", "network", "operators", "affinity", "matting.finishing"),
)


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str = "") -> list[str]:
    """Give the fenced blocks of a language, in order."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [code for word, code in fences if word == language]


def commands(page: Path) -> Iterator[str]:
    """Give a page's commands, without their comments and joined where they go on."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            parts = [part.strip() for part in line.split("&&")] if line[:4] == "a2u " else []
            yield from (part for part in parts if part.startswith("a2u "))


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make small pictures by the names that pages call theirs."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    alpha = np.tile(np.clip(np.linspace(-1, 2, 64, dtype=np.float32), 0, 1), (48, 1))
    trimap = np.where(alpha == 0, 0, np.where(alpha == 1, 255, 128)).astype(np.uint8)
    photos = ("photo", "beach", *(f"{at}/{name}" for at in ("photos", "held-out") for name in TREE))
    for name in photos:
        write_image(folder / f"{name}.jpg", rng.random((48, 64, 3), np.float32))
        if "/" in name:
            write_image(folder / f"{name}_trimap.png", trimap)
    photo = 0.3 * rng.random((48, 64, 3), np.float32)
    photo[33:46, 43:60, 0] += 0.7  # what a box is drawn around
    write_image(folder / "photo.jpg", photo)
    for name in TREE:
        write_image(folder / "truth" / "alpha" / f"{name}.png", alpha)
        write_image(folder / "truth" / "trimap" / f"{name}.png", trimap)
    for number in range(1, 4):
        for place, plane in (
            *(("mattes/walk", alpha), ("clips/walk/alpha", alpha), ("clips/walk/trimap", trimap)),
        ):
            write_image(folder / place / f"{number:04}.png", plane)
        (folder / "flow" / "walk").mkdir(parents=True, exist_ok=True)
        np.save(folder / "flow" / "walk" / f"{number:04}.npy", np.zeros((48, 64, 2)))
    plate = 9 * rng.random((48, 64, 3), np.float32)
    for number in range(1001, 1004):
        write_image(folder / f"plate.{number}.exr", plate, light=True)
    write_image(folder / "keys" / "plate.1001.png", trimap)
    write_image(folder / "plate.exr", 9 * rng.random((48, 64, 3), np.float32), light=True)
    write_image(folder / "trimap.png", trimap)
    write_image(folder / "mask.png", alpha)
    for name, operator in (("mine", None), ("bilinear", "bilinear"), ("carafe", "carafe")):
        place = folder / "runs" / name / "weights.safetensors"
        save_weights(sane_network(operator=operator), place, licence="CC0", source="test")
    return folder


@pytest.fixture
def desk(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Path
) -> Path:
    """A folder with these pictures, for a page to work in; the weights are those that ship."""
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", (ROOT / "weights",))
    folder = tmp_path / "desk"
    shutil.copytree(pictures, folder)
    monkeypatch.chdir(folder)
    return folder


def reason_not_to_run(command: str) -> str | None:
    return next((why for sign, why in NOT_RUN.items() if re.search(sign, command)), None)


def split(command: str) -> tuple[list[str], dict[str, Path]]:
    """Give a command's words after `a2u`, and the files that < and > name."""
    words, files = shlex.split(re.split(r"\s#", command)[0])[1:], {}  # as in plate.####.exr
    for sign in {"<", ">"} & set(words):
        at = words.index(sign)
        files[sign] = Path(words[at + 1])
        del words[at : at + 2]
    return words, files


def parse(command: str) -> None:
    """Let Typer read a command's words: an option that is not there raises."""
    node: Any = typer.main.get_command(app)
    context, name, words = None, "a2u", split(command)[0]
    while True:
        context = node.make_context(name, words, parent=context)
        if not hasattr(node, "resolve_command"):
            return
        name, node, words = node.resolve_command(context, [*context._protected_args, *context.args])


def run(command: str, run_a2u: RunA2U) -> None:
    words, files = split(command)
    result = run_a2u(*words, stdin=files["<"].read_bytes() if "<" in files else b"")
    assert result.code == 0, f"{command}: {result.stderr}"
    if ">" in files:
        files[">"].write_bytes(result.stdout)


def set_apart(page: Path) -> Any:
    """Leave the page that exports graphs, a minute's work each, to the tests of exports."""
    return pytest.param(page, marks=[pytest.mark.exports] if page.stem == "export" else [])


@pytest.mark.parametrize(
    "page",
    [*map(set_apart, sorted({page for page, _ in COMMANDS} - {DOCS / "commands.md"}))],
    ids=by_name,
)
def test_the_commands_of_a_page_run_in_their_order(page: Path, desk: Path, run_a2u: RunA2U) -> None:
    for command in commands(page):
        parse(command)
        if not reason_not_to_run(command):
            run(command, run_a2u)


def test_scripts_for_a_shell_can_be_read_by_one() -> None:
    scripts = [code for page in PAGES for code in blocks(page, "bash")]
    assert scripts
    for code in scripts:
        subprocess.run(["bash", "-n"], input=code, text=True, check=True)


def test_a_command_with_an_unknown_option_would_be_noticed() -> None:
    for wrong in ("a2u matte x.png --trimp t.png", "a2u weights gett", "a2u train a b"):
        with pytest.raises(Exception, match=r"(?i)no such|unexpected"):
            parse(wrong)


@pytest.mark.parametrize("sign", NOT_RUN)
def test_no_exception_is_idle(sign: str) -> None:
    assert any(re.search(sign, command) for _, command in COMMANDS)


def test_the_files_that_the_readme_draws_are_there(desk: Path, run_a2u: RunA2U) -> None:
    drawn = set(re.findall(r"\bphotos/[\w./]+\.\w+", (ROOT / "README.md").read_text()))
    run("a2u batch photos/", run_a2u)
    there = {p.relative_to(desk).as_posix() for p in (desk / "photos").rglob("*.*") if p.is_file()}
    assert {path for path in there if "/." not in path} == drawn


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=by_name)
def test_the_python_of_a_page_runs(page: Path, desk: Path) -> None:
    names: dict[str, Any] = {}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), names)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_LINES


def test_the_example_of_the_operator_is_short_and_prints_its_shape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = blocks(DOCS / "operator.md", "python")
    assert len(code.splitlines()) <= 25
    exec(compile(code, "operator.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([1, 1, 75, 101])"


def test_the_page_names_every_operator() -> None:
    text = (DOCS / "operator.md").read_text()
    names = {name for name in OPERATORS if not name.startswith("a2u")}
    assert all(f"`{name}`" in text for name in names)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        place = page.parent / path if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def anchors(page: Path) -> set[str]:
    """Give a page's headings as the ends of addresses."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_files_and_targets_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    for named in re.findall(r"`([\w./-]+\.(?:py|c|csv))\b", text):
        roots = (ROOT, page.parent, ROOT / "a2u_cli", ROOT / "tests")
        places = [root / named for root in roots]
        loose = (p for source in SOURCES for p in (ROOT / source).rglob(Path(named).name))
        assert any(place.exists() for place in places) or ("/" not in named and any(loose)), named
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([\w-]+)", text, re.MULTILINE)) <= targets


def public_names(door: str) -> list[str]:
    """Give what a door hands out: its `__all__`, or the functions and classes that stand in it."""
    module = importlib.import_module(f"a2u_cli.{door}" if door else "a2u_cli")
    own = (n for n, value in vars(module).items() if _stands_in(value, module.__name__))
    return getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]


def _stands_in(value: object, module: str) -> bool:
    return callable(value) and getattr(value, "__module__", "") == module


@pytest.mark.parametrize("door", ["", *DOORS])
def test_the_page_for_python_names_all_that_is_public(door: str) -> None:
    heading = f"## `a2u_cli{'.' * bool(door)}{door}`\n"
    section = (DOCS / "python.md").read_text().partition(heading)[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)[`(]", section))
    assert set(public_names(door)) <= named
    assert len(public_names(door)) >= 5


def test_the_page_for_python_names_nothing_that_is_not_there() -> None:
    sections = re.split(r"^## `(a2u_cli\S*)`\n", (DOCS / "python.md").read_text(), flags=re.M)[1:]
    for door, section in zip(sections[::2], sections[1::2], strict=True):
        module = importlib.import_module(door)
        for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE):
            for name in re.findall(r"`(\w+)", row):
                assert hasattr(module, name), f"{door}.{name}"


def test_the_page_on_the_layout_has_every_room() -> None:
    text = (DOCS / "architecture.md").read_text()
    table = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert set(ROOMS) <= set(re.findall(r"`(\w+)`", table))


def test_three_ways_lead_through_the_code_in_four_hops() -> None:
    """Each stop is there, and its file names the next stop."""
    text = (DOCS / "architecture.md").read_text()
    ways = re.findall(r"(?:^\d\. .*\n(?:^ .*\n)*)+", text, re.MULTILINE)
    assert len(ways) == 3
    for way in ways:
        stops = re.findall(r"`([\w/]+\.py)::([\w.]+)`", way)
        assert len(stops) == len(re.findall(r"^\d\.", way, re.MULTILINE)) <= 5
        for file, name in stops:
            assert name in defined(ROOT / "a2u_cli" / file), f"{file}::{name}"
        for (file, _), (_, following) in pairwise(stops):
            last = following.split(".")[-1]
            assert re.search(rf"\b{last}\b", (ROOT / "a2u_cli" / file).read_text()), following


def defined(path: Path) -> set[str]:
    """Name the functions and classes of a file, and the methods as Class.method."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_the_lines_that_people_meet_are_lines_of_ours() -> None:
    texts = "\n".join(
        "".join(
            part.value if isinstance(part, ast.Constant) else "\N{HORIZONTAL ELLIPSIS}"
            for part in (node.values if isinstance(node, ast.JoinedStr) else [node])
        )
        for path in (ROOT / "a2u_cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )
    page = (DOCS / "troubleshooting.md").read_text()
    table = page.partition("## Lines people meet")[2].partition("\n## ")[0]
    lines = [
        q for row in re.findall(r"^\| (`.+?) \|", table, re.M) for q in re.findall("`(.+?)`", row)
    ]
    assert len(lines) > 10
    for line in lines:
        assert line in texts, line


def test_the_readme_s_scores_are_means_of_committed_rows() -> None:
    with (ROOT / "benchmarks" / "results" / "eval_dev.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["picture"] != "lemur"]
    text = (ROOT / "README.md").read_text()
    ours = ("a2u-open", "a2u-open, auto", "a2u-open, best")
    for method in (*ours, "closed-form", "knn"):
        sads = [float(row["SAD"]) for row in rows if row["method"] == method]
        assert len(sads) == 18
        assert f"{fmean(sads):.2f}" in text, method


def test_the_hours_of_a_million_pictures_follow_from_committed_rows() -> None:
    results = ROOT / "benchmarks" / "results"
    with (results / "quality.csv").open(newline="") as file:
        pictures = [r for r in csv.DictReader(file) if r["pictures"] == "1920x1088, 10% in compact"]
    seconds = {row["method"]: float(row["median (s)"]) for row in pictures}
    with (results / "small_pictures.csv").open(newline="") as file:
        small = [r for r in csv.DictReader(file) if (r["side"], r["way"]) == ("512", "auto")]
    seconds["small"] = float(small[-1]["median (s)"]) / int(small[-1]["pictures"])
    page = (DOCS / "scale.md").read_text()
    for method in ("small", "fast", "refined", "best"):
        hours = seconds[method] * 2 * 1_000_000 / 3600
        assert f"| {seconds[method]:.2f} | {hours:,.0f} |" in page, method


def test_every_number_s_command_is_on_one_page() -> None:
    page = (DOCS / "reproduce.md").read_text()
    for row in (ROOT / "benchmarks" / "results").glob("*.csv"):
        assert row.name in page, "no command is told for these rows"
    for script in (ROOT / "benchmarks").glob("*.py"):
        runs = 'if __name__ == "__main__"' in script.read_text() and script.stem != "__main__"
        assert not runs or f"benchmarks.{script.stem}" in page, "no figures are told of it"
    told = r"python (?:-m benchmarks\.\w+|tests/\w+\.py(?: [a-z]+)?)"
    for other in PAGES:
        for command in re.findall(told, re.sub(r"\s+", " ", other.read_text())):
            assert command.split()[-1] in page, f"{by_name(other)} has figures of {command}"


def test_the_page_of_the_commands_is_their_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # of the terminal at hand, which the page does not follow
    page = runpy.run_path(str(DOCS / "commands.py"))["page"]()
    written = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert written == page, "run: python docs/commands.py"
