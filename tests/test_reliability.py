"""The promises of docs/reliability.md that have no better home, and the page itself."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2u_cli import Matter, read_image, read_trimap
from a2u_cli.images import quantise
from a2u_cli.matting.planning import PROCESS
from a2u_cli.matting.quality import Quality

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()
WHOLE, WINDOWS = 2_000_000_000, PROCESS + 16_000_000  # bytes: a crop is walked either way
BOUNDS = (WHOLE, PROCESS + 24_000_000, WINDOWS)
CUDA = pytest.param("cuda", marks=pytest.mark.requires_cuda)
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def crop() -> Pair:
    """A part of the example with fur in it, and its trimap."""
    part = slice(180, 276), slice(320, 464)
    image = read_image(ROOT / "examples" / "plush.png").image[part]
    return image, read_trimap(ROOT / "examples" / "plush_trimap.png")[part]


def mattes(
    crop: Pair, dtype: torch.dtype, *bounds: int, device: str = "cpu", quality: Quality = "fast"
) -> list[np.ndarray]:
    """Matte by the weights that ship, under one bound after the other."""
    facts: dict[str, Any] = {"device": device, "dtype": dtype, "quality": quality}
    alphas = [Matter(max_memory=bound, **facts).matte(*crop) for bound in bounds]
    if quality != "fast":  # settled by colour, less is soft
        return alphas
    soft = (alphas[0] > 0) & (alphas[0] < 1)
    assert soft[crop[1] == 128].mean() > 0.5  # rounding has something to show in
    return alphas


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("bound", "quality"), [(WHOLE, "fast"), (WINDOWS, "fast"), (WHOLE, "refined")]
)
def test_two_runs_under_one_bound_give_the_same_bytes(
    crop: Pair, dtype: torch.dtype, bound: int, quality: Quality, device: str
) -> None:
    torch.set_num_threads(2)
    first, second = mattes(crop, dtype, bound, bound, device=device, quality=quality)
    assert first.tobytes() == second.tobytes()


def test_another_bound_changes_at_most_one_level_in_few_pixels(crop: Pair) -> None:
    matters = [Matter(max_memory=bound) for bound in BOUNDS]
    assert [matter.plan(crop[1].shape).whole for matter in matters] == [True, False, False]
    whole, *others = (np.int32(quantise(a, 8)) for a in mattes(crop, torch.float32, *BOUNDS))
    for other in others:
        change = np.abs(other - whole)
        assert change.max() <= 1
        assert np.count_nonzero(change) <= 1  # of 13,824 pixels: a few of a hundred thousand


def weakened(source: str) -> list[str]:
    """Name what in a module's source would switch the verification of a connection off."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = {"_create_unverified_context", "CERT_NONE", "check_hostname"}
        if isinstance(node, ast.Attribute) and node.attr in names:
            found.append(node.attr)
        if isinstance(node, ast.keyword) and node.arg in ("verify", "ssl", "use_ssl"):
            found += [node.arg] if isinstance(node.value, ast.Constant) else []
    return found


def test_nothing_switches_verification_off() -> None:
    """No call in the package passes verify=False, and no SSL context is made by hand."""
    modules = list((ROOT / "a2u_cli").rglob("*.py"))
    assert len({path.parent for path in modules}) > 10  # the rooms below, too
    assert {path: found for path in modules if (found := weakened(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "get(url, verify=False)",
        "ssl._create_unverified_context()",
        "context.check_hostname = False",
    ],
)
def test_a_planted_switch_is_found(line: str) -> None:
    assert weakened(f"def fetch():\n    {line}\n")


NAMED = sorted(set(re.findall(r"`((?:field/)?test_\w+\.py)::(\w+)`", PAGE)))


def functions(source: str) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}


def idle(source: str, name: str) -> str:
    """Say why a test holds nothing: it is not there, never runs, or checks nothing; else ''."""
    there = functions(source)
    if name not in there:
        return "not there"
    if len(re.findall(rf"^def {name}\(", source, re.MULTILINE)) > 1:
        return "replaced by another of its name"
    marks = {ast.unparse(mark).partition("(")[0] for mark in there[name].decorator_list}
    if marks & {"pytest.mark.skip", "pytest.mark.xfail", "pytest.mark.requires_cuda"}:
        return "never runs"
    helpers = functions((ROOT / "tests" / "conftest.py").read_text()) | there
    return "" if checks(there[name], helpers) else "checks nothing"


def checks(test: ast.FunctionDef, helpers: dict[str, ast.FunctionDef], depth: int = 2) -> bool:
    """Tell whether a test, or a helper that it calls, asserts something or expects an error."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return not isinstance(node.test, ast.Constant)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if re.search(r"\braises$|\bassert_\w+$", called):
                return True
            if depth and called in helpers and checks(helpers[called], helpers, depth - 1):
                return True
    return False


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_promise_names_a_test_that_runs_and_checks(file: str, test: str) -> None:
    assert idle((ROOT / "tests" / file).read_text(), test) == ""


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def test_other(): assert f()", "not there"),
        ("def test_it(): pass", "checks nothing"),
        ("def test_it(): assert True", "checks nothing"),
        ("@pytest.mark.skip(reason='slow')\ndef test_it(): assert f()", "never runs"),
        ("def test_it(): assert f()\ndef test_it(): assert g()", "replaced by another of its name"),
        ("def test_it(): assert f()", ""),
        ("def test_it():\n    with pytest.raises(OSError): f()", ""),
        ("def holds(): assert f()\ndef test_it(): holds()", ""),
    ],
)
def test_an_idle_test_is_told(source: str, why: str) -> None:
    assert idle(source, "test_it") == why
