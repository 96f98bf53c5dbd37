"""The commands `a2u weights ...`: list, get, import, describe, check, find and remove weights."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import WeightsError
from ..weights import registry
from ..weights.cache import cached
from ..weights.header import read_header
from .options import AsJson, complete_weights
from .terminal import confirm, say, show, show_json, show_path

app = typer.Typer(help="Weights: list, get, import, describe and check them.", no_args_is_help=True)

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
