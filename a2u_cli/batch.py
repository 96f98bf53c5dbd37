"""Matte a folder: read ahead, matte, write behind; a journal says what is done and what failed.

The journal is a file of JSON lines in the output folder, one line a picture, written once its
outputs are in place. A second run skips what its journals call done for the same inputs, options
and weights, so a run that was killed goes on where it stopped.
"""

import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import A2UError, is_memory
from .foreground import Method, composite, estimate_foreground, require_method
from .images import Picture, read_bytes, read_grey, read_image, read_mask, write_image
from .pairing import Pair
from .trimap import band_pixels, check_pair, describe, make_trimap, parse_trimap

Array = npt.NDArray[np.float32]
Trimap = npt.NDArray[np.uint8]
Matte = Callable[[Array, Trimap], Array]

AHEAD = 2  # pictures read before their turn, and mattes not yet written
OUTPUTS = ("alpha", "cutout", "foreground", "composite")
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Options:
    """What shapes the results: it is part of what the journal compares."""

    save: tuple[str, ...] = ("alpha",)
    depth: int = 8
    strict: bool = False
    band: str = "1.5%"
    background: str = "white"
    fit: str = "cover"
    linear: bool = False
    colours: Method = "multilevel"
    dtype: str = "float32"
    weights: str = ""  # sha256 of the file
    quality: str = "standard"

    def __post_init__(self) -> None:
        if strange := [name for name in self.save if name not in OUTPUTS]:
            raise A2UError(f"cannot save {', '.join(strange)}; expected {', '.join(OUTPUTS)}")
        require_method(self.colours)

    @property
    def digest(self) -> str:
        """A short name for all options together."""
        text = json.dumps(vars(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: `state` is done, skipped or failed."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class _Loaded:
    pair: Pair
    digest: str  # of the inputs
    picture: Picture
    trimap: Trimap


def outputs(pair: Pair, folder: Path, options: Options) -> dict[str, Path]:
    """Say where a picture's results go."""
    return {kind: folder / kind / f"{pair.name}.png" for kind in options.save}


def shard(pairs: tuple[Pair, ...], number: int, count: int) -> tuple[Pair, ...]:
    """Take every `count`-th pair, beginning with the `number`-th (from 1)."""
    if not 1 <= number <= count:
        raise A2UError(
            f"shard {number}/{count} does not exist; expected 1/{count} to {count}/{count}"
        )
    return pairs[number - 1 :: count]


class Journal:
    """The journals of an output folder; new lines go to one of them."""

    def __init__(self, folder: Path, name: str = JOURNAL) -> None:
        self.path = folder / name
        self._lock = threading.Lock()
        self._torn = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        self.done: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.glob("journal*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    self.done[entry["name"]] = entry
                except (ValueError, KeyError, TypeError, RecursionError):
                    # torn by a kill, or not written by us: that picture is redone
                    continue

    def holds(self, name: str, inputs: str, options: Options) -> bool:
        """Tell whether a picture is done for these inputs and options."""
        entry = self.done.get(name, {})
        expected = {"state": "done", "inputs": inputs, "options": options.digest}
        return all(entry.get(key) == value for key, value in expected.items())

    def add(
        self, outcome: Outcome, inputs: str, options: Options, written: Iterable[Path] = ()
    ) -> None:
        """Write a line that survives the end of the process; `written` are its files.

        Raises A2UError where it cannot be written: without a journal no work is kept account of.
        """
        entry = vars(outcome) | {
            "inputs": inputs,
            "options": options.digest,
            "weights": options.weights,
            "outputs": [path.relative_to(self.path.parent).as_posix() for path in written],
        }
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    file.write(b"\n" * self._torn + json.dumps(entry).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                self._torn = True  # a part of the line may be there
                raise A2UError(
                    f"{self.path} cannot be written ({error.strerror}); what is done is kept: "
                    "mend that and run the same command again"
                ) from error
            self._torn = False


def run(
    pairs: Iterable[Pair],
    folder: Path,
    matte: Matte,
    options: Options,
    *,
    journal: Journal,
    fail_fast: bool = False,
) -> Iterator[Outcome]:
    """Matte pair after pair and give their outcomes in order; a failure is one of them.

    Reading, the network and writing overlap; at most a few pictures are in memory.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        writing: deque[Future[Outcome]] = deque()
        try:
            for result in _ahead(pairs, lambda pair: _load(pair, folder, options, journal), reader):
                if isinstance(result, Outcome):
                    work: Future[Outcome] = Future()
                    work.set_result(result)
                else:
                    work = _matte(result, folder, matte, options, journal, writer)
                writing.append(work)
                while len(writing) > AHEAD or (fail_fast and writing):
                    outcome = writing.popleft().result()
                    yield outcome
                    if fail_fast and outcome.state == "failed":
                        return
            while writing:
                yield writing.popleft().result()
        finally:
            for executor in (reader, writer):
                executor.shutdown(cancel_futures=True)


def _ahead(
    pairs: Iterable[Pair], load: Callable[[Pair], Any], reader: ThreadPoolExecutor
) -> Iterator[Any]:
    """Load in order, a few ahead of what is taken."""
    loading: deque[Future[Any]] = deque()
    for pair in pairs:
        loading.append(reader.submit(load, pair))
        if len(loading) > AHEAD:
            yield loading.popleft().result()
    while loading:
        yield loading.popleft().result()


def _load(pair: Pair, folder: Path, options: Options, journal: Journal) -> _Loaded | Outcome:
    """Read a pair, or say that it is done, or why it cannot be read."""
    digest = ""
    try:
        data = [read_bytes(path, str(path)) for path in (pair.image, pair.hint)]
        digest = hashlib.sha256(b"".join(hashlib.sha256(d).digest() for d in data)).hexdigest()
        there = all(path.is_file() for path in outputs(pair, folder, options).values())
        if there and journal.holds(pair.name, digest, options):
            return Outcome(pair.name, "skipped", "done before")
        names = str(pair.image), str(pair.hint)
        picture = read_image(data[0], name=names[0])
        trimap = _trimap(pair, data[1], options)
        check_pair(picture.size, trimap, names=names, image_orientation=picture.orientation)
        return _Loaded(pair, digest, picture, trimap)
    except Exception as error:  # of one picture: the others go on
        return _failed(pair, error, digest, journal, options)


def _trimap(pair: Pair, data: bytes, options: Options) -> Trimap:
    name = str(pair.hint)
    if not pair.is_mask:
        return parse_trimap(read_grey(data, name=name), strict=options.strict, name=name)
    mask = read_mask(data, name=name)
    reach = band_pixels(options.band, (mask.shape[0], mask.shape[1]))
    return make_trimap(mask, inside=reach, outside=reach)


def _matte(
    loaded: _Loaded,
    folder: Path,
    matte: Matte,
    options: Options,
    journal: Journal,
    writer: ThreadPoolExecutor,
) -> Future[Outcome]:
    """Matte a picture, and leave what is written of it to the writer."""
    start = time.perf_counter()
    try:
        alpha = matte(loaded.picture.image, loaded.trimap)
    except Exception as error:  # of one picture: the others go on
        failed: Future[Outcome] = Future()
        failed.set_result(_failed(loaded.pair, error, loaded.digest, journal, options))
        return failed
    seconds = time.perf_counter() - start
    return writer.submit(_write, loaded, alpha, seconds, folder, options, journal)


def _write(
    loaded: _Loaded, alpha: Array, seconds: float, folder: Path, options: Options, journal: Journal
) -> Outcome:
    picture, pair = loaded.picture, loaded.pair
    metadata: dict[str, Any] = {"depth": options.depth, "icc": picture.icc, "exif": picture.exif}
    try:
        made = results(picture.image, alpha, options, name=pair.name)
        places = outputs(pair, folder, options)
        for kind, path in places.items():
            write_image(path, made[kind], **metadata)
    except Exception as error:  # of one picture: the others go on
        return _failed(pair, error, loaded.digest, journal, options)
    outcome = Outcome(pair.name, "done", seconds=round(seconds, 3))
    journal.add(outcome, loaded.digest, options, places.values())
    return outcome


def results(image: Array, alpha: Array, options: Options, *, name: str) -> dict[str, Array]:
    """Make what is to be saved, from an image (H, W, 3) and its alpha (H, W), by its kind."""
    made = {"alpha": alpha}
    if set(options.save) - {"alpha"}:
        from .backgrounds import choose_background, make_background

        foreground = estimate_foreground(image, alpha, method=options.colours)
        made["foreground"] = foreground
        made["cutout"] = np.dstack([foreground, alpha])
        if "composite" in options.save:
            fit: Any = options.fit
            chosen = choose_background(options.background, name)
            background = make_background(chosen, image, fit=fit)
            made["composite"] = composite(foreground, alpha, background, linear=options.linear)
    return made


def _failed(
    pair: Pair, error: BaseException, digest: str, journal: Journal, options: Options
) -> Outcome:
    outcome = Outcome(pair.name, "failed", reason(error))
    journal.add(outcome, digest, options)
    return outcome


def reason(error: BaseException) -> str:
    """Say in one line why a picture failed."""
    text = str(error)
    if is_memory(error) and not isinstance(error, A2UError):
        text = "out of memory; close other programs or bound it with --max-memory"
    elif not isinstance(error, A2UError):
        text = f"unexpected {type(error).__name__}: {error}"
    return " ".join(text.split())


def unknown_share(pair: Pair, options: Options) -> float | None:
    """Measure how much of a picture is unknown; None where that cannot be read."""
    try:
        return describe(_trimap(pair, read_bytes(pair.hint, str(pair.hint)), options)).unknown
    except A2UError:
        return None
