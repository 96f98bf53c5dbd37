"""Damage files in every way, read them, and sort what happens: a seeded campaign.

    python tests/campaign.py --inputs 20000 --seed 0

Inputs are our own files of every kind, cut short, flipped, spliced, given absurd sizes, foreign
extensions, or replaced by folders, links to themselves, pipes and files that change while they are
read. Readers run in processes of their own, with bounds on time and memory. An input ends as a
`result`, as `refused` (one line and a documented exit code), or as a fault, which is a bug.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from damage import DAMAGES, Rng, nested, pictures, texts, weight_files

SECONDS, MEMORY = 20.0, 2 << 30  # for one input, beyond what the process began with
EXIT_CODES = {1, 2, 3, 4}
MAX_PIXELS = 2_000_000
GOOD = ("result", "refused")


@dataclass(frozen=True)
class Outcome:
    """What became of an input: its number, reader, damage, state, and the words."""

    number: int
    reader: str
    damage: str
    state: str
    text: str = ""


PLACES = ("folder", "link to itself", "pipe", "missing", "device", "growing", "shrinking")
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".exr", ".heic", ".txt", "")


# --- what reads -----------------------------------------------------------------------------------


def read_picture(path: Path) -> object:
    from a2u_cli import images

    picture = images.read_image(path, max_pixels=MAX_PIXELS)
    assert picture.image.ndim == 3
    assert np.isfinite(picture.image).all()
    assert 0 <= picture.image.min() <= picture.image.max() <= 1
    return picture.size


def read_trimap(path: Path) -> object:
    from a2u_cli import images, trimap

    parsed = trimap.parse_trimap(images.read_grey(path, max_pixels=MAX_PIXELS), name=path.name)
    assert set(np.unique(parsed)) <= {0, 128, 255}
    return parsed.shape


def read_size(path: Path) -> object:
    from a2u_cli import images

    return images.picture_size(path)


def load_weights(path: Path) -> object:
    from a2u_cli.weights import load_model

    return load_model(path)


def import_weights(path: Path) -> object:
    from a2u_cli.weights import import_file

    os.environ["A2U_CACHE"] = str(path.parent / "cache")
    return import_file(path, name="fuzzed", force=True)


def read_journal(path: Path) -> object:
    from a2u_cli.jobs.journal import Journal

    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    place = folder / "journal.jsonl"
    if path.is_file():
        place.write_bytes(path.read_bytes()[: 10 << 20])
    journal = Journal(folder)
    return [journal.state(folder / name, "x") for name in "abc"]


def read_report(path: Path) -> object:
    from a2u_cli.scoring.comparison import compare, read_other

    return compare([], read_other(path), "sad")


READERS: dict[str, tuple[Callable[[Path], object], Callable[[], dict[str, bytes]]]] = {
    "picture": (read_picture, pictures),
    "trimap": (read_trimap, pictures),
    "size": (read_size, pictures),
    "weights": (load_weights, weight_files),
    "import": (import_weights, weight_files),
    "journal": (read_journal, texts),
    "report": (read_report, texts),
}
SHARES = (0.35, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1)


# --- one input ------------------------------------------------------------------------------------


def attempt(number: int, seed: int, folder: Path) -> Outcome:
    """Make the input of a number, read it, and say what happened."""
    rng = np.random.default_rng((seed, number))
    reader = str(rng.choice(list(READERS), p=SHARES))
    read, sources = READERS[reader]
    names = sorted(sources())
    name = names[int(rng.integers(len(names)))]
    data = sources()[name]
    suffix = Path(name).suffix if rng.random() < 0.85 else str(rng.choice(SUFFIXES))
    path = folder / f"input{number}{suffix}"
    helper: threading.Thread | None = None
    if rng.random() < 0.05:
        damage = str(rng.choice(PLACES))
        path, helper = _odd_place(damage, path, data, rng)
    else:
        damages = dict(DAMAGES)
        if sources is texts:
            damages["nested"] = nested
        damage = str(rng.choice(list(damages)))
        path.write_bytes(damages[damage](data, rng))
    state, text = judge(partial(read, path))
    if helper:
        helper.join()
    return Outcome(number, reader, damage, state, text)


def _odd_place(
    damage: str, path: Path, data: bytes, rng: Rng
) -> tuple[Path, threading.Thread | None]:
    if damage == "folder":
        path.mkdir()
    elif damage == "link to itself":
        path.symlink_to(path)
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage == "device":
        return Path(str(rng.choice(["/dev/null", "/dev/zero"]))), None
    elif damage in ("growing", "shrinking"):
        path.write_bytes(data)
        sizes = [int(s) for s in rng.integers(0, 2 * len(data), 40)]

        def change() -> None:
            for size in sizes:
                if damage == "growing":
                    with path.open("ab") as file:
                        file.write(data[:size])
                else:
                    os.truncate(path, size % len(data))

        helper = threading.Thread(target=change)
        helper.start()
        return path, helper
    return path, None


def judge(read: Callable[[], object]) -> tuple[str, str]:
    """Run a reader as the command line would, and sort its end."""
    from a2u_cli.errors import A2UError

    try:
        read()
    except A2UError as error:
        text = str(error)
        if error.exit_code not in EXIT_CODES:
            return "wrong exit code", f"{error.exit_code}: {text}"
        if not text.strip() or len(text) > 20_000:
            return "no clear line", text[:200]
        return "refused", text[:200]
    except MemoryError:
        return "out of memory", ""  # the command line says so in one line, with exit code 4
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    return "result", ""


def serve(connection: Connection, seed: int, folder: Path) -> None:
    """Answer numbers with outcomes, within a bound on memory."""
    import torch  # before memory is counted

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pictures(), weight_files(), texts()
    judge(partial(load_weights, folder / "missing"))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    while (number := connection.recv()) is not None:
        connection.send(attempt(number, seed, folder))


class Worker:
    """A process that reads inputs, replaced when it hangs or dies."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self._start()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(
            target=serve, args=(theirs, self.seed, self.folder), daemon=True
        )
        self.process.start()
        theirs.close()

    def run(self, number: int) -> Outcome:
        self.connection.send(number)
        try:
            if self.connection.poll(SECONDS + 60 * (number == 0)):
                outcome: Outcome = self.connection.recv()
                return outcome
            state = "hang"
        except (EOFError, ConnectionError):
            state = "crash"
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        self._start()
        return Outcome(number, "?", "?", state, f"exit {code}")

    def close(self) -> None:
        self.connection.send(None)
        self.process.join(10)


