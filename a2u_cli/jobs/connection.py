"""Reach the Ray of a cluster, or begin one on this machine; in either case it says nothing."""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import A2UError
from ..images.files import words

HERE, MEMBER = "local", "auto"  # Ray's words: begun for this run, or that of this node
PORT = 10001  # of Ray's clients
PATIENCE = 5.0  # seconds for a machine to answer
STORE = 256 << 20  # bytes of Ray's object store: nothing large goes through it
SHORT = "/tmp"  # noqa: S108 - a folder of our own there: the names of sockets have 100 letters


def read_address(text: str) -> str:
    """Read where a run goes: ray, ray://auto or ray://HOST[:PORT]; gives Ray's own address.

    Raises A2UError for anything else.
    """
    parts = urlsplit(text)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:  # no number
        host = None
    if text != "ray" and (parts.scheme != "ray" or not host or parts.path):
        raise A2UError(f"--on {text!r} cannot be read; expected ray, ray://auto or ray://HOST:PORT")
    if text == "ray":
        return HERE
    if host == MEMBER:
        return MEMBER
    return text if parts.port else f"{text.rstrip(':')}:{PORT}"


def require_extra() -> None:
    """Refuse to begin where Ray is not installed; raises A2UError."""
    if any(find_spec(package) is None for package in ("ray", "pyarrow", "pandas")):
        raise A2UError("--on needs the packages of its extra; run: pip install 'a2u-cli[ray]'")


@contextmanager
def connected(address: str, cores: int) -> Iterator[None]:
    """Reach the Ray that runs at an address, or begin one here for work that takes so many cores.

    Raises A2UError where that cannot be.
    """
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ExitStack() as stack:
        more: dict[str, Any] = {}
        if cores:
            temporary = tempfile.TemporaryDirectory(
                prefix="a2u-",
                dir=SHORT if Path(SHORT).is_dir() else None,
                ignore_cleanup_errors=True,
            )
            more |= {"_temp_dir": stack.enter_context(temporary), "include_dashboard": False}
            more |= {"num_cpus": cores, "object_store_memory": STORE}
        stack.callback(ray.shutdown)
        try:
            if not cores and address != MEMBER:
                parts = urlsplit(address)
                socket.create_connection((parts.hostname, parts.port), PATIENCE).close()
            with _hushed():
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **more)
        except Exception as error:
            if cores:
                raise A2UError(f"Ray cannot begin on this machine: {words(error)}") from error
            raise A2UError(
                f"no Ray answers at {address} ({words(error)}); see that it runs there, in the "
                "versions of Ray and Python that are here, and that its token is, if it has one"
            ) from error
        finally:
            for number, handler in handlers.items():  # Ray has one of its own for the second
                signal.signal(number, handler)
        stack.enter_context(_muted())
        yield


@contextmanager
def _muted() -> Iterator[None]:
    """Keep Ray from telling on stdout of each worker that ends: `log_to_driver` does not."""
    from ray._private import worker

    name = "print_to_stdstream"
    speaks = getattr(worker, name, None)
    setattr(worker, name, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(worker, name, speaks)


@contextmanager
def _hushed() -> Iterator[None]:
    """Close stderr for as long as Ray's core says there which level of words it was told."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
