"""Matte a folder: read ahead, matte, write behind; a journal says what is done and what failed.

A second run makes only what its journals do not call done for the same inputs, options and weights,
so a run that was killed goes on where it stopped. Where it may write is in `places`.
"""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import A2UError, ImageError, OutOfMemory, in_words
from ..images.decoding import DAMAGE, open_picture
from ..images.exr_header import crop_header
from ..images.files import require_regular
from ..images.formats import extension, holds_light
from ..images.meaning import Looks, read_matte
from ..images.memory import free_memory
from ..images.reading import Picture, read_image, tell_of_hidden
from ..images.writing import encode_for
from ..pairing import Pair
from ..trimap import band_pixels, check_pair, make_trimap, read_trimap
from ..units import FloatArray, Size, Trimap
from .fetching import fetch_ahead
from .journal import Journal, JournalError, Outcome
from .options import Options
from .places import Places, Source, hash_file, make_recipe, tell_version
from .provenance import Origin, Tell, note_of, origin_of, telling
from .results import make_results

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

log = logging.getLogger(__name__)

Matte = Callable[[FloatArray, Trimap], FloatArray]
Check = Callable[["Loaded", FloatArray], object]  # told of every matte, as it is made
Room = Callable[[Size], int]  # bytes for pictures in flight while one of a size is matted

AHEAD = 2  # pictures read before their turn, and mattes not yet written
IN_FLIGHT = 32  # bytes a pixel: image, trimap and matte, and what they are decoded from or to
COLOURS = 48  # bytes a pixel: foreground colours and what they are laid on take beside that
SHARE = 0.2  # of the free memory is for pictures in flight, unless bounded: matting takes the rest


@dataclass(frozen=True)
class Job:
    """What all pictures of a run have in common."""

    folder: Path
    matte: Matte
    options: Options
    places: Places
    room: Room
    max_memory: int | None
    check: Check | None = None
    backgrounds: dict[str, str] = field(default_factory=dict)  # the hashes of their pictures


@dataclass(frozen=True)
class Taken:
    """A pair's files, and the recipes of what is still to be made of them, by kind."""

    pair: Pair
    recipes: dict[str, str]
    data: tuple[bytes, bytes]


@dataclass(frozen=True)
class Loaded:
    """A picture and its trimap, and the recipes of what is still to be made of them, by kind."""

    pair: Pair
    recipes: dict[str, str]
    picture: Picture
    trimap: Trimap
    origin: Origin | None = None  # for the notes in its files


@dataclass(frozen=True)
class _Reading:
    """A picture that is read ahead; `size` is None where its file's head does not tell."""

    size: Size | None  # before it is turned upright
    loaded: Future[Loaded | Outcome]


@dataclass(frozen=True)
class _Writing:
    """A matte that waits to be written, and the bytes that this takes."""

    memory: int
    outcome: Future[Outcome]


def outputs(pair: Pair, folder: Path, options: Options) -> dict[str, Path]:
    """Say where a picture's results go."""
    suffix = extension(options.format)
    return {kind: folder / kind / f"{pair.name}{suffix}" for kind in options.save}


def shard(pairs: Sequence[Pair], number: int, count: int) -> Sequence[Pair]:
    """Take every `count`-th pair, beginning with the `number`-th (from 1).

    Raises A2UError where there is no such part.
    """
    if count < 1:
        raise A2UError(f"shard {number}/{count} does not exist; expected I/N, such as 2/8")
    if not 1 <= number <= count:
        raise A2UError(
            f"shard {number}/{count} does not exist; expected 1/{count} to {count}/{count}"
        )
    return pairs[number - 1 :: count]


def share_of_free(_size: Size) -> int:
    """Give pictures in flight their share of what is free now."""
    return int(SHARE * free_memory())


def room_beside(matter: "Runtime") -> Room:
    """Give pictures in flight what a matter's bound leaves beside the matting of one."""
    bound = matter.max_memory
    if bound is None:
        return share_of_free

    def room(size: Size) -> int:
        try:
            return bound - matter.plan(size).memory
        except OutOfMemory:  # its matting will say so
            return 0

    return room