def campaign(inputs: int, seed: int, folder: Path, *, first: int = 0) -> list[Outcome]:
    """Read so many inputs, beginning at a number, in one process after the other."""
    worker = Worker(seed, folder)
    outcomes = []
    for number in range(first, first + inputs):
        outcomes.append(worker.run(number))
        for left in folder.glob(f"input{number}*"):
            left.rmdir() if left.is_dir() and not left.is_symlink() else left.unlink()
    worker.close()
    return outcomes


def summary(outcomes: list[Outcome]) -> str:
    """Count the states of every reader, and list the faults."""
    lines = []
    for reader in (*READERS, "?"):
        tally = Counter(o.state for o in outcomes if o.reader == reader)
        if tally:
            counts = ", ".join(f"{count} {state}" for state, count in tally.most_common())
            lines.append(f"{reader}: {counts}")
    faults = [o for o in outcomes if o.state not in GOOD]
    lines.append(f"{len(outcomes)} inputs, {len(faults)} faults")
    lines += [f"  {o.number} {o.reader} {o.damage}: {o.state}: {o.text}" for o in faults[:40]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    given: Any = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = campaign(given.inputs, given.seed, Path(folder), first=given.first)
    print(summary(outcomes))
    print(f"{time.monotonic() - start:.0f} s")
    sys.exit(any(outcome.state not in GOOD for outcome in outcomes))


if __name__ == "__main__":
    main()
