"""Lay out a page that mattes in its visitor's browser: one folder for any static host.

The network runs in onnxruntime-web, of which nothing is kept here: npm fetches it, at the version
and with the checksum below.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import __version__
from ..errors import A2UError
from .certificate import place

RUNTIME, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILES = (
    *("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    *("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs"),
    "ort-wasm-simd-threaded.asyncify.wasm",
)
PAGE = Path(__file__).with_name("web")
RUNTIME_LICENCE = "LICENSE-onnxruntime"  # npm's package has none
SHARED = Path(__file__).parents[1] / "serve" / "static"
SHARED_FILES = ("theme.css", "png.js", "icon.svg")  # of the page of `a2u serve`
GRAPH, FACTS = "model.onnx", "model.json"
# 3470 bytes a pixel beside 90 MB were measured in 4 GiB, the most that wasm can address; a part is
# left to threads and to what is not foreseen.
MOST_PIXELS = 1_150_000
PATIENCE = 600  # seconds for npm


def write_page(out: Path, graph: Path, facts: dict[str, str], name: str, runtime: Path) -> None:
    """Write the page into `out`, an empty folder, with a graph and its certificate.

    `facts` are the graph's own, `name` is what the page calls its network, `runtime` a folder as
    `fetch_runtime` leaves it.
    """
    pages = [file for file in PAGE.iterdir() if file.name != RUNTIME_LICENCE]
    for file in (*pages, *(SHARED / name for name in SHARED_FILES)):
        shutil.copy(file, out)
    (out / "LICENSE").write_text(_licence())
    shutil.copy(graph, out / GRAPH)
    shutil.copy(place(graph), place(out / GRAPH))
    (out / "runtime").mkdir()
    for part in RUNTIME_FILES:
        shutil.copy(runtime / part, out / "runtime")
    shutil.copy(PAGE / RUNTIME_LICENCE, out / "runtime" / "LICENSE")
    told = {
        "name": name,
        "licence": facts["licence"],
        "made_by": __version__,
        "weights_sha256": facts["weights_sha256"],
        "runtime": VERSION,
        "graph": GRAPH,
        "bytes": graph.stat().st_size,
        "most_pixels": MOST_PIXELS,
    }
    (out / FACTS).write_text(json.dumps(told, indent=2) + "\n")


def read_page(folder: Path) -> dict[str, Any]:
    """Give what a page that `write_page` wrote says of itself.

    Raises A2UError where a file is missing, or one lies there that no page has.
    """
    names = {*_page_names(), *(f"runtime/{name}" for name in (*RUNTIME_FILES, "LICENSE"))}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    for missing in sorted(names - found):
        raise A2UError(f"{folder} has no {missing}, expected a page: make one with a2u export web")
    for strange in sorted(found - names):
        raise A2UError(f"{folder} holds {strange}, which is none of a page's files; move it away")
    try:
        told = json.loads((folder / FACTS).read_text())
        return {name: told[name] for name in ("name", "licence", "weights_sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise A2UError(
            f"{folder / FACTS} is damaged; make the page anew: a2u export web"
        ) from error


def _page_names() -> set[str]:
    """Name the files beside the runtime."""
    ours = {file.name for file in PAGE.iterdir()} - {RUNTIME_LICENCE}
    return ours | {*SHARED_FILES, "LICENSE", GRAPH, place(Path(GRAPH)).name, FACTS}


def _licence() -> str:
    """Give the licence that the page is under: of a checkout, or of what is installed."""
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return (root / "LICENSE").read_text()
    text = distribution("a2u-cli").read_text("licenses/LICENSE")
    assert text is not None
    return text


def fetch_runtime(to: Path) -> None:
    """Have npm fetch onnxruntime-web, and keep the files that the page loads in a folder.

    Raises A2UError where npm is missing, fails, or brings another file than the pinned one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise A2UError(
            f"a2u export web needs npm, which fetches {RUNTIME}; install Node.js, or give the dist "
            f"folder of {RUNTIME} {VERSION} with --runtime-from"
        )
    with TemporaryDirectory() as folder:
        data = _pack(npm, Path(folder))
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != SHA512:
        raise A2UError(
            f"npm brought another file than {RUNTIME} {VERSION}: its sha512 is not the pinned one; "
            "look at which registry npm asks (npm config get registry)"
        )
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for name in RUNTIME_FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            (to / name).write_bytes(member.read())


def _pack(npm: str, folder: Path) -> bytes:
    """Fetch the package's archive; raises A2UError with what npm says."""
    command = [npm, "pack", f"{RUNTIME}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise A2UError(f"npm took more than {PATIENCE} s; see to the network") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = " ".join((done.stderr or done.stdout).split())[:300] or f"exit {done.returncode}"
        raise A2UError(
            f"npm could not fetch {RUNTIME} {VERSION} ({said}); see to the network, or give its "
            "dist folder with --runtime-from"
        )
    return archives[0].read_bytes()


def require_runtime(folder: Path) -> None:
    """Refuse a folder that does not hold the files of this version; raises A2UError."""
    missing = [name for name in RUNTIME_FILES if not (folder / name).is_file()]
    if missing:
        raise A2UError(
            f"{folder} has no {missing[0]}, expected the dist folder of {RUNTIME} {VERSION}"
        )
    for name in RUNTIME_FILES:
        if not name.startswith("ort."):
            continue
        head = (folder / name).read_text(errors="replace")[:200]
        told = re.search(r"v(\d+\.\d+\.\d+\S*)", head)
        found = told[1] if told else "an unknown version"
        if found != VERSION:
            raise A2UError(f"{folder} has {RUNTIME} {found}, expected {VERSION}; take that one")


def require_place(out: Path, *, force: bool) -> None:
    """Refuse a place for a page that is taken; with `force` an earlier page may be replaced.

    Raises A2UError.
    """
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise A2UError(f"{out} is a file, expected the name of a folder for the page")
    if not force:
        raise A2UError(f"{out} is not empty; choose another folder, or --force to replace a page")
    if not (out / FACTS).is_file() or not (out / GRAPH).is_file():
        raise A2UError(
            f"{out} is no page of a2u export web, and --force replaces nothing else; choose "
            "another folder"
        )


def put(made: Path, out: Path) -> None:
    """Give a page that is whole its name; one that stood there goes only then."""
    old = made.with_name("old")
    if out.exists():
        out.replace(old)
    try:
        made.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise
