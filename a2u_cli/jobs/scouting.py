"""Look through a sequence before it is matted: where it is cut, and the trimap of each frame."""

import hashlib
import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..errors import A2UError, OutOfMemory, TrimapError, in_words
from ..images.frames import Frames, Reader
from ..matting.motion import Grey, is_cut, reduce
from ..matting.propagation import propagate
from ..units import Size, Trimap

log = logging.getLogger(__name__)

ReadKey = Callable[[int], Trimap]  # of the frame of a number; raises A2UError
NO_KEY = "no frame of its shot, {}, has a trimap; draw one for any of them"
SHARE = 0.5  # of the memory there is may be taken by the frames between two keys


@dataclass(frozen=True)
class Scouted:
    """What is known of a frame before it is matted; `run` numbers frames that belong together.

    trimap: uint8 (H, W), or None where there is none, and `failure` says why.
    """

    number: int
    run: int
    trimap: Trimap | None
    failure: str = ""
    made: bool = False  # carried from a key, and no key itself

    @property
    def digest(self) -> str:
        """Hash the trimap."""
        assert self.trimap is not None
        return hashlib.sha256(np.ascontiguousarray(self.trimap).tobytes()).hexdigest()


@dataclass(frozen=True)
class _Seen:
    """A frame of a stretch that waits for its next key."""

    number: int
    grey: Grey | None
    size: Size
    failure: str = ""


class Scout:
    """Walks through a sequence once, in order.

    `keys` are the numbers of frames that have a trimap, which `read_key` gives. A frame that cannot
    be read is named and passed by. Frames belong to one run where they follow each other without a
    gap, a cut or a failure.
    """

    def __init__(
        self, frames: Frames, keys: frozenset[int], read_key: ReadKey, *, memory: int
    ) -> None:
        self.frames, self.keys, self.read_key, self.memory = frames, keys, read_key, memory
        self.run = 0
        self.last: int | None = None  # the number of the frame that was given last, of its run

    def walk(self, *, looks: bool = True) -> Generator[Scouted]:
        """Give every frame; between two keys none is given before the second is reached.

        Where all frames are keys, and stand alone, there is nothing to look at: not `looks`.
        """
        return self._look_through() if looks else self._take_keys()

    def _take_keys(self) -> Generator[Scouted]:
        for number in self.frames.numbers:
            try:
                yield Scouted(number, number, self.read_key(number))
            except A2UError as error:
                yield Scouted(number, number, None, in_words(error)[0])

    def _look_through(self) -> Generator[Scouted]:
        stretch: list[_Seen] = []
        first: Trimap | None = None
        cut_at = self.frames.numbers[0]
        with self.frames.reading() as reader:
            for number in self.frames.numbers:
                seen = self._look(reader, number)
                before = next((s.grey for s in stretch[::-1] if s.grey is not None), None)
                if seen.grey is not None and before is not None and is_cut(before, seen.grey):
                    yield from self._close(stretch, first, None, f"from {cut_at} on")
                    stretch, first, cut_at = [], None, number
                    self.run += 1
                    log.info("a cut before frame %d", number)
                if number in self.keys and seen.grey is not None:
                    try:
                        key = self._take_key(number, seen.size)
                    except A2UError as error:
                        seen = replace(seen, failure=in_words(error)[0])
                    else:
                        yield from self._close([*stretch, seen], first, key, "")
                        stretch, first = [seen], key
                        continue
                stretch.append(seen)
                self._require_room(stretch)
        yield from self._close(stretch, first, None, f"from {cut_at} on")

    def _look(self, reader: Reader, number: int) -> _Seen:
        try:
            image = reader.read(number).image
        except A2UError as error:
            return _Seen(number, None, (0, 0), in_words(error)[0])
        return _Seen(number, reduce(image), (image.shape[0], image.shape[1]))

    def _take_key(self, number: int, size: Size) -> Trimap:
        key = self.read_key(number)
        if key.shape != size:
            raise TrimapError(
                f"the trimap of frame {number} is {key.shape[1]}x{key.shape[0]} but "
                f"{self.frames.name(number)} is {size[1]}x{size[0]}; resize one"
            )
        return key

    def _require_room(self, stretch: list[_Seen]) -> None:
        taken = sum(6 * s.grey.size for s in stretch if s.grey is not None)  # and margins
        if taken > SHARE * self.memory:
            raise OutOfMemory(
                f"{len(stretch)} frames up to {stretch[-1].number} wait for a trimap and take "
                f"{taken / 1e9:.1f} GB, expected at most {SHARE * self.memory / 1e9:.1f} GB; give "
                "more key frames"
            )

    def _close(
        self, stretch: list[_Seen], first: Trimap | None, last: Trimap | None, where: str
    ) -> Generator[Scouted]:
        """Give the frames of a stretch, but for a key at its start, which was given before."""
        seen = [(s.grey, s.size) for s in stretch if s.grey is not None]
        carried: Iterator[Trimap | None] = iter([None] * len(seen))
        if seen and (first is not None or last is not None):
            carried = iter(propagate([grey for grey, _ in seen], first, last, seen[0][1]))
        keys = {stretch[0].number if first is not None else None}
        keys.add(stretch[-1].number if last is not None else None)
        for place, frame in enumerate(stretch):
            trimap = next(carried) if frame.grey is not None else None
            if place == 0 and first is not None:
                continue
            failure = frame.failure or ("" if trimap is not None else NO_KEY.format(where))
            if failure or frame.number - 1 != self.last:
                self.run += 1
            self.last = None if failure else frame.number
            known = None if failure else trimap
            yield Scouted(frame.number, self.run, known, failure, made=frame.number not in keys)