def run(
    pairs: Iterable[Pair],
    folder: Path,
    matte: Matte,
    options: Options,
    *,
    journal: Journal,
    inputs: Iterable[Path] = (),
    force: bool = False,
    fail_fast: bool = False,
    room: Room = share_of_free,
    max_memory: int | None = None,
    check: Check | None = None,
) -> Iterator[Outcome]:
    """Matte pair after pair and give their outcomes in order; a failure is one of them.

    `inputs` are files that no output may replace; with `force` it may what else is there.
    Reading, the network and writing overlap, as far as the pictures in flight fit into the `room`
    there is beside the one that is matted; at most a few are in memory in any case. A picture that
    takes more than `max_memory` to read, or than there is, is not read. `check` is told of every
    matte, in its picture's turn.
    """
    places = Places(journal, inputs, force=force)
    job = Job(folder, matte, options, places, room, max_memory, check)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            flight = _Flight(job, pairs, reader, writer)
            for outcome in flight.outcomes(behind=0 if fail_fast else AHEAD):
                yield outcome
                if fail_fast and outcome.state == "failed":
                    return
        finally:
            for executor in (reader, writer):
                executor.shutdown(cancel_futures=True)


class _Flight:
    """The pictures in flight, in their order: read ahead, and waiting to be written."""

    def __init__(
        self,
        job: Job,
        pairs: Iterable[Pair],
        reader: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
    ) -> None:
        self.job, self.reader, self.writer = job, reader, writer
        self.coming = ((pair, size_in_head(pair.image)) for pair in fetch_ahead(pairs))
        self.next = next(self.coming, None)
        self.reading: deque[_Reading] = deque()
        self.writing: deque[_Writing] = deque()

    def outcomes(self, *, behind: int) -> Iterator[Outcome]:
        """Give what became of every picture; at most `behind` wait to be written."""
        while self.next or self.reading or self.writing:
            self._read_ahead()
            if self.reading:
                loaded = self.reading.popleft().loaded.result()
                while self.writing and not self._fits(loaded):
                    yield self.writing.popleft().outcome.result()
                self.writing.append(self._matte(loaded))
                del loaded  # else it would stay until the next is there
            while len(self.writing) > (behind if self.reading else 0):
                yield self.writing.popleft().outcome.result()

    def _read_ahead(self) -> None:
        """Begin to read what there is room for; what is alone is read in any case."""
        while self.next and len(self.reading) <= AHEAD:
            pair, size = self.next
            sizes = [size, *(ahead.size for ahead in self.reading)]
            if self.reading or self.writing:
                if None in sizes:
                    return  # nobody knows what it takes
                room = min(self.job.room(other) for other in sizes if other)
                if self._held() + _memory(size) > room:
                    return
            self.reading.append(_Reading(size, self.reader.submit(_load, pair, self.job)))
            self.next = next(self.coming, None)

    def _held(self) -> int:
        """Count the bytes that pictures in flight take."""
        reading = sum(_memory(ahead.size) for ahead in self.reading)
        return reading + sum(behind.memory for behind in self.writing)

    def _fits(self, loaded: Loaded | Outcome) -> bool:
        """Tell whether a picture can be matted beside the others."""
        return isinstance(loaded, Outcome) or self._held() <= self.job.room(loaded.picture.size)

    def _matte(self, loaded: Loaded | Outcome) -> _Writing:
        """Matte a picture, and leave what is written of it to the writer."""
        if isinstance(loaded, Outcome):
            return _settled(loaded)
        start = time.perf_counter()
        try:
            alpha = self.job.matte(loaded.picture.image, loaded.trimap)
        except Exception as error:  # of one picture: the others go on
            return _settled(failed(loaded.pair, error, self.job))
        seconds = time.perf_counter() - start
        if self.job.check:
            self.job.check(loaded, alpha)
        colours = COLOURS if self.job.options.saves_colours else 0
        memory = _memory(loaded.picture.size, IN_FLIGHT + colours)
        return _Writing(memory, self.writer.submit(_write, loaded, alpha, seconds, self.job))


