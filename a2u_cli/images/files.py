"""Files as they lie on disk: what may be read at all, and writing whole or not at all."""

import errno
import os
import re
import secrets
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import A2UError, ImageError
from .leases import leased
from .stores import in_store

if TYPE_CHECKING:
    from filelock import BaseFileLock

MOST_LINKS = 40  # that lead on to one another, as in Linux
LOCKS, GATE, GATE_SECONDS = ".*.jsonl.lock", ".a2u.lock", 60.0  # the gate: held while a run starts
NO_LOCKS = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS}  # SMB, NFS, FUSE


def words(error: BaseException) -> str:
    """Give what the system, or a decoder, said of a failure: one line."""
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split()) or type(error).__name__


@contextmanager
def replacing(path: Path, *, root: Path | None = None) -> Iterator[Path]:
    """Hand out a place that takes `path`'s name when all went well and the disk has it.

    Otherwise the old file stays and nothing else. A file that is replaced keeps its mode, and a
    link stays one: what it leads to is replaced. Missing folders are made. What a kill leaves of a
    run in the folder `root` is swept by the next run there, and by no other. Raises OSError.
    """
    target = _behind_links(path)
    target.parent.mkdir(parents=True, exist_ok=True)  # its own folder: so renaming is atomic
    temporary, pointer = _name_temporary(path, target, root)
    try:
        if pointer:
            pointer.symlink_to(temporary)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        if pointer:
            pointer.unlink(missing_ok=True)


def _name_temporary(path: Path, target: Path, root: Path | None) -> tuple[Path, Path | None]:
    """Name the file that becomes `target`, and a link to it where a sweep would not find it.

    A sweep goes through the folder `root` alone, and a link at the place `path` there, or one on
    the way to it, may lead out of that.
    """
    token = secrets.token_hex(8)
    if root is None:
        return target.with_name(f".a2u-{token}.part"), None
    inner = path.parent.relative_to(root)
    if target.parent.resolve() == root.resolve() / inner:
        return target.with_name(f".a2u-{len(inner.parts)}-{token}.part"), None
    return target.parent.resolve() / f".a2u-{token}.part", root / f".a2u-0-{token}.part"


def _behind_links(path: Path) -> Path:
    """Follow a file's links; raises OSError where they go round in a circle."""
    for _ in range(MOST_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def require_regular(path: Path, *, most: int | None = None) -> None:
    """Refuse what could be read for ever: pipes, devices, files of more than `most` bytes.

    Folders pass, since opening them fails in better words. Raises OSError.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, no file")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size / 1e9:.1f} GB, more than {most / 1e9:.1f} GB")


@contextmanager
def locked(
    folder: Path, name: str, *, beside: str | None = None, whole: bool = False, lock: bool = True
) -> Iterator[None]:
    """Keep a second run out of an output folder while one works there: the one rule for all.

    Side by side work only runs whose `name` matches `beside`, each with its own name. What a killed
    run left of files under way is removed where nobody else is at work: in a folder that is this
    run's as a `whole`, of single files too. Without `lock` nobody is kept out, nothing removed.

    A folder in a store has a lease for a lock: see `leases`.

    Raises A2UError where another run is at work or the disk knows no locks, ImageError where the
    folder cannot be written.
    """
    from filelock import Timeout

    if stored := in_store(folder):
        with leased(stored, name, beside=beside) if lock else nullcontext():
            yield
        return
    own = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if lock:
            own = _take_lock(folder, name, beside, whole=whole)
    except Timeout:
        raise A2UError(
            f"another run is at work in {folder}; wait for it, or choose another output folder"
        ) from None
    except (OSError, NotImplementedError, UserWarning) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            place = error.filename or folder  # a lock may be somebody's folder, or a link
            text = f"{place} cannot be written ({words(error)}); choose another output folder"
            raise ImageError(text) from error
        raise A2UError(
            f"{folder} is on a disk without file locks, so nothing keeps a second run out; "
            "see that there is none, and give --no-lock"
        ) from error
    try:
        yield
    finally:
        if own:
            own.release()


def _take_lock(folder: Path, name: str, beside: str | None, *, whole: bool) -> "BaseFileLock":
    """Lock a folder, and sweep it where nobody else is there; all who do so wait at one gate."""
    from filelock import FileLock, Timeout

    own = FileLock(folder / f".{name}.lock", timeout=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a second best where the disk knows no locks
        with FileLock(folder / GATE, timeout=GATE_SECONDS):
            busy = _busy(folder, name)
            if any(beside is None or not fnmatch(there, f".{beside}.lock") for there in busy):
                raise Timeout(str(folder))
            own.acquire()
            if not busy:
                _sweep(folder, whole=whole)
    return own


def sweep_behind(folder: Path, name: str, patience: float) -> None:
    """Remove what others left under way who are gone, or will be in so many seconds.

    The folder is locked, by this `name`. Where somebody is still at work, nothing is removed.
    """
    end = time.monotonic() + patience
    while _busy(folder, name):
        if time.monotonic() > end:
            return
        time.sleep(0.05)
    _sweep(folder, whole=False)


def _busy(folder: Path, name: str) -> list[str]:
    """List the locks of others that are at work in a folder."""
    own = f".{name}.lock"
    return [p.name for p in folder.glob(LOCKS) if p.name != own and not _is_free(p)]


def _is_free(path: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False


def _sweep(folder: Path, *, whole: bool) -> None:
    """Remove what a killed run of this folder left half-written, and nobody else's."""
    single = re.compile(r"\.a2u-[0-9a-f]{16}\.part")
    for directory, _, files in os.walk(folder):
        depth = len(Path(directory).relative_to(folder).parts)
        ours = re.compile(rf"\.a2u-{depth}-[0-9a-f]{{16}}\.part")
        for path in (Path(directory, file) for file in files):
            if ours.fullmatch(path.name) or (whole and single.fullmatch(path.name)):
                if path.is_symlink() and single.fullmatch(path.readlink().name):
                    path.readlink().unlink(missing_ok=True)
                path.unlink(missing_ok=True)
