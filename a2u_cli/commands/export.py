"""The commands `a2u export ...`: the network for other runtimes, each file with its certificate."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError
from ..weights import registry
from .options import AsJson, Force, Weights
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
    source = registry.locate(weights)
    say("exporting; this takes a minute or two")
    _write(partial(write_onnx, source, half=half), path, source)


@app.command()
def torchscript(out: Out, *, weights: Weights = registry.DEFAULT, force: Force = False) -> None:
    """Write a TorchScript file that is right at every size, and how far it is from torch.

    Example: a2u export torchscript a2u-open.pt
    """
    from ..export.torchscript import write_torchscript

    path = _require_place(out, ".pt", force=force)
    source = registry.locate(weights)
    _write(partial(write_torchscript, source), path, source)


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
