"""What is kept at hand because it took time to make: decoded pictures, trimaps, mattes, hashes.

Bounded in bytes; what was not used for longest goes first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import numpy as np

from ..images.reading import Picture

LEAST = 1000  # bytes that anything takes, about
Kept = TypeVar("Kept")


class Shelf:
    """Keeps at most so many bytes, by their keys."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> object | None:
        """Give what is kept by a key, None where nothing is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Give what is kept by a key, or make it; what is larger than the shelf is not kept."""
        kept = self.find(key)
        if kept is not None:
            return cast(Kept, kept)
        made = make()
        with self._lock:
            if key not in self._kept and weigh(made) <= self.most:
                self._kept[key] = made
                self.held += weigh(made)
                while self.held > self.most:
                    self.held -= weigh(self._kept.popitem(last=False)[1])
        return made


def weigh(kept: object) -> int:
    """Count the bytes of an array, of a picture's arrays, or of a file."""
    if isinstance(kept, bytes):
        return LEAST + len(kept)
    parts = vars(kept).values() if isinstance(kept, Picture) else (kept,)
    return LEAST + sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