def size_in_head(path: Path) -> Size | None:
    """Tell a picture's size as it is stored; unlike `picture_size` this decodes nothing."""
    try:
        require_regular(path)
        with path.open("rb") as file, open_picture(file) as picture:
            return picture.height, picture.width
    except DAMAGE:
        return None


def _memory(size: Size | None, pixel: int = IN_FLIGHT) -> int:
    return pixel * size[0] * size[1] if size else 0


def _settled(outcome: Outcome) -> _Writing:
    """Put what is already known in line with what is still written."""
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return _Writing(0, future)


def _load(pair: Pair, job: Job) -> Loaded | Outcome:
    """Read a pair, or say that it is done, or why it cannot be read."""
    try:
        taken = take(pair, job)
        return taken if isinstance(taken, Outcome) else decode(taken, job.options, job.max_memory)
    except JournalError:
        raise
    except Exception as error:  # of one picture: the others go on
        return failed(pair, error, job)


def take(pair: Pair, job: Job) -> Taken | Outcome:
    """Read a pair's files, or say that it is done; raises A2UError where that cannot be."""
    image, hint = Source(pair.image), Source(pair.hint)
    hashes = [image.digest, hint.digest]
    missing = {} if is_held(pair, hashes, job) else find_missing(pair, hashes, job)
    if not missing:
        return Outcome(pair.name, "skipped", "done before")
    return Taken(pair, missing, (image.data, hint.data))


def is_done(pair: Pair, job: Job) -> bool:
    """Tell whether a pair that lies in a store is done: by what its list tells, unread."""
    versions = [version for path in (pair.image, pair.hint) if (version := tell_version(path))]
    try:
        return len(versions) == 2 and not find_missing(pair, versions, job)
    except ImageError:  # its turn will tell
        return False


def decode(taken: Taken, options: Options, max_memory: int | None) -> Loaded:
    """Decode what was read, and tell of what is strange; raises A2UError where that cannot be."""
    pair, names = taken.pair, (str(taken.pair.image), str(taken.pair.hint))
    picture = read_image(taken.data[0], name=names[0], max_memory=max_memory)
    tell_of_hidden(picture, names[0])
    trimap = read_hint(pair, taken.data[1], options, max_memory=max_memory)
    turn = picture.orientation
    for warning in check_pair(
        picture.size,
        trimap,
        names=names,
        image_orientation=turn,
        image=picture.image,
        of_mask=pair.is_mask,
    ):
        log.warning(warning)
    origin = origin_of(pair, taken.data) if options.provenance else None
    return Loaded(pair, taken.recipes, picture, trimap, origin)


def is_held(pair: Pair, hashes: list[bytes], job: Job) -> bool:
    """Tell whether a version that kept no hashes of outputs did a picture."""
    given = job.options.with_own(pair.own)
    options = given.of_picture(is_mask=pair.is_mask)
    inputs = hashlib.sha256(b"".join(hashes)).hexdigest()
    return job.places.journal.held(pair.name, inputs, {options.digest, given.digest})


def find_missing(pair: Pair, hashes: list[bytes], job: Job) -> dict[str, str]:
    """Give the recipes of a picture's outputs that are not there yet, by their kind.

    Raises ImageError where one has no place.
    """
    options = job.options.with_own(pair.own)
    places = outputs(pair, job.folder, options)
    read = [part.hex() for part in hashes] + ["mask" if pair.is_mask else "trimap"]
    recipes = {}
    for kind in places:
        behind = [_hash_background(pair, job)] if kind == "composite" else []
        shaping = options.of_output(kind, is_mask=pair.is_mask)
        recipes[kind] = make_recipe([*read, *behind], shaping.digest)
    missing = job.places.missing({path: recipes[kind] for kind, path in places.items()})
    return {kind: recipes[kind] for kind, path in places.items() if path in missing}


