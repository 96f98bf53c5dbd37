"""Options that several commands share, each stated once."""

from typing import Annotated

import typer

Weights = Annotated[
    str, typer.Option(envvar="A2U_WEIGHTS", help="A name, a file, or hf://owner/repo[@revision].")
]
Device = Annotated[
    str, typer.Option(envvar="A2U_DEVICE", help="auto, cpu, cuda, cuda:N or mps; never another.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse trimap values other than 0, 128 and 255.")
]
