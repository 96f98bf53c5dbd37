"""The commands `a2u export ...`: the network for other runtimes, each file with its certificate."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError
from ..weights import registry
from ..weights.header import read_header, require_released
from .options import AsJson, Force, Weights, refuse_idle
from .terminal import say, show, show_json, show_path

if TYPE_CHECKING:
    from ..export.certificate import Certificate

app = typer.Typer(help="Write the network for programs without torch.", no_args_is_help=True)

Out = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]


@app.command("onnx")
def onnx_(
    out: Out,
    *,
    weights: Weights = registry.DEFAULT,
    half: Annotated[
        bool, typer.Option("--half", help="Convolutions in float16: half the size, less exact.")
    ] = False,
    force: Force = False,
) -> None:
    """Write an ONNX graph that is right at every size, and how far it is from torch.

    Example: a2u export onnx a2u-open.onnx
    """
    from ..export.onnx_files import require_packages, write_onnx

    path = _require_place(out, ".onnx", force=force)
    require_packages()
    source = _locate(weights)
    say("exporting; this takes a minute or two")
    _write(partial(write_onnx, source, half=half), path, source)


@app.command()
def torchscript(out: Out, *, weights: Weights = registry.DEFAULT, force: Force = False) -> None:
    """Write a TorchScript file that is right at every size, and how far it is from torch.

    Example: a2u export torchscript a2u-open.pt
    """
    from ..export.torchscript import write_torchscript

    path = _require_place(out, ".pt", force=force)
    source = _locate(weights)
    _write(partial(write_torchscript, source), path, source)


@app.command()
def web(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    *,
    weights: Weights = registry.DEFAULT,
    graph: Annotated[
        Path | None,
        typer.Option(
            help="What a2u export onnx wrote, its .json beside it; else that is made anew.",
            show_default=False,
        ),
    ] = None,
    runtime_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The dist folder of onnxruntime-web, where there is no npm to fetch it.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write a page that mattes in its visitor's browser: a folder for any static host.

    Example: a2u export web demo --graph a2u-open.onnx
    """
    from ..export import web as page
    from ..export.onnx_files import require_packages

    source = context.get_parameter_source("weights")
    if graph is not None and source is not None and source.name == "COMMANDLINE":
        refuse_idle("--graph has its own", weights=weights)
    page.require_place(out, force=force)
    require_packages()
    if graph is not None:
        facts = _certified_facts(graph)
    else:
        _locate(weights)
    if runtime_from is not None:
        page.require_runtime(runtime_from)
    parent = out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix=".a2u-") as temporary:
        made, work = Path(temporary) / "page", Path(temporary) / "work"
        for folder in (made, work):
            folder.mkdir()
        if runtime_from is None:
            say(f"fetching {page.RUNTIME} {page.VERSION} by npm")
            page.fetch_runtime(work)
        name = Path(weights).stem if graph is None else graph.stem
        if graph is None:
            graph, facts = _export_for_page(work, weights)
        page.write_page(made, graph, facts, name, runtime_from or work)
        page.put(made, out.absolute())
    show_path(out)
    say(f"look at it: {shlex.join(['python', '-m', 'http.server', '--directory', str(out)])}")
    say("then open http://127.0.0.1:8000/")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="What a2u export wrote, its .json beside it.")],
    *,
    weights: Weights = registry.DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Check an exported file: that nobody changed it, and that it still gives what torch gives.

    Example: a2u export verify a2u-open.onnx
    """
    from dataclasses import asdict

    from ..export.certificate import read, require_same

    certificate = read(file)
    require_same(certificate, file, _facts(file))
    measured = _compare(file, registry.locate(weights), costs=False)
    if as_json:
        show_json(asdict(measured), indent=2)
        return
    show(str(measured))


def _locate(weights: str) -> Path:
    """Give the file of weights that have an export form; raises WeightsError for others."""
    path = registry.locate(weights)
    require_released(path, read_header(path), purpose="a2u export")
    return path


def _certified_facts(graph: Path) -> dict[str, str]:
    """Check a graph for a page against its certificate; give the graph's own facts."""
    from ..export.certificate import read, require_same
    from ..export.onnx_files import read_facts

    certificate, facts = read(graph), read_facts(graph)
    require_same(certificate, graph, facts)
    if certificate.dtype != "float32":
        raise A2UError(f"{graph} is of {certificate.dtype}, the page takes float32; export that")
    return facts


def _export_for_page(folder: Path, weights: str) -> tuple[Path, dict[str, str]]:
    """Export a graph with its certificate into a folder; give it, and its own facts."""
    from ..export import certificate
    from ..export.onnx_files import read_facts, write_onnx

    source, graph = _locate(weights), folder / "model.onnx"
    say("exporting; this takes a minute or two")
    write_onnx(source, graph)
    certificate.write(_compare(graph, source, costs=False), graph)
    return graph, read_facts(graph)


def _require_place(out: Path, suffix: str, *, force: bool) -> Path:
    """Refuse a place that cannot be written; raises ImageError, A2UError for another suffix."""
    from ..export.certificate import place
    from ..images import require_free

    if out.suffix != suffix:
        raise A2UError(f"{out} has another extension than {suffix}; name it so")
    require_free(out, [], force=force)
    require_free(place(out), [], force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _write(write: Callable[[Path], None], to: Path, source: Path) -> None:
    """Write a file, compare it with torch, and give it its name and certificate only then."""
    from ..export import certificate

    with TemporaryDirectory(dir=to.parent, prefix=".a2u-") as folder:
        made = Path(folder) / to.name
        write(made)
        compared = _compare(made, source, costs=True)
        certificate.write(compared, made)
        certificate.place(made).replace(certificate.place(to))
        made.replace(to)
    for line in str(compared).splitlines():
        say(line)
    show_path(to)
    show_path(certificate.place(to))


def _facts(file: Path) -> dict[str, str]:
    if file.suffix == ".onnx":
        from ..export.onnx_files import read_facts
    else:
        from ..export.torchscript import read_facts
    return read_facts(file)


def _compare(file: Path, source: Path, *, costs: bool) -> "Certificate":
    from ..export.certificate import Make, certify
    from ..matting.matter import Matter

    if file.suffix == ".onnx":
        import onnxruntime

        from ..matting.onnx_matter import OnnxMatter

        exported: Make = partial(OnnxMatter, file, quality="fast")
        runtime = f"onnxruntime {onnxruntime.__version__}"
    else:
        from ..export.torchscript import ScriptMatter

        exported, runtime = partial(ScriptMatter, file), "TorchScript"
    original = partial(Matter, source, quality="fast", device="cpu")
    return certify(
        file, _facts(file), exported=exported, original=original, runtime=runtime, costs=costs
    )
