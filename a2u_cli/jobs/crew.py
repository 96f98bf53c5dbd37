"""Worker processes, each of which does one thing at a time; one that dies is replaced.

A pool of `concurrent.futures` breaks as a whole when one of its processes is ended, and cannot tell
whose work that was; here the others go on. A worker writes nothing and does not hear Ctrl-C, from
its birth on: it would tell of it at length. It ends when its parent says so, or ends itself.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from ..errors import OutOfMemory

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
PATIENCE = 5.0  # seconds for a process to be gone
AHEAD = 2  # things begun for each worker: one is read or written while another is made
Setup = Callable[[], object] | None
What = ParamSpec("What")
Thing = TypeVar("Thing")
Result = TypeVar("Result")


class WorkerDied(OutOfMemory):
    """A worker was ended from outside."""


class Closed(Exception):
    """The crew is sent home: nobody waits for what is under way."""


class Crew:
    """As many workers as there are `setups`: what each does, in its process, before all else.

    They are born when they are first called upon, in the threads of `each`, and end with that.
    """

    def __init__(self, setups: Sequence[Setup]) -> None:
        self.size = len(setups)
        self._idle = SimpleQueue[tuple[Setup, _Worker | None]]()
        for setup in setups:
            self._idle.put((setup, None))
        self._lock, self._alive, self._closed = threading.Lock(), set[_Worker](), False

    def each(self, action: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
        """Act on thing after thing, in threads that may `call`, and give the results in order.

        Once this is left, the crew is sent home.
        """
        flying, most = deque[Future[Result]](), AHEAD * self.size
        resource_tracker.ensure_running()  # here: its start lets signals through to its thread
        with ThreadPoolExecutor(most, initializer=_block_signals) as threads:
            try:
                for thing in things:
                    flying.append(threads.submit(action, thing))
                    if len(flying) >= most:
                        yield flying.popleft().result()
                while flying:
                    yield flying.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                self._close()  # nobody waits for what is under way

    def call(
        self, function: Callable[What, Result], *args: What.args, **options: What.kwargs
    ) -> Result:
        """Let the next idle worker call a function, and wait for what it gives or raises.

        Raises WorkerDied where the worker is ended meanwhile, Closed where all are.
        """
        setup, worker = self._idle.get()
        try:
            worker = worker or self._begin(setup)
            answered, result = worker.ask(function, args, options)
        except (EOFError, OSError) as error:
            ended, worker = worker, None
            raise self._tell(ended) from error
        finally:
            self._idle.put((setup, worker))
        if not answered:
            raise result
        return result  # type: ignore[no-any-return]

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            for worker in self._alive:
                worker.end()

    def _begin(self, setup: Setup) -> "_Worker":
        with self._lock:
            if self._closed:
                raise Closed
            worker = _Worker(setup)
            self._alive.add(worker)
            return worker

    def _tell(self, worker: "_Worker | None") -> Exception:
        with self._lock:
            if self._closed:
                return Closed()
            how = "could not be started"
            if worker:
                self._alive.discard(worker)
                worker.process.join(PATIENCE)  # else it would seem to be ended by us
                worker.end()
                how = f"was ended from outside ({_describe(worker.process.exitcode)})"
            return WorkerDied(
                f"a worker process {how}, as systems do that lack memory; run the same command "
                "with fewer workers, what is done is kept"
            )


class _Worker:
    def __init__(self, setup: Setup) -> None:
        self.connection, theirs = SPAWN.Pipe()
        with theirs:
            self.process = SPAWN.Process(target=_serve, args=(theirs, setup), daemon=True)
            self.process.start()

    def ask(self, *what: object) -> tuple[bool, Any]:
        """Give what a function gives or raises; raises EOFError or OSError where it ends."""
        self.connection.send(what)
        return self.connection.recv()  # type: ignore[no-any-return]

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def _describe(code: int | None) -> str:
    return f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"


def _block_signals() -> None:
    """Keep signals from this thread, and so from the processes that are born of it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _serve(connection: Connection, setup: Setup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ready = False
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            function, args, options = connection.recv()
            try:
                if setup and not ready:
                    setup()
                    ready = True
                answer = True, function(*args, **options)
            except Exception as error:
                answer = False, error
            connection.send(answer)
            del function, args, options, answer  # else it would stay until the next is there


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
