"""Data flows one way: a module imports only from the rows above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "a2u_cli"
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "_affinity_triton": set(),
    "native": {"_affinity_triton"},
    "textures": set(),
    "metrics": {"errors"},
    "foreground": {"errors"},
    "codecs": {"errors", "foreground"},
    "encoders": set(),
    "images": {"codecs", "encoders", "errors", "files"},
    "trimap": {"errors"},
    "backgrounds": {"errors", "images"},
    "pairing": {"errors", "images"},
    "evaluation": {"errors", "images", "metrics", "pairing"},
    "report": {"errors", "evaluation", "files", "images", "metrics"},
    "batch": {"backgrounds", "errors", "foreground", "images", "pairing", "trimap"},
    "strokes": {"textures"},
    "synthesis": {"strokes", "textures"},
    "registry": {"errors", "files"},
    "affinity": {"native"},
    "convolution": {"native"},
    "network": {"affinity", "convolution"},
    "operators": {"affinity", "network"},
    "explain": {"affinity", "network", "streaming", "trimap"},
    "weights": {"errors", "files", "registry", "network"},
    "tiling": set(),
    "planning": {"errors", "tiling"},
    "moments": {"affinity", "tiling"},
    "streaming": {"affinity", "moments", "network", "planning", "tiling"},
    "refine": {"tiling", "trimap"},
    "inference": {"errors", "network", "planning", "refine", "streaming", "trimap"},
    "dataset": {"errors", "foreground", "images", "pairing", "trimap", "synthesis"},
    "distributed": set(),
    "muon": set(),
    "training": {
        *("dataset", "distributed", "errors", "images", "metrics", "muon", "network", "registry"),
        *("trimap", "weights"),
    },
    "dice": set(),
    "bands": {"dataset", "dice"},
    "camera": {"dice"},
    "pack": {"errors", "images", "dataset", "synthesis"},
    "pool": {"pack", "dice", "bands", "camera", "dataset"},
    "doctor": {"__init__", "convolution", "errors", "native", "registry", "inference"},
    "cli_weights": {"errors", "registry", "weights"},
    "cli_folder": {"batch"},
    "cli_batch": {
        *("batch", "cli_folder", "errors", "files", "images", "inference", "network", "pairing"),
        *("planning", "registry", "weights"),
    },
    "cli_composite": {"backgrounds", "cli_folder", "errors", "foreground", "images", "pairing"},
    "cli_eval": {"errors", "evaluation", "images", "report"},
    "cli_trimap": {"cli_folder", "errors", "images", "pairing", "trimap"},
    "cli": None,  # everything
    "__main__": {"cli"},
    "__init__": {"errors", "foreground", "inference", "metrics", "weights"},
}
LEAVES_WITHOUT_TORCH = (
    *(
        "codecs",
        "encoders",
        "errors",
        "images",
        "trimap",
        "metrics",
        "registry",
        "synthesis",
        "dataset",
    ),
    *("tiling", "planning", "pack", "backgrounds", "pairing", "evaluation", "report", "batch"),
)


def relative_imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.module:
                found.add(node.module)
            else:
                names = {alias.name for alias in node.names}
                found |= {
                    name if (PACKAGE / f"{name}.py").exists() else "__init__" for name in names
                }
    return found


def test_every_module_has_its_place() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("module", ALLOWED)
def test_a_module_imports_only_from_the_rows_above(module: str) -> None:
    allowed = ALLOWED[module]
    if allowed is not None:
        assert relative_imports(module) <= allowed


@pytest.mark.parametrize("module", LEAVES_WITHOUT_TORCH)
def test_what_does_not_need_torch_does_not_import_it(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert "torch" not in names
