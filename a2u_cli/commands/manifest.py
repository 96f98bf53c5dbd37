"""`a2u plan`: write the manifest of a folder; and what a run takes from a folder or a manifest."""

import csv
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError
from .options import AsJson, path, refuse_idle
from .progress import Rest, say_sources
from .terminal import show_exact, show_json

if TYPE_CHECKING:
    from ..jobs.manifest import Manifest
    from ..pairing import Pairs

Trimaps = Annotated[
    Path | None,
    typer.Option(help="Trimaps, by the pictures' names. [default: found by name]", parser=path),
]
Masks = Annotated[
    Path | None,
    typer.Option(help="Masks to make trimaps from, where there is none.", parser=path),
]
Out = Annotated[
    Path | None, typer.Option("--output", "-o", help="[default: DIR/a2u_output]", parser=path)
]


def plan(
    folder: Annotated[
        Path, typer.Argument(help="The pictures, also in folders below.", parser=path)
    ],
    *,
    output: Out = None,
    trimaps: Trimaps = None,
    masks: Masks = None,
    as_json: AsJson = False,
) -> None:
    """Print a manifest of a folder: which pictures a batch would matte, with which trimaps.

    Example: a2u plan photos/ --json
    """
    from ..images.listing import OUTPUT_FOLDER
    from ..jobs.manifest import plan_rows

    found = find(folder, trimaps, masks, output or folder / OUTPUT_FOLDER)
    text = io.StringIO()
    for number, row in enumerate(plan_rows(found.found)):
        if as_json:
            show_json(row)
            continue
        writer = csv.DictWriter(text, row, lineterminator="\n")
        if not number:
            writer.writeheader()
        writer.writerow(row)
        show_exact(text.getvalue().removesuffix("\n"))
        text.seek(0), text.truncate()
    rest = Rest(found.unpaired, found.left_out)
    say_sources(found.found)
    rest.say()
    if found.unpaired or found.left_out:
        raise typer.Exit(1)


def find(folder: Path, trimaps: Path | None, masks: Path | None, out: Path) -> "Pairs":
    """Find all pictures with their trimaps or masks, and those that have none."""
    from ..jobs.journal import find_own, find_painted, find_results
    from ..jobs.options import OUTPUTS
    from ..pairing import find_pairs

    results, own = partial(find_results, folder), find_own(out, OUTPUTS)
    painted = {} if trimaps else find_painted(out)
    return find_pairs(
        folder, trimaps=trimaps, masks=masks, results=results, own=own, painted=painted
    )


def take_all(folder: Path, trimaps: Path | None, masks: Path | None, out: Path) -> "Manifest":
    """Find a folder's pictures as a manifest names them."""
    from ..jobs.manifest import Manifest

    return Manifest.of_folder(find(folder, trimaps, masks, out))


def choose_source(folder: Path | None, manifest: Path | None, **places: Path | None) -> Path:
    """Give what says which pictures a run is of: their folder, or a manifest.

    Raises A2UError where there is none, or both are named, or `places` that a manifest names.
    """
    if manifest:
        refuse_idle("a manifest names them itself", **places)
    if folder and manifest:
        raise A2UError(f"{folder} and --manifest {manifest} were given; choose one")
    if not folder and not manifest:
        raise A2UError("no pictures were given, expected a folder, or --manifest; name one")
    return manifest or folder or Path()


def read(manifest: Path, save: tuple[str, ...]) -> "Manifest":
    """Read a manifest, for a run that saves these; raises A2UError where that cannot be."""
    from ..jobs.manifest import read_manifest

    found = read_manifest(manifest)
    if found.backgrounds and "composite" not in save:
        raise A2UError(
            f"the column background of {manifest} would do nothing: no composite is saved; "
            "--save composite"
        )
    return found