def _hash_background(pair: Pair, job: Job) -> str:
    """Hash the picture behind a composite; what is no file is told by the options."""
    from ..backgrounds import choose_background

    options = job.options.with_own(pair.own)
    chosen = choose_background(options.background, pair.name)
    if not Path(chosen).is_file():
        return ""
    if chosen not in job.backgrounds:
        job.backgrounds[chosen] = hash_file(Path(chosen))
    return job.backgrounds[chosen]


def read_hint(
    pair: Pair,
    data: bytes,
    options: Options,
    *,
    max_memory: int | None = None,
    guess: bool | Looks = True,
) -> Trimap:
    """Give a pair's trimap, drawn or made of its mask, read by `read_matte`; raises A2UError."""
    name, options = str(pair.hint), options.with_own(pair.own)
    if not pair.is_mask:
        strict = options.strict
        return read_trimap(data, strict=strict, name=name, max_memory=max_memory, guess=guess)
    invert = options.invert
    matte = read_matte(data, name=name, invert=invert, max_memory=max_memory, guess=guess)
    if note := matte.note(name):
        log.warning(note)
    mask = matte.values
    reach = band_pixels(options.band, (mask.shape[0], mask.shape[1]))
    return make_trimap(mask, inside=reach, outside=reach)


def _write(loaded: Loaded, alpha: FloatArray, seconds: float, job: Job) -> Outcome:
    try:
        return keep(loaded, encode(loaded, alpha, job.options, job.max_memory), seconds, job)
    except JournalError:
        raise
    except Exception as error:  # of one picture: the others go on
        return failed(loaded.pair, error, job)


def encode(
    loaded: Loaded,
    alpha: FloatArray,
    options: Options,
    max_memory: int | None,
    tell: Tell | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Make what is missing of a picture's outputs, one after the other: kinds and files' bytes.

    Where the picture has an origin they carry what is to `tell` of it, as the options say.
    """
    tell = tell or telling(options.provenance)
    picture, pair = loaded.picture, loaded.pair
    options = replace(options.with_own(pair.own), save=tuple(loaded.recipes))
    light = picture.light is not None or holds_light(options.format, options.depth)
    metadata: dict[str, Any] = {"depth": options.depth, "icc": picture.icc, "exif": picture.exif}
    metadata |= {"light": light}
    made = picture.colours(light=light), alpha, options
    saved = make_results(*made, light=light, name=pair.name, max_memory=max_memory)
    for kind, path in outputs(pair, Path(), options).items():
        array, shape, box = saved[kind]
        metadata["header"] = crop_header(picture.header, picture.size, box)
        metadata["premultiplied"] = options.premultiplied
        if shape is not None and options.premultiplied:
            array = array * shape[..., None]
        note = None
        if loaded.origin and options.weights:  # without these nobody can make it again
            note = tell(note_of(kind, options, loaded.origin, pair.name))
        yield kind, encode_for(path, array, alpha=shape, **metadata, note=note)


def keep(
    made: Taken | Loaded, files: Iterable[tuple[str, bytes]], seconds: float, job: Job
) -> Outcome:
    """Write a picture's outputs, by their kinds, and its line; raises A2UError."""
    outcome = Outcome(made.pair.name, "done", seconds=round(seconds, 3))
    places = outputs(made.pair, job.folder, replace(job.options, save=tuple(made.recipes)))
    written = ((places[kind], made.recipes[kind], data) for kind, data in files)
    job.places.write(outcome, written, weights=job.options.weights)
    return outcome


def are_there(pair: Pair, folder: Path, options: Options) -> bool:
    """Tell whether files lie in the places of all of a picture's outputs, whatever they hold."""
    return all(path.exists() for path in outputs(pair, folder, options).values())


def failed(pair: Pair, error: BaseException, job: Job) -> Outcome:
    """Keep account of a picture that could not be done."""
    outcome = Outcome(pair.name, "failed", reason(error))
    job.places.journal.add(outcome, weights=job.options.weights)
    return outcome


def reason(error: BaseException) -> str:
    """Say in one line why a picture failed."""
    return in_words(error)[0]
