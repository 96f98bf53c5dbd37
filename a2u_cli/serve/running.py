"""Run the app on a socket until a signal: then running work ends, and the process in order."""

import asyncio
import re
import socket
from collections.abc import Sequence

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import A2UError
from ..images.files import words
from .app import make_app
from .guard import Guard, known_hosts
from .uploads import PATIENCE
from .workshop import Workshop

GRACE = 2  # seconds that requests get to end when the server stops
WILD = ("0.0.0.0", "::", "")  # noqa: S104 every address: named to tell them apart
NAME = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")  # of a machine, or IPv6


def listen(host: str, port: int, names: Sequence[str] = ()) -> socket.socket:
    """Open a port, any free one for 0; raises A2UError where that cannot be.

    `names` are those that others know this server by: without one it listens at one address.
    """
    for name in names:
        if not NAME.fullmatch(name):
            raise A2UError(
                f"{name!r} is no machine's name, expected one such as studio.local, or an address"
            )
    if host in WILD and not names:
        raise A2UError(
            f"host {host!r} is every address of this machine, so no Host could be told from a "
            "false one; give the one that others use, such as 192.168.1.5, or what they call this "
            "machine as --name"
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        where = f"{host}:{port}"
        raise A2UError(
            f"{where} cannot be listened on ({words(error)}); give another --port, or none for a "
            "free one, and a --host of this machine"
        ) from error


class Patient(H11Protocol):
    """A connection that is closed where no whole head of a request comes in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._look_again(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _look_again(self, before: object) -> None:
        self._timer = self.loop.call_later(PATIENCE, self._look, before)

    def _look(self, before: object) -> None:
        """Close it where nothing was asked since the last look."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and before is self.cycle:
            self.transport.close()
        else:
            self._look_again(self.cycle)


class Server(uvicorn.Server):
    """A server that ends the work under way before it waits for its requests."""

    def __init__(
        self,
        shop: Workshop,
        opened: socket.socket,
        host: str,
        token: str,
        names: Sequence[str] = (),
    ) -> None:
        self.shop = shop
        port = opened.getsockname()[1]
        known = known_hosts(host, port, names)
        host = names[0] if host in WILD else host
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        app = Guard(make_app(shop), known, token)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",  # what clients do wrong is told to them
            access_log=False,
            server_header=False,
            loop="asyncio",
            http=Patient,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the work, then the requests."""
        self.shop.stop()
        await super().shutdown(sockets)
