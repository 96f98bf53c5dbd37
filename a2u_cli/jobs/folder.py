"""Matte a folder: read ahead, matte, write behind; a journal says what is done and what failed.

The journal is a file of JSON lines in the output folder, one line a picture, written once its
outputs are in place. A second run skips what its journals call done for the same inputs, options
and weights, so a run that was killed goes on where it stopped.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import A2UError, is_memory
from ..foreground import composite, estimate_foreground
from ..images.reading import Picture, read_bytes, read_grey, read_image, read_mask
from ..images.writing import write_image
from ..pairing import Pair
from ..trimap import band_pixels, check_pair, describe, make_trimap, parse_trimap
from ..units import FloatArray, Trimap
from .journal import Journal, Outcome
from .options import Options

Matte = Callable[[FloatArray, Trimap], FloatArray]

AHEAD = 2  # pictures read before their turn, and mattes not yet written


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
    loaded: _Loaded,
    alpha: FloatArray,
    seconds: float,
    folder: Path,
    options: Options,
    journal: Journal,
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


def results(
    image: FloatArray, alpha: FloatArray, options: Options, *, name: str
) -> dict[str, FloatArray]:
    """Make what is to be saved, from an image (H, W, 3) and its alpha (H, W), by its kind."""
    made = {"alpha": alpha}
    if set(options.save) - {"alpha"}:
        from ..backgrounds import choose_background, make_background

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
