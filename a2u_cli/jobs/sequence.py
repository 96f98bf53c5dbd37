"""Matte a sequence: its frames' trimaps are scouted first, its mattes steadied, then written.

What a frame's outputs depend on is hashed into their recipe: its neighbours within reach, and their
trimaps. So a run that was killed goes on where it stopped, computes the few neighbours again that
steadying needs, and leaves the bytes of a run that was not.
"""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from ..errors import A2UError
from ..images.frames import Frames, Reader
from ..images.reading import Picture, read_levels
from ..images.writing import encode_for
from ..matting.steadying import REACH, Step, measure_step, steady
from ..pairing import Pair
from ..trimap import restore_known
from ..units import UNKNOWN, FloatArray, Levels
from .folder import Job, Loaded, Matte, encode, failed, find_missing, outputs, share_of_free
from .journal import JournalError, Outcome, hash_content
from .options import Options
from .places import Places, make_recipe
from .provenance import Input, Note, Origin, note_of, sidecar_text
from .scouting import Scouted

TRIMAPS = "trimap"  # the folder of trimaps that are written
BEHIND = 2  # frames that wait to be written

Window = tuple[list[Scouted], int]  # frames of one run that follow each other, and which is meant


@dataclass(frozen=True)
class Making:
    """What a sequence is made from and into.

    With `steadied`, each matte is averaged with its neighbours (`matting.steadying`); without, it
    is that of `matte` alone. With `saves_trimaps`, those that were carried from keys are written
    beside the outputs.
    """

    frames: Frames
    folder: Path
    matte: Matte
    options: Options
    places: Places
    steadied: bool = True
    saves_trimaps: bool = False
    max_memory: int | None = None

    @property
    def job(self) -> Job:
        of = self.options, self.places, share_of_free, self.max_memory
        return Job(self.folder, self.matte, *of)


def run_sequence(
    scouted: Iterable[Scouted], making: Making, *, fail_fast: bool = False
) -> Generator[Outcome]:
    """Matte frame after frame and give their outcomes in order; a failure is one of them.

    `scouted` are the frames with their trimaps, from `scouting.Scout`. Reading, matting and writing
    overlap. Raises JournalError where no account can be kept.
    """
    waiting: deque[Future[Outcome]] = deque()
    with making.frames.reading() as reader, ThreadPoolExecutor(1) as writer:
        try:
            frames = _Frames(making, reader)
            for window in _windows(scouted, REACH if making.steadied else 0):
                waiting.append(_make(window, making, frames, writer))
                while len(waiting) > (0 if fail_fast else BEHIND):
                    outcome = waiting.popleft().result()
                    yield outcome
                    if fail_fast and outcome.state == "failed":
                        return
            while waiting:
                yield waiting.popleft().result()
        finally:
            writer.shutdown(cancel_futures=True)


def cutouts(making: Making) -> Iterator[Levels]:
    """Read all cut-outs that were written, uint16 (H, W, 4): straight colours and alpha.

    Raises ImageError where one cannot be read.
    """
    for number in making.frames.numbers:
        file = making.frames.file(number)
        pair = Pair(making.frames.name(number), file, file)
        levels = read_levels(outputs(pair, making.folder, making.options)["cutout"])
        yield levels if levels.dtype == np.uint16 else levels.astype(np.uint16) * np.uint16(257)


def _windows(scouted: Iterable[Scouted], reach: int) -> Iterator[Window]:
    """Give each frame among those within reach of it that its matte may be steadied by."""
    coming = iter(scouted)
    before: deque[Scouted] = deque(maxlen=reach)
    after = deque(islice(coming, reach + 1))
    while after:
        frame = after[0]
        near = [frame]
        if frame.trimap is not None:
            near = [other for other in (*before, *after) if other.run == frame.run]
        yield near, near.index(frame)
        before.append(after.popleft())
        after.extend(islice(coming, 1))


class _Frames:
    """The pictures and mattes of the frames around the one that is made, each made once."""

    def __init__(self, making: Making, reader: Reader) -> None:
        self.making, self.reader = making, reader
        self.pictures: dict[int, Picture] = {}
        self.mattes: dict[int, FloatArray] = {}
        self.steps: dict[int, Step] = {}  # from the frame of a number to the next

    def forget_before(self, number: int) -> None:
        """Let go of what no later frame needs."""
        held: tuple[dict[int, object], ...] = (self.pictures, self.mattes, self.steps)  # type: ignore[assignment]
        for of in held:
            for old in [other for other in of if other < number]:
                del of[old]

    def matte(self, window: Window) -> tuple[Picture, FloatArray]:
        """Give a frame's picture and its matte, steadied by its neighbours."""
        near, at = window
        self.forget_before(near[0].number)
        mattes = [self._alone(frame) for frame in near]
        steps = [
            self._step(frame.number, pair)
            for frame, pair in zip(near, pairwise(mattes), strict=False)
        ]
        trimap = near[at].trimap
        assert trimap is not None
        picture = self.pictures.pop(near[at].number, None)
        if picture is None:
            picture = self.reader.read(near[at].number, self.making.max_memory)
        return picture, steady(mattes, steps, at, trimap)

    def _alone(self, frame: Scouted) -> FloatArray:
        number, trimap = frame.number, frame.trimap
        assert trimap is not None
        if number not in self.mattes:
            picture = self.reader.read(number, self.making.max_memory)
            if picture.size != trimap.shape:
                name = self.making.frames.name(number)
                raise A2UError(f"{name} is not what it was a moment ago; run again")
            self.pictures[number] = picture
            known = np.zeros(trimap.shape, np.float32)
            some = (trimap == UNKNOWN).any()
            self.mattes[number] = (
                self.making.matte(picture.image, trimap) if some else restore_known(known, trimap)
            )
        return self.mattes[number]

    def _step(self, number: int, mattes: tuple[FloatArray, FloatArray]) -> Step:
        if number not in self.steps:
            self.steps[number] = measure_step(*mattes)
        return self.steps[number]


