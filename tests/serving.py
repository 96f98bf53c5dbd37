"""A server on a thread, with a matter that is quick, and a client that sends what it is told."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from conftest import sane_network
from PIL import Image

from a2u_cli.matting.inference import matte
from a2u_cli.network.folding import fold_norms
from a2u_cli.serve.gallery import open_gallery
from a2u_cli.serve.running import Server, listen
from a2u_cli.serve.workshop import Workshop, open_workshop

TOKEN = "a-token-for-tests-only"
SIDE = 24


@cache
def folded_network() -> torch.nn.Module:
    with torch.inference_mode():
        return fold_norms(sane_network(), torch.float32)


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The words of a refusal: one line."""
        text = self.json["error"]
        assert isinstance(text, str) and text and "\n" not in text
        return text


@dataclass
class FakeMatter:
    """Mattes at once, or when its gate opens; keeps the order of what it matted."""

    sha256: str = "0" * 64
    dtype_name: str = "float32"
    dtype: torch.dtype = torch.float32
    quality: str = "fast"
    licence: str = "CC0"
    max_memory: int | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    order: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def __str__(self) -> str:
        return "a fake"

    @property
    def network(self) -> torch.nn.Module:
        """A network for drafts, which are passes of their own."""
        return folded_network()

    def pass_once(
        self,
        image: np.ndarray,
        trimap: np.ndarray,
        watch: Callable[[str, float], object] | None = None,
    ) -> np.ndarray:
        """Draft by a real network."""
        return matte(self.network, image, trimap, dtype=self.dtype, watch=watch)

    def matte(
        self,
        image: np.ndarray,
        trimap: np.ndarray,
        watch: Callable[[str, float], object] | None = None,
    ) -> np.ndarray:
        self.order.append(float(image[0, 0, 0]))
        self.began.set()
        while not self.gate.wait(0.01):
            if watch:
                watch("pass 1 of 1", 0.5)
        return np.where(trimap == 128, np.float32(0.5), (trimap > 128).astype(np.float32))


@dataclass
class Serving:
    """A server that runs."""

    port: int
    shop: Workshop
    matter: FakeMatter

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        *,
        token: str | None = TOKEN,
    ) -> Answer:
        """Send one request on a connection of its own, and read the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            data = json.dumps(body).encode() if isinstance(body, dict) else body
            known = {} if token is None else {"X-A2U-Token": token}
            connection.request(method, path, data, known | (headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def send(self, *lines: str, body: bytes = b"") -> socket.socket:
        """Send lines of a head as they stand, and leave the connection open."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        opened.sendall("\r\n".join((*lines, "", "")).encode("latin-1") + body)
        return opened

    def head(self, method: str, path: str, **headers: str) -> list[str]:
        """Write the head of an honest request."""
        more = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        host = f"Host: 127.0.0.1:{self.port}"
        return [f"{method} {path} HTTP/1.1", host, f"X-A2U-Token: {TOKEN}", *more]

    def put_job(self, name: str, shade: int = 100) -> None:
        """Begin a job with a picture and a trimap."""
        assert self.ask("PUT", f"/api/jobs/{name}/image", picture(shade)).status == 201
        assert self.ask("PUT", f"/api/jobs/{name}/trimap", trimap()).status == 200


def read(opened: socket.socket) -> Answer:
    """Read the answer on a connection, to its end, and close it."""
    with opened:
        response = http.client.HTTPResponse(opened)
        response.begin()
        return Answer(response.status, response.msg, response.read())


def png(levels: np.ndarray) -> bytes:
    data = BytesIO()
    Image.fromarray(levels).save(data, "PNG")
    return data.getvalue()


def levels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)))


def picture(shade: int = 100, side: int = SIDE) -> bytes:
    """A picture that is told from others by its first pixel."""
    levels = np.full((side, side, 3), 90, np.uint8)
    levels[:, side // 2 :] = 200
    levels[0, 0] = shade
    return png(levels)


def trimap(side: int = SIDE, edge: int | None = None) -> bytes:
    """Background, a band of unknown that begins at `edge`, foreground."""
    edge = side // 3 if edge is None else edge
    levels = np.zeros((side, side), np.uint8)
    levels[:, edge:], levels[:, edge + side // 3 :] = 128, 255
    return png(levels)


@contextmanager
def serving(
    folder: Path,
    matter: Any = None,
    *,
    out: Path | None = None,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
) -> Iterator[Serving]:
    """Serve a folder, or a picture, on a free port."""
    matter = matter or FakeMatter()
    shop = open_workshop(open_gallery(folder, out), lambda _: matter, weights="fake")
    opened = listen(host, 0, names)
    server = Server(shop, opened, host, TOKEN, names)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        yield Serving(opened.getsockname()[1], shop, matter)
    finally:
        server.should_exit = True
        thread.join(20)
        shop.close()
        assert not thread.is_alive()
