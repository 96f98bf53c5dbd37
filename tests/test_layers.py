"""Data flows one way: a room imports only from the rooms below it. The order is here, as data."""

import ast
import shutil
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "a2u_cli"
ROOMS = (  # from the ground up; docs/architecture.md says what each is for
    *("errors", "lazy", "units"),
    "operators",
    "network",
    *("images", "pairing", "trimap", "foreground", "backgrounds"),
    "weights",
    "matting",
    "scoring",
    "jobs",
    *("rendering", "training"),
    *("serve", "export"),
    "commands",
    "cli",
    "__main__",
)
DOORS = ("__init__", "affinity", "inference", "metrics")  # hand on names from the rooms, no more
WITHOUT_TORCH = (
    *("errors", "lazy", "units", "images", "pairing", "trimap", "backgrounds", "scoring", "jobs"),
    *("rendering", "weights/registry", "weights/cache", "weights/header", "weights/download"),
    *("weights/card", "weights/publishing"),
    *("matting/windows", "matting/planning", "matting/finishing", "matting/box"),
    *("matting/motion", "matting/propagation", "matting/steadying"),
    *("matting/quality", "matting/refinement", "matting/runtime", "matting/onnx_matter"),
    *("training/data/folders", "training/data/planes"),
)
MOST_ENTRIES, MOST_LINES_OF_A_DOOR = 26, 40  # entries: a room each, doors, py.typed


def modules(package: Path, room: str = "") -> list[Path]:
    """List a package's modules, or those of one room: a folder, or a file of that name."""
    at = package / room
    return sorted(at.rglob("*.py")) if at.is_dir() else [at.with_suffix(".py")]


def imported(path: Path, package: Path) -> set[str]:
    """Name the rooms that a module's relative imports lead to, wherever in it they stand."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.relative_to(package).parts[: -node.level]
            named = [*base, *(node.module or "").split(".")]
            names = [name for name in named if name][:1] or [alias.name for alias in node.names]
            there = {p.stem for p in package.iterdir()}
            found |= {name if name in there else "__init__" for name in names}
    return found


def violations(package: Path) -> list[str]:
    """Name every import that goes up, and every module that stands in no room."""
    found = []
    for path in modules(package):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room in DOORS:
            continue
        if room not in ROOMS:
            found.append(f"{path.relative_to(package)} stands in no room")
            continue
        below = {*ROOMS[: ROOMS.index(room) + 1], "__init__"}
        found += [f"{room} imports {name}" for name in sorted(imported(path, package) - below)]
    return found


def test_no_import_goes_up() -> None:
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("operators/fused/extra.py", "from ...network.model import X", "operators imports network"),
        ("images/extra.py", "def f():\n    from .. import matting", "images imports matting"),
        ("trimap.py", "from .weights import registry", "trimap imports weights"),
        ("helpers.py", "", "helpers.py stands in no room"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str, found: str) -> None:
    package = tmp_path / "a2u_cli"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    with (package / file).open("a") as module:
        module.write(f"\n{line}\n")
    assert found in violations(package)


def test_doors_only_hand_on_names() -> None:
    for door in DOORS[1:]:
        text = (PACKAGE / f"{door}.py").read_text()
        kinds = {type(node) for node in ast.parse(text).body[1:]}
        assert kinds <= {ast.ImportFrom, ast.Assign}, door
        assert len(text.splitlines()) <= MOST_LINES_OF_A_DOOR, door


def test_the_house_stays_small() -> None:
    built = {"__pycache__"}
    entries = {path.name for path in PACKAGE.iterdir()} - built
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_what_does_not_need_torch_does_not_import_it(room: str) -> None:
    for path in modules(PACKAGE, room):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
        }
        assert "torch" not in names, path
