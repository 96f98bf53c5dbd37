"""The jobs: pictures in hand, a folder's from the start, a script's until an hour unused."""

import re
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..pairing import Pair
from .refusals import Refused
from .spool import Spooled

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HOUR = 3600.0  # seconds
MOST = 256  # jobs of scripts


@dataclass(frozen=True)
class Job:
    """A picture in hand, with the trimap that it has by now.

    `pair` is a folder's picture, with what the folder has as its trimap, if any; `background` is a
    picture to lay its cut-out on.
    """

    name: str
    title: str
    image: Path | Spooled
    trimap: Spooled | None = None
    background: Spooled | None = None
    pair: Pair | None = None
    used: float = field(default=0.0, compare=False)

    @property
    def kept(self) -> bool:
        """Tell whether it is a folder's picture: never deleted, saved in its output folder."""
        return self.pair is not None

    @property
    def path(self) -> Path:
        """Return where the picture's file is."""
        return Path(self.image)

    @property
    def has_trimap(self) -> bool:
        """Tell whether there is a trimap, or a mask to make one from."""
        return self.trimap is not None or (self.pair is not None and self.pair.hint != self.path)


class Bench:
    """The jobs by their names; `clock` tells seconds."""

    def __init__(self, kept: tuple[Job, ...] = (), clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self._jobs = {job.name: job for job in kept}
        self._lock = threading.Lock()

    @property
    def all(self) -> list[Job]:
        """List the jobs."""
        with self._lock:
            return [*self._jobs.values()]

    def get(self, name: str) -> Job:
        """Give a job, which is used from now on for another hour; raises Refused for none."""
        require_name(name)
        with self._lock:
            if name not in self._jobs:
                raise Refused(
                    404, f"there is no job {name}, expected one in hand; PUT its image first"
                )
            job = self._jobs[name] = replace(self._jobs[name], used=self.clock())
            return job

    def require_free(self, name: str) -> None:
        """Refuse a name that no script may use; raises Refused."""
        require_name(name)
        with self._lock:
            self._require_free(name)

    def _require_free(self, name: str) -> None:
        old = self._jobs.get(name)
        if old and old.kept:
            raise Refused(409, f"{name} is {old.title} in the folder; choose another name")
        if not old and sum(not job.kept for job in self._jobs.values()) >= MOST:
            raise Refused(
                503, f"{MOST} jobs are in hand; delete some, or ask again later", retry=60
            )

    def put(self, job: Job) -> None:
        """Begin a script's job, or begin it anew with another picture; raises Refused."""
        with self._lock:
            self._require_free(job.name)
            self._jobs[job.name] = replace(job, used=self.clock())

    def add(
        self, job: Job, *, trimap: Spooled | None = None, background: Spooled | None = None
    ) -> None:
        """Give a job its trimap or background; raises Refused where it has another picture now."""
        with self._lock:
            now = self._jobs.get(job.name)
            if now is None or now.image is not job.image:
                raise Refused(409, f"{job.name} was deleted or has another picture by now")
            self._jobs[job.name] = replace(
                now, trimap=trimap or now.trimap, background=background or now.background
            )

    def delete(self, job: Job) -> None:
        """Forget a script's job; raises Refused for a folder's."""
        if job.kept:
            raise Refused(409, f"{job.name} is {job.title} in the folder, which is not deleted")
        with self._lock:
            self._jobs.pop(job.name, None)

    def expire(self, busy: Collection[str]) -> list[str]:
        """Forget scripts' jobs that were not used for an hour, but busy ones, and name them."""
        with self._lock:
            end = self.clock() - HOUR
            old = [job.name for job in self._jobs.values() if not job.kept and job.used < end]
            gone = [name for name in old if name not in busy]
            for name in gone:
                del self._jobs[name]
        return gone


def require_name(name: str) -> None:
    """Refuse what is no name of a job."""
    if not NAME.fullmatch(name):
        raise Refused(
            404, f"{name!r} is no job's name, expected up to 64 letters, digits, '.', '_' and '-'"
        )
