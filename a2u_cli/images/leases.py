"""A lease in place of a lock, for a folder in a store: an object that its holder writes anew.

It is put only where none is, which the store decides. A store lets nothing go that its holder left
behind, so who finds one looks whether it changes; one that does not is a killed run's, and taken
over. A holder that was stopped for longer than that may find another at work when it goes on: then
both make the same pictures, and neither replaces what it did not find when it began.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch

from ..errors import A2UError, ImageError
from .stores import StorePath

log = logging.getLogger(__name__)

LEASES = ".*.jsonl.lock"
BEAT = 15.0  # seconds from one sign of life to the next
PATIENCE = 4 * BEAT  # without one the holder is dead
SETTLED = 2.0  # seconds in which two that take over have both written


@contextmanager
def leased(folder: StorePath, name: str, *, beside: str | None) -> Iterator[None]:
    """Keep a second run out of a folder in a store, but for those whose name matches `beside`.

    Raises A2UError where another run is at work, ImageError where the folder cannot be written.
    """
    lease = _Lease(folder / f".{name}.lock")
    try:
        lease.take()
        try:
            now = folder.list_now()
            for path in (folder / name for name in _others(now, lease.path.name, beside)):
                if _is_held(path):
                    raise _busy(folder)
                path.unlink(missing_ok=True)
            known = {path.name: path.find() for path in folder.iterdir()}
            if any(known.get(name) != found for name, found in now.items() if not _is_lease(name)):
                folder.list_anew()  # a run has ended since it was listed
        except BaseException:
            lease.release()
            raise
    except OSError as error:
        raise ImageError(
            f"{folder} cannot be written ({error.strerror}); choose another output folder"
        ) from error
    try:
        yield
    finally:
        lease.release()


class _Lease:
    """A lease that is renewed while it is held."""

    def __init__(self, path: StorePath) -> None:
        self.path, self.token = path, secrets.token_hex(8)
        self._beats, self._ended = 0, threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def take(self) -> None:
        """Take it, or over; raises A2UError where it is held, OSError where it cannot be put."""
        try:
            self.path.write_bytes(self._text(), new=True)
        except FileExistsError:
            if _read(self.path).get("token") != self.token:  # else the answer was lost
                self._take_over()
        self._renewing.start()

    def release(self) -> None:
        """Let it go; what cannot be removed is taken over by the next run."""
        self._ended.set()
        self._renewing.join()
        try:
            if _read(self.path).get("token") == self.token:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays behind (%s); the next run waits for it", self.path, error)

    def _take_over(self) -> None:
        if _is_held(self.path):
            raise _busy(self.path.parent)
        self.path.write_bytes(self._text())
        time.sleep(SETTLED)
        if _read(self.path).get("token") != self.token:
            raise _busy(self.path.parent)

    def _renew(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                if _read(self.path).get("token", self.token) != self.token:
                    log.warning("%s was taken over by another run; end one of them", self.path)
                    return
                self._beats += 1
                self.path.write_bytes(self._text())
            except OSError:
                continue  # there is time for more

    def _text(self) -> bytes:
        facts = {"token": self.token, "beats": self._beats, "process": os.getpid()}
        return json.dumps(facts | {"machine": _machine()}).encode()


def _is_lease(name: str) -> bool:
    return fnmatch(name, LEASES)


def _others(names: Iterable[str], own: str, beside: str | None) -> list[str]:
    """Name the leases among these of those who may not be at work beside a run."""
    leases = [name for name in names if _is_lease(name) and name != own]
    return [name for name in leases if beside is None or not fnmatch(name, f".{beside}.lock")]


def _is_held(path: StorePath) -> bool:
    """Tell whether a lease's holder is alive: not if it has ended here, else by what it writes."""
    found = _read(path)
    if not found or (found.get("machine") == _machine() and _is_ended(found.get("process"))):
        return False
    log.warning("%s: looking for %.0f seconds whether its run is alive", path, PATIENCE)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(BEAT / 5)
        if (now := _read(path)) != found:
            return bool(now)  # else its run has ended
    return False


def _is_ended(process: object) -> bool:
    """Tell whether a process of this machine is gone; but in POSIX asking would end it."""
    if os.name != "posix" or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    return f"{socket.gethostname()} {uuid.getnode():x}"


def _read(path: StorePath) -> dict[str, object]:
    """Read a lease; nothing where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return {"token": ""}  # no lease of ours: it stays as it is
    return found if isinstance(found, dict) else {"token": ""}


def _busy(folder: StorePath) -> A2UError:
    return A2UError(
        f"another run is at work in {folder}; wait for it, or choose another output folder"
    )
