"""The bodies of requests, taken with care: bounded in bytes, in pixels and in time.

An announced length that is too large is refused before a byte is read, a picture as soon as its
head tells that it has too many pixels, and a sender that is slower than any network.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from ..images.decoding import begins_as_picture
from ..images.exr import is_exr
from ..images.optional_formats import is_heic
from ..images.reading import pixel_limit, size_in_start
from ..jobs.folder import size_in_head
from .refusals import Refused
from .spool import Spool, Spooled

MOST_BYTES = 1 << 30  # of a picture
MOST_WORDS = 64 << 10  # of a request in JSON
AT_ONCE = 16  # uploads
PATIENCE, SLOWEST = 20.0, 32 << 10  # seconds for nothing, then bytes a second
START, HEADS = 30, (64 << 10, 1 << 20)  # bytes after which a picture's head is looked at


class Uploads:
    """Takes bodies into a spool."""

    def __init__(self, spool: Spool, *, most: int = MOST_BYTES, patience: float = PATIENCE) -> None:
        self.spool, self.most, self.patience = spool, most, patience
        self.under_way = 0

    async def picture(self, request: Request) -> Spooled:
        """Take a picture's file; raises Refused where it is none, too large or too slow."""
        return await self._take(request, self.most, [START, *HEADS])

    async def file(self, request: Request, most: int) -> Spooled:
        """Take another file; raises Refused where it is too large or too slow."""
        return await self._take(request, most, [])

    async def words(self, request: Request) -> bytes:
        """Take a small body whole; raises Refused."""
        return b"".join([piece async for piece in pieces(request, MOST_WORDS, self.patience)])

    async def _take(self, request: Request, most: int, heads: list[int]) -> Spooled:
        """Write a body to a file, and look at it each time that it has so many bytes."""
        with self._slot():
            file, size = self.spool.begin(), 0
            async for piece in pieces(request, most, self.patience):
                file.add(piece)
                size += len(piece)
                while heads and size >= heads[0]:
                    heads.pop(0)
                    require_picture(file.path)
            if heads:
                require_picture(file.path)
            return file

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self.under_way >= AT_ONCE:
            raise Refused(
                503, f"{AT_ONCE} uploads are under way already; send it again later", retry=2
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1


async def pieces(request: Request, most: int, patience: float) -> AsyncIterator[bytes]:
    """Give a body piece by piece; raises Refused where it is too large, too slow or broken off."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(int(announced), most)
    stream, size, begin = request.stream(), 0, time.monotonic()
    while True:
        left = begin + patience + size / SLOWEST - time.monotonic()
        try:
            piece = await asyncio.wait_for(anext(stream), max(0.0, left))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(
                408,
                f"{size} bytes came in {time.monotonic() - begin:.0f} s, expected at least "
                f"{SLOWEST // 1024} KB a second; send it again",
            ) from None
        except ClientDisconnect:
            raise Refused(400, f"the connection was closed after {size} bytes") from None
        size += len(piece)
        if size > most:
            raise _too_large(size, most)
        yield piece


def require_picture(path: Path) -> None:
    """Refuse what does not begin as a picture, or is too large by its head; raises Refused."""
    with path.open("rb") as file:
        start = file.read(START)
    if not (is_exr(start) or is_heic(start) or begins_as_picture(start)):
        raise Refused(
            415,
            "the body is not a picture that can be read, expected the bytes of a PNG, JPEG, TIFF, "
            "WebP, AVIF, BMP, GIF or OpenEXR file, as curl -T sends them; no form, no address",
        )
    size, most = size_in_start(start) or (size_in_head(path) or (0, 0))[::-1], pixel_limit()
    if size[0] * size[1] > most:
        raise Refused(
            413,
            f"the picture is {size[0]}x{size[1]}, expected at most {most / 1e6:.1f} million "
            "pixels; make it smaller, or start the server with a2u --max-pixels",
        )


def _too_large(size: int, most: int) -> Refused:
    return Refused(
        413,
        f"the body has {size / 1e6:.1f} MB or more, expected at most {most / 1e6:.1f} MB; "
        "make it smaller",
    )
