"""Who is next: a bounded queue and one thread that works through it, in the order of arrival.

A turn can be cancelled while it waits, and while it runs, since the work is told of its progress by
calling `watch`, which then raises.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import Interrupted
from .refusals import Refused, refusal

MOST = 32  # that wait
State = Literal["waiting", "running", "done", "failed", "cancelled"]
Watch = Callable[[str, float], None]  # told what begins, and what share of all is done by then
Work = Callable[[Watch], Any]


@dataclass
class Progress:
    """How far a piece of work is; what it made is not kept here."""

    kind: str
    state: State = "waiting"
    step: str = ""
    done: float = 0.0
    error: str = ""


@dataclass(eq=False)
class Turn:
    """A piece of work in the queue; `future` gives what it made, or a `Refused`.

    `owner` is the job that is told of it, if any.
    """

    owner: str
    work: Work
    progress: Progress
    future: "Future[Any]" = field(default_factory=Future)
    stops: bool = False

    def watch(self, step: str, done: float) -> None:
        """Take note of progress; raises Interrupted where the turn was cancelled."""
        if self.stops:
            raise Interrupted("cancelled")
        self.progress.step, self.progress.done = step, done

    def settle(self, state: State, made: Any) -> None:
        """End with what was made, or with a refusal."""
        self.progress.state = state
        if isinstance(made, Refused):
            self.progress.error = str(made)
        self.future.set_result(made)

    def be_cancelled(self) -> None:
        """End with a refusal that says so."""
        text = f"{self.progress.kind} was cancelled; ask again for it"
        self.settle("cancelled", Refused(409, text, cancelled=True))


class Turns:
    """The queue and its thread; `name` is told where it is full."""

    def __init__(self, name: str, most: int = MOST) -> None:
        self.name, self.most = name, most
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._running: Turn | None = None
        self._latest: dict[str, Progress] = {}
        self._seconds = 1.0  # that the last one took
        self._open = True
        self._thread = threading.Thread(target=self._run, name=f"a2u {name}", daemon=True)
        self._thread.start()

    def take(self, owner: str, kind: str, work: Work, *, overtakes: bool = False) -> Turn:
        """Line up; with `overtakes`, what the same job waits for of this kind is refused as stale.

        Raises Refused where too many wait.
        """
        with self._changed:
            if overtakes:
                self._overtake(owner, kind)
            if not self._open:
                raise Refused(503, "the server is stopping; start it again")
            if len(self._waiting) >= self.most:
                raise Refused(
                    503,
                    f"{len(self._waiting)} requests wait for {self.name} already; ask again later",
                    retry=max(1, round(self._seconds * len(self._waiting))),
                )
            turn = Turn(owner, work, Progress(kind))
            self._waiting.append(turn)
            if owner:
                self._latest[owner] = turn.progress
            self._changed.notify()
            return turn

    def _overtake(self, owner: str, kind: str) -> None:
        for turn in [t for t in self._waiting if (t.owner, t.progress.kind) == (owner, kind)]:
            self._waiting.remove(turn)
            stale = Refused(409, "a later request overtook this one; see that", stale=True)
            turn.settle("cancelled", stale)

    def cancel(self, turn: Turn) -> None:
        """End a turn, whether it waits or runs."""
        with self._changed:
            turn.stops = True
            if turn in self._waiting:
                self._waiting.remove(turn)
                turn.be_cancelled()

    def cancel_all(self, owner: str) -> int:
        """End what waits and runs for a job; tell how many turns that were."""
        with self._changed:
            turns = [
                turn for turn in (*self._waiting, self._running) if turn and turn.owner == owner
            ]
            for turn in turns:
                self.cancel(turn)
        return len(turns)

    def latest(self, owner: str) -> tuple[Progress, int] | None:
        """Give how far a job's latest turn is, and how many are before it."""
        with self._changed:
            progress = self._latest.get(owner)
            if progress is None:
                return None
            line = [turn.progress for turn in (self._running, *self._waiting) if turn]
            return progress, next((n for n, p in enumerate(line) if p is progress), 0)

    @property
    def length(self) -> int:
        """Count what waits."""
        return len(self._waiting)

    def busy(self) -> set[str]:
        """Name the jobs that something waits or runs for."""
        with self._changed:
            return {turn.owner for turn in (*self._waiting, self._running) if turn}

    def forget(self, owner: str) -> None:
        """Cancel and forget a job's turns."""
        self.cancel_all(owner)
        with self._changed:
            self._latest.pop(owner, None)

    def close(self) -> None:
        """Take no more, and end all that waits and runs."""
        with self._changed:
            self._open = False
            for turn in (*self._waiting, self._running):
                if turn:
                    self.cancel(turn)
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end after `close`."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Do what is next; False where nothing is, and nothing will be. No turn is held after."""
        turn = self._next()
        if turn is None:
            return False
        begin = time.monotonic()
        self._do(turn)
        with self._changed:
            self._running, self._seconds = None, time.monotonic() - begin
        return True

    def _next(self) -> Turn | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._waiting:
                return None
            self._running = turn = self._waiting.popleft()
            turn.progress.state = "running"
            return turn

    def _do(self, turn: Turn) -> None:
        try:
            turn.watch("", 0.0)
            made = turn.work(turn.watch)
        except Interrupted:
            turn.be_cancelled()
        except Exception as error:  # of one request: the others go on
            turn.settle("failed", refusal(error))
        else:
            turn.progress.done = 1.0
            turn.settle("done", made)
