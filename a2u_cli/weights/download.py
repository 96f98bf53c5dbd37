"""Fetch weights from the Hugging Face Hub and Google Drive, and check what came."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Self, TypeVar

from ..errors import WeightsError
from .cache import MAX_FILE, SUFFIX, cache_folder, reason, sha256_of, writing

TRIES, PAUSE = 5, 0.2  # requests for one file; seconds before the second, more before the others
# A server that draws an answer out byte by byte never runs into a limit for one read.
PATIENCE = 60.0  # seconds for the head of an answer, and between two looks at the pace
SLOWEST = 1000  # bytes a second: a seventh of what a telephone's modem brought
T = TypeVar("T")


@dataclass(frozen=True)
class HubFile:
    """One file in a model repository on the Hugging Face Hub."""

    repository: str
    revision: str = "main"
    file: str = "model.safetensors"

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read `hf://owner/repo[@revision][/file]`.

        Raises WeightsError for any other form, a `..`, or a file that is not safetensors.
        """
        part = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
        form = rf"hf://({part}/{part})(?:@({part}))?(?:/({part}(?:/{part})*\{SUFFIX}))?"
        match = re.fullmatch(form, address)
        if not match or ".." in address:
            raise WeightsError(
                f"{address!r} is no address on the Hub; expected "
                f"hf://owner/repo[@revision][/file], the file ending in {SUFFIX}"
            )
        return cls(match[1], match[2] or cls.revision, match[3] or cls.file)


@dataclass(frozen=True)
class _Promise:
    """What the Hub says of a file before it sends it: the sha256 where it knows one."""

    etag: str
    sha256: str | None
    commit: str
    size: int


def download(
    file: HubFile,
    *,
    force: bool = False,
    token: str | bool | None = None,
    cache: Path | None = None,
    offline: bool = False,
) -> Path:
    """Download a file from the Hub into the Hub's own cache and give its path.

    Offline mode, mirrors, tokens and that cache follow huggingface_hub's environment variables;
    without a server the cached file serves. What the server says is checked before it names a file
    here, and what the Hub stores by sha256 before it takes its name. Raises WeightsError with the
    address, the folder and the command that finish the job by hand.
    """
    import huggingface_hub as hub  # reads HF_* when imported, so as late as can be
    from huggingface_hub.file_download import repo_folder_name

    try:
        address = hub.hf_hub_url(file.repository, file.file, revision=file.revision)
    except ValueError as error:  # the Hub's own rules for names, such as their length
        raise WeightsError(f"hf://{file.repository} is no address on the Hub ({error})") from error
    name = file.repository.split("/")[-1]
    root = Path(cache or hub.constants.HF_HUB_CACHE)
    here = hub.try_to_load_from_cache(
        file.repository, file.file, cache_dir=root, revision=file.revision
    )
    try:
        if offline:
            raise ConnectionError("only what is here was asked for")
        facts = within(PATIENCE, lambda: hub.get_hf_file_metadata(address, token=token))
    except Exception as error:  # the Hub's HTTP library, and so its errors, differ by version
        if isinstance(here, str):
            return Path(here)
        raise no_download(name, address, error) from error
    promise = _check_promise(facts.etag, facts.commit_hash, facts.size, address)
    folder = root / repo_folder_name(repo_id=file.repository, repo_type="model")
    path = folder / "snapshots" / promise.commit / file.file
    if path.is_file() and not force:
        _check_sum(path, promise, str(path))
        return path
    with _goes_on(path, promise) as part:
        _receive(address, promise.size, part, name=name, token=token)
        _check_sum(Path(part.name), promise, address)
    if file.revision != promise.commit:
        with writing(folder / "refs" / file.revision) as temporary:
            temporary.write_text(promise.commit)
    return path


def _check_promise(
    etag: str | None, commit: str | None, size: int | None, address: str
) -> _Promise:
    """Refuse what no honest Hub says: each of these may become a name, or fill a disk."""
    expected = {
        "an ETag": (etag, re.fullmatch(r"[0-9A-Za-z_-]{1,128}", etag or "")),
        "a commit": (commit, re.fullmatch("[0-9a-f]{40}", commit or "")),
        f"a size of at most {MAX_FILE}": (size, size is not None and 0 < size <= MAX_FILE),
    }
    for what, (found, fits) in expected.items():
        if not fits:
            raise WeightsError(
                f"{address} cannot be trusted: it gives {str(found)[:200]!r} as {what.split()[1]}, "
                f"expected {what}; get the file from elsewhere"
            )
    sha256 = etag if etag and re.fullmatch("[0-9a-f]{64}", etag) else None
    return _Promise(str(etag), sha256, str(commit), int(size or 0))