def _make(
    window: Window, making: Making, frames: _Frames, writer: ThreadPoolExecutor
) -> Future[Outcome]:
    """Make what is missing of a frame; writing it is left to the writer."""
    near, at = window
    frame, job = near[at], making.job
    file = making.frames.file(frame.number)
    pair = Pair(making.frames.name(frame.number), file, file)
    start = time.perf_counter()
    try:
        if frame.trimap is None:
            raise A2UError(frame.failure)
        facts = _facts(window, making)
        recipes = _missing(window, pair, facts, making)
        if not recipes:
            return _settled(Outcome(pair.name, "skipped", "done before"))
        picture, alpha = frames.matte(window)
    except JournalError:
        raise
    except Exception as error:  # of one frame: the others go on
        return _settled(failed(pair, error, job))
    origin = _origin(frame, facts, making) if making.options.provenance else None
    loaded = Loaded(pair, recipes, picture, frame.trimap, origin)
    return writer.submit(_write, loaded, alpha, time.perf_counter() - start, making)


def _facts(window: Window, making: Making) -> list[str]:
    """Give what a frame's outputs depend on: files and trimaps of all that it is steadied by."""
    near, at = window
    facts = [fact for f in near for fact in (making.frames.digest(f.number), f.digest)]
    return [*facts, str(at), "steadied" if making.steadied else "alone"]


def _missing(window: Window, pair: Pair, facts: list[str], making: Making) -> dict[str, str]:
    """Give the recipes of a frame's outputs that are not there yet, by their kind."""
    near, at = window
    missing = find_missing(pair, [sha256(fact.encode()).digest() for fact in facts], making.job)
    if making.saves_trimaps and near[at].made:
        path, recipe = _trimap_path(pair, making), make_recipe([near[at].digest], TRIMAPS)
        if making.places.missing({path: recipe}):
            missing[TRIMAPS] = recipe
    return missing


def _origin(frame: Scouted, facts: list[str], making: Making) -> Origin:
    """Tell of a frame: its own file, its trimap's pixels, and a hash of all it depends on."""
    shaping = {
        "frame": frame.number,
        "trimap": frame.digest,
        "steady": making.steadied,
        "depends": sha256(" ".join(facts).encode()).hexdigest(),
    }
    digest, file = making.frames.digest(frame.number), making.frames.file(frame.number)
    its = Input("picture", file.name, digest.partition(":")[0])  # a film's has the number behind
    return Origin((its,), "sequence", shaping)


def tell_of_film(film: Path, making: Making) -> bytes:
    """Give what lies beside a film of all cut-outs: what these were made of."""
    frames, digest = making.frames, sha256()
    for number in frames.numbers:
        digest.update(frames.digest(number).encode())
    its = Input("frames", frames.files[0].name, digest.hexdigest())
    origin = Origin((its,), "sequence", {"steady": making.steadied})
    note = replace(note_of("cutout", making.options, origin), output="film")
    return sidecar_text(note, hash_content(film).sha256)


def _tell_of_trimap(loaded: Loaded, making: Making) -> str | None:
    """Give the note of a trimap that was carried to a frame; without options it has none."""
    origin = loaded.origin
    if origin is None or not making.options.weights:
        return None
    shaping = {fact: origin.shaping[fact] for fact in ("frame", "trimap")}
    return Note("sequence", TRIMAPS, shaping, origin.inputs).text


def _trimap_path(pair: Pair, making: Making) -> Path:
    return making.folder / TRIMAPS / f"{pair.name}.png"


def _write(loaded: Loaded, alpha: FloatArray, seconds: float, making: Making) -> Outcome:
    """Write a frame's outputs and its line."""
    outcome = Outcome(loaded.pair.name, "done", seconds=round(seconds, 3))
    paths = outputs(loaded.pair, making.folder, making.options)
    recipes = {kind: recipe for kind, recipe in loaded.recipes.items() if kind != TRIMAPS}
    try:
        made = encode(replace(loaded, recipes=recipes), alpha, making.options, making.max_memory)
        files = [(paths[kind], recipes[kind], data) for kind, data in made]
        if TRIMAPS in loaded.recipes:
            path = _trimap_path(loaded.pair, making)
            data = encode_for(path, loaded.trimap, note=_tell_of_trimap(loaded, making))
            files.append((path, loaded.recipes[TRIMAPS], data))
        making.places.write(outcome, files, weights=making.options.weights)
    except JournalError:
        raise
    except Exception as error:  # of one frame: the others go on
        return failed(loaded.pair, error, making.job)
    return outcome


def _settled(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
