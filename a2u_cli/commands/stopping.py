"""Ctrl-C and SIGTERM, from a process's first moment to its last: they end it in order, in a line.

The first raises `Interrupted`, so that what is half-written is removed on the way up; from then on
another ends the process at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from ..errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
KILLED = 128  # what shells add to a signal's number: 130 for Ctrl-C, 143 for SIGTERM
SOON = 0.05  # seconds
# What leaves traces when it is broken off: an import, a worker's birth until its pool knows of it,
# a thread's, the process's own last step; and what takes the interruption for a damaged file:
# tensors being read. By the ends of files, and functions there.
UNTIMELY = (
    ("<frozen importlib._bootstrap>", ""),
    ("<frozen importlib._bootstrap_external>", ""),
    ("popen_spawn_posix.py", ""),
    ("/multiprocessing/process.py", "start"),
    ("/threading.py", "start"),
    ("/safetensors/torch.py", "load_file"),
    ("/commands/stopping.py", "deafen"),
)


def listen() -> None:
    """Let both signals end this process in order."""
    _hand_to(_stop)
    sys.unraisablehook = partial(_hear_again, sys.unraisablehook)


def deafen() -> None:
    """Let both signals end this process at once: there is nothing left to put in order."""
    _hand_to(_end)


def _hand_to(handler: "signal._HANDLER") -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    if _is_untimely(frame):
        _send_soon(number)
        return
    deafen()
    how = "interrupted" if number == signal.SIGINT else "terminated"
    raise Interrupted(
        f"{how}; nothing half-written is left, run the command again to go on", KILLED + number
    )


def _send_soon(number: int) -> None:
    again = threading.Timer(SOON, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _hear_again(tell: Callable[[Any], object], lost: "sys.UnraisableHookArgs") -> None:
    """Let a signal come again that was heard where Python passes errors by, as in a `__del__`."""
    if not isinstance(lost.exc_value, Interrupted):
        tell(lost)
        return
    _hand_to(_stop)
    _send_soon(lost.exc_value.exit_code - KILLED)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(KILLED + number)


def _is_untimely(frame: FrameType | None) -> bool:
    """Tell whether something is under way that must not be broken off."""
    while frame is not None:
        file, function = frame.f_code.co_filename.replace(os.sep, "/"), frame.f_code.co_name
        if any(file.endswith(end) and name in ("", function) for end, name in UNTIMELY):
            return True
        frame = frame.f_back
    return False