def _check_sum(path: Path, promise: _Promise, origin: str) -> None:
    if promise.sha256 and sha256_of(path) != promise.sha256:
        raise WeightsError(
            f"{origin} differs from what the Hub promised (sha256 {promise.sha256}); "
            f"delete it, or run a2u weights get with --force"
        )


@contextmanager
def _goes_on(path: Path, promise: _Promise) -> Iterator[BinaryIO]:
    """Open what takes `path`'s name when it is whole, at the end of what came before.

    What an interrupt or a kill leaves of it is the next download's, of the same bytes; what cannot
    be gone on with is removed. Raises WeightsError where it cannot be written.
    """
    place = path.with_name(f".{promise.etag[:64]}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            with place.open("ab") as part:
                try:
                    yield part
                    os.fsync(part.fileno())
                except BaseException:
                    if not 0 < part.tell() < promise.size:
                        place.unlink(missing_ok=True)
                    raise
            place.replace(path)
    except OSError as error:
        raise WeightsError(f"cannot write {path} ({reason(error)})") from error


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no other process writes a file; not on Windows, where a sum must tell."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    while True:
        with place.open("ab") as held:
            with suppress(OSError):  # a disk without locks
                fcntl.flock(held, fcntl.LOCK_EX)
            there = place.exists() and os.path.samestat(os.fstat(held.fileno()), place.stat())
            if there:  # else another was done with it meanwhile
                yield
                return


def _receive(
    address: str, size: int, file: BinaryIO, *, name: str, token: str | bool | None
) -> None:
    """Receive a file in at most TRIES requests, each going on where the last one broke off.

    The library's own way asks again as long as a single byte comes.
    """
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, and unmarked
        build_hf_headers,
        tqdm,
    )

    headers = {**build_hf_headers(token=token), "Accept-Encoding": "identity"}
    cause: Exception | None = None
    if file.tell() > size:
        _empty(file)
    if file.tell() == size:
        return
    with tqdm(  # type: ignore[no-untyped-call]
        total=size, initial=file.tell(), unit="B", unit_scale=True, desc=name, disable=None
    ) as bar:
        for attempt in range(TRIES):
            time.sleep(PAUSE * attempt)
            headers["Range"] = f"bytes={file.tell()}-"
            try:
                _receive_more(file, address, headers, size, bar.update)
                cause = None
            except _Refusal as error:
                raise no_download(name, address, error) from error
            except Exception as error:  # of the connection: its kind differs by version
                cause = error
            file.flush()
            if file.tell() == size:
                return
        came = f"{file.tell()} of {size} bytes came in {TRIES} requests"
    raise no_download(name, address, f"{came}, {reason(cause)}" if cause else came) from cause


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


class _Refusal(Exception):
    """An answer that asking again would not mend."""


def _receive_more(
    file: BinaryIO, address: str, headers: dict[str, str], size: int, tell: Callable[[int], object]
) -> None:
    """Receive what one request brings of a file, and `tell` how many bytes came.

    Raises _Refusal, TimeoutError where next to nothing comes, and what the HTTP library does.
    """
    import huggingface_hub as hub

    timeout = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT  # seconds for one read; by itself none
    asked = hub.get_session().stream("GET", address, headers=headers, timeout=timeout)
    with ExitStack() as stack:
        response = within(PATIENCE, lambda: stack.enter_context(asked))
        code, range_ = response.status_code, str(response.headers.get("content-range"))
        elsewhere = code == 206 and not range_.startswith(f"bytes {file.tell()}-")
        if code not in (200, 206, 416):  # its words may have no end
            raise _Refusal(f"the server answers {code}")
        if code != 206 or elsewhere:  # all of it, from the start
            _empty(file)
        if code == 416 or elsewhere:
            raise ConnectionError("the server does not go on where the transfer broke off")
        looked, before = time.monotonic(), file.tell()
        for chunk in response.iter_raw():  # a few packed bytes may unpack to gigabytes
            file.write(chunk)
            tell(len(chunk))
            if file.tell() > size:
                raise _Refusal(f"more came than the {size} bytes that it announced")
            now = time.monotonic()
            if now - looked > PATIENCE:
                if file.tell() - before < SLOWEST * (now - looked):
                    raise TimeoutError(f"less than {SLOWEST} bytes a second came")
                looked, before = now, file.tell()


def within(seconds: float, call: Callable[[], T]) -> T:
    """Wait so long for a call, and leave it to itself when it takes longer; raises TimeoutError."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no whole answer came in {seconds:g} seconds") from error


def no_download(name: str, address: str, cause: Exception | str) -> WeightsError:
    """Make the error for a failed download: why, the address, the folder, the import command."""
    return WeightsError(
        f"cannot download {name} ({reason(cause)}); fetch {address} by other means, then run "
        f"'a2u weights import FILE --name {name}', which puts it into {cache_folder()}"
    )
