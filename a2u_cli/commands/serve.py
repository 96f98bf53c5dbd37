"""`a2u serve`: paint a trimap in the browser and see the matte, or ask for mattes over HTTP."""

import re
import secrets
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import A2UError
from ..weights import registry
from .options import (
    Device,
    Dtype,
    MaxMemory,
    NoLock,
    Provenance,
    Quality,
    Weights,
    checking,
    load_matter,
)
from .progress import say_left_out
from .terminal import say, show

if TYPE_CHECKING:
    from ..matting.matter import Matter

TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")  # what needs no escape in an address


def _require_token(token: str) -> None:
    if not TOKEN.fullmatch(token):
        raise A2UError(
            f"the token has {len(token)} characters, expected 16 or more of A-Z, a-z, 0-9, '.', "
            "'_', '~' and '-'; leave --token out for a random one"
        )


def _require_extra() -> None:
    if any(find_spec(package) is None for package in ("starlette", "uvicorn")):
        raise A2UError(
            "a2u serve needs the packages of its extra; run: pip install 'a2u-cli[serve]'"
        )


def serve(
    place: Annotated[
        Path, typer.Argument(metavar="PHOTO|FOLDER", help="The picture, or a folder of them.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: DIR/a2u_output]")
    ] = None,
    save: Annotated[
        str, typer.Option(help="What is saved, of alpha,cutout,foreground,composite,trimap.")
    ] = "alpha",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port. [default: any free one]")
    ] = 0,
    host: Annotated[
        str, typer.Option(help="An address of this machine, for others in a private network.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(help="What others call this machine, as studio.local; once for each name."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="A2U_TOKEN",
            help="What the API wants to see. [default: a random one]",
            callback=checking(_require_token),
        ),
    ] = None,
    provenance: Provenance = True,
    no_lock: NoLock = False,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, and open no browser.")
    ] = False,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_memory: MaxMemory = None,
    quality: Quality = None,
) -> None:
    """Paint trimaps in the browser and see the mattes; the same address is an API for scripts.

    Example: a2u serve photo.jpg
    """
    _require_extra()
    from ..serve.gallery import open_gallery
    from ..serve.opening import open_page
    from ..serve.running import Server, listen
    from ..serve.saving import read_kinds
    from ..serve.workshop import open_workshop

    kinds = read_kinds([kind.strip() for kind in save.split(",")])
    gallery = open_gallery(place, output)
    say_left_out(gallery.left_out)

    more: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "quality": quality,
        "max_memory": max_memory,
    }

    @cache
    def load(depth: int) -> "Matter":
        return load_matter(weights, depth=depth, **more)

    names = name or []
    with listen(host, port, names) as opened:
        say(f"device: {load(8)}")
        kept = {"lock": not no_lock, "provenance": provenance}
        shop = open_workshop(gallery, load, weights=weights, save=kinds, **kept)
        with closing(shop):
            token = token or secrets.token_urlsafe()
            server = Server(shop, opened, host, token, names)
            say(f"pictures: {len(gallery.jobs)}, saved into {gallery.out} when you say so")
            say(f"strokes are kept in {shop.drafts.folder} at once; Ctrl-C ends the server")
            address = f"{server.address}#token={token}"
            show(address)
            if not no_open:
                open_page(address, shop.spool.path, say)
            server.run(sockets=[opened])
