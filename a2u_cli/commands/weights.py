"""The commands `a2u weights ...`: list, get, import, describe, check, publish, remove weights."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError, WeightsError, listed
from ..weights import registry
from ..weights.cache import SUFFIX, cached, sha256_of
from ..weights.download import HubFile
from ..weights.header import read_header
from .options import AsJson, complete_weights, refuse_idle
from .terminal import confirm, say, show, show_json, show_path

if TYPE_CHECKING:
    from ..weights.publishing import Kind, Made, Repository

app = typer.Typer(
    help="Weights: list, get, import, describe, check, publish.", no_args_is_help=True
)

Weights = Annotated[
    str,
    typer.Argument(
        envvar="A2U_WEIGHTS",
        help="A name, a file, or hf://owner/repo[@revision].",
        autocompletion=complete_weights,
    ),
]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the weights known by name and where each lies.

    Example: a2u weights list
    """
    rows = [{"name": name, **_place(name)} for name in registry.names()]
    if as_json:
        show_json(rows, indent=2)
        return
    for row in rows:
        place = row["path"] or f"not here; run: a2u weights get {row['name']}"
        show(f"{row['name']:<22} {row['licence']:<16} {place}")


@app.command()
def get(
    weights: Annotated[str, typer.Argument(help="A name or hf://...")] = registry.DEFAULT,
    *,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence shown, for scripts.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Download even if it is here.")] = False,
) -> None:
    """Download weights, check them, and print where they lie.

    Example: a2u weights get a2u-official --accept-license
    """
    entry = registry.REGISTRY.get(weights)
    here = registry.find(weights) is not None and not force
    if entry and entry.terms and not here:
        say(entry.terms)
        accept_license = accept_license or confirm("Do you accept this?")
    from ..weights.importing import fetch

    show_path(fetch(weights, accept_licence=accept_license, force=force))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .pth of the authors, or our .safetensors.")],
    *,
    name: Annotated[str | None, typer.Option(help="The name to keep it by [file's].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Convert a checkpoint, check it, and keep it under a name.

    Example: a2u weights import a2u_share.pth --name a2u-official
    """
    from ..weights.importing import import_file

    name = name or file.stem
    path = import_file(file, name=name, force=force)
    header = read_header(path)
    say(f"{name}: {header.variant} variant, licence {header.licence}")
    show_path(path)


@app.command()
def info(weights: Weights = registry.DEFAULT, *, as_json: AsJson = False) -> None:
    """Describe weights: licence, source, sizes, training, checksum.

    Example: a2u weights info a2u-open --json
    """
    facts = dataclasses.asdict(registry.describe(weights))
    if as_json:
        show_json(facts, indent=2)
        return
    for key, value in facts.items():
        if value not in (None, {}):
            show(f"{key + ':':<10} {value}")


@app.command()
def verify(weights: Weights = registry.DEFAULT, *, as_json: AsJson = False) -> None:
    """Load weights strictly and compare their checksum with the pinned one.

    Example: a2u weights verify a2u-open
    """
    from ..weights.format import load_model

    load_model(weights)
    facts = registry.describe(weights)
    if facts.pin == "differs":
        raise WeightsError(f"{facts.path} is not the known {weights}; get it anew with --force")
    if as_json:
        chosen = {"path": facts.path, "variant": facts.variant, "sha256": facts.sha256}
        show_json({"ok": True, **chosen, "pin": facts.pin}, indent=2)
    else:
        show(f"{weights}: good ({facts.variant}, sha256 {facts.sha256}, {facts.pin})")


@app.command()
def publish(
    weights: Weights = registry.DEFAULT,
    *,
    to: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="The repository on the Hub.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to make it. [default: OWNER--NAME]")
    ] = None,
    onnx: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="What a2u export onnx made of these weights; may be repeated."
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE",
            help="Publish this page of a2u export web, of these weights, as a Space instead.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Upload it; without, nothing is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model repository of weights in a folder, show it, and upload it if told so.

    Example: a2u weights publish mine.safetensors --to me/mine --onnx mine.onnx
    """
    from ..weights import publishing

    if to is not None:
        publishing.require_name(to)
    elif yes:
        raise A2UError("--yes uploads, and nothing says where to; add --to OWNER/NAME")
    if space:
        refuse_idle("a page has its graph", onnx=onnx or None)
    path, name = publishing.find(weights), to.split("/")[1] if to else _name(weights)
    out = folder or Path(to.replace("/", "--") if to else f"{name}-{'space' if space else 'hub'}")
    if space:
        made = _make_space(space, out, name=name, weights=weights, weights_sha256=sha256_of(path))
    else:
        more = _certified(onnx or [], sha256_of(path))
        made = publishing.make_folder(path, out, name=name, repository=to, more=more)
    there = _see(to, "space" if space else "model", made, needed=yes) if to else None
    address = _upload(made, there) if there and yes else None
    _show(made, address, as_json=as_json)
    if address:
        say(f"published: {address}" + ("" if space else f"; to get it: a2u weights get hf://{to}"))
        return
    words = ["--to", to or publishing.SOMEWHERE]
    words += ["--folder", str(folder)] if folder and to else []  # the card names where it goes
    words += [word for file in onnx or [] for word in ("--onnx", str(file))]
    words += ["--space", str(space)] if space else []
    command = shlex.join(["a2u", "weights", "publish", weights, *words, "--yes"])
    say(f"nothing was uploaded; to upload it: {command}")


@app.command("path")
def path_(weights: Weights = registry.DEFAULT) -> None:
    """Print the file of weights.

    Example: a2u weights path a2u-open
    """
    show_path(registry.locate(weights))


@app.command()
def rm(
    name: Annotated[
        str, typer.Argument(help="A name in the cache.", autocompletion=complete_weights)
    ],
) -> None:
    """Remove fetched or imported weights from the cache, and forget what they had to be.

    Example: a2u weights rm a2u-official
    """
    say(f"removed {registry.remove(name)}")


def _name(weights: str) -> str:
    """Call weights by their name, their file's, or their repository's."""
    if weights.startswith("hf://"):
        weights = HubFile.parse(weights).repository
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(weights).name.removesuffix(SUFFIX))


def _certified(files: list[Path], weights_sha256: str) -> dict[Path, str]:
    """Name exported files and their certificates, with what a card says of each.

    Raises A2UError where one was changed since, or was made of other weights.
    """
    if not files:
        return {}
    from ..export import certificate
    from ..export.onnx_files import read_facts

    said = {}
    for file in files:
        if file.suffix != ".onnx":
            raise A2UError(f"{file} is no .onnx file; make one with: a2u export onnx")
        told = certificate.read(file)
        certificate.require_same(told, file, read_facts(file))
        if told.weights_sha256 != weights_sha256:
            raise certificate.ParityError(
                f"{file} was made of other weights (sha256 {told.weights_sha256}, expected "
                f"{weights_sha256}); export these: a2u export onnx"
            )
        if not told.largest <= told.tolerance:
            raise certificate.ParityError(
                f"{file} differs from torch by {told.largest:.2g}, expected at most "
                f"{told.tolerance:g}; export it again"
            )
        said[file] = (
            f"the network for onnxruntime at every size, {told.dtype}, opset {told.opset}; alpha "
            f"is at most {told.largest:.1e} from torch's"
        )
        said[certificate.place(file)] = f"its certificate, of {told.runtime}"
    return said


def _make_space(page: Path, out: Path, *, name: str, weights: str, weights_sha256: str) -> "Made":
    """Make a Space of a page, whose network must be of these weights.

    Raises A2UError where the folder is no page, ParityError where its graph is another.
    """
    from ..export import certificate
    from ..export.onnx_files import read_facts
    from ..export.web import GRAPH, read_page
    from ..weights.publishing import make_space

    told = read_page(page)
    certificate.require_same(certificate.read(page / GRAPH), page / GRAPH, read_facts(page / GRAPH))
    if told["weights_sha256"] != weights_sha256:
        raise certificate.ParityError(
            f"{page} has a network of other weights (sha256 {told['weights_sha256']}, expected "
            f"{weights_sha256}); make it of these: a2u export web"
        )
    models = [HubFile.parse(weights).repository] if weights.startswith("hf://") else []
    return make_space(page, out, title=name, licence=told["licence"], models=models)


def _show(made: "Made", address: str | None, *, as_json: bool) -> None:
    """Print a folder's files, and where it lies."""
    if made.unlinked:
        say(f"the card names files that do not come along: {listed(made.unlinked)}")
    if as_json:
        show_json({**dataclasses.asdict(made), "folder": str(made.folder), "address": address})
        return
    for part in made.parts:
        show(f"{part.sha256}  {part.bytes:>10}  {part.name}")
    show_path(made.folder)


def _see(to: str, kind: "Kind", made: "Made", *, needed: bool) -> "Repository | None":
    """Tell what a repository holds already; in a dry run, that it cannot be seen is told too."""
    from ..weights.publishing import look

    try:
        there = look(to, kind)
    except WeightsError as error:
        if needed:
            raise
        say(f"warning: {error}")
        return None
    if there.commit is None:
        say(f"{to} is not on the Hub yet, or not to be seen without a token; it will be public")
        return there
    ours = {part.name for part in made.parts}
    if replaced := [name for name in there.files if name in ours]:
        say(f"{to} is there; to be replaced where they differ: {listed(replaced)}")
    if others := [name for name in there.files if name not in ours]:
        say(f"{to} holds other files, which stay: {listed(others)}")
    return there


def _upload(made: "Made", there: "Repository") -> str:
    """Upload a folder; a bar of the Hub's library would stay on the line of an error."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, and unmarked
        disable_progress_bars,
    )

    from ..weights.publishing import upload

    disable_progress_bars()
    size = sum(part.bytes for part in made.parts)
    say(f"uploading {len(made.parts)} files, {size / 1e6:.1f} MB")
    return upload(made, there)


def _place(name: str) -> dict[str, str | None]:
    """Say a name's licence and file, also where that file is damaged."""
    path = registry.find(name)
    if name in registry.REGISTRY:
        licence = registry.REGISTRY[name].licence
    else:
        try:
            licence = read_header(cached(name)).licence
        except WeightsError:
            licence = "damaged"
    return {"licence": licence, "path": str(path) if path else None}
