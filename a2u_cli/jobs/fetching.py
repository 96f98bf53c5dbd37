"""Read from a store before it is asked for: there a small object takes as long as a large one."""

from collections import deque
from collections.abc import Iterable, Iterator

from ..images.stores import StorePath, in_store
from ..pairing import Pair

AHEAD = 16  # pairs that are read before their turn
MOST = 256_000_000  # bytes of them, but for one that is larger


def fetch_ahead(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Give pairs in order; objects of some that come next are being read meanwhile."""
    waiting, held = deque[tuple[Pair, list[StorePath], int]](), 0
    try:
        for pair in pairs:
            objects = [stored for path in (pair.image, pair.hint) if (stored := in_store(path))]
            size = _size(objects)
            while waiting and (len(waiting) >= AHEAD or held + size > MOST or not objects):
                first, _, less = waiting.popleft()
                held -= less
                yield first
            if not objects:  # a disk reads ahead by itself
                yield pair
                continue
            for stored in objects:
                stored.fetch()
            waiting.append((pair, objects, size))
            held += size
        while waiting:
            yield waiting.popleft()[0]
    finally:
        for _, objects, _ in waiting:  # nobody comes for them
            for stored in objects:
                stored.store.forget()


def _size(objects: list[StorePath]) -> int:
    return sum(found.size for stored in objects if (found := stored.find()))
