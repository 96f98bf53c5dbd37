"""Damage files in every way, read them, and sort what happens: a seeded campaign.

    python tests/campaign.py --inputs 20000 --seed 0

Inputs are our own files of every kind, cut short, flipped, spliced, given absurd sizes, foreign
extensions, or replaced by folders, links to themselves, pipes and files that change while they are
read. Readers run in processes of their own, with bounds on time and memory. An input ends as a
`result`, as `refused` (one line and a documented exit code), or as a fault, which is a bug.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

SECONDS, MEMORY = 20.0, 2 << 30  # for one input, beyond what the process began with
EXIT_CODES = {1, 2, 3, 4}
MAX_PIXELS = 2_000_000
GOOD = ("result", "refused")
Rng = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """What became of an input: its number, reader, damage, state, and the words."""

    number: int
    reader: str
    damage: str
    state: str
    text: str = ""


# --- what is damaged -----------------------------------------------------------------------------


@cache
def pictures() -> dict[str, bytes]:
    """Make a small picture in every format and depth that is read."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (23, 31, 3), np.uint8)
    found = {}
    for name, mode, options in (
        ("png", "RGB", {}),
        ("png", "RGBA", {}),
        ("png", "L", {}),
        ("png", "P", {}),
        ("png", "1", {}),
        (
            "jpg",
            "RGB",
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        ),
        ("jpg", "CMYK", {}),
        ("tif", "RGB", {}),
        ("tif", "RGBA", {"compression": "tiff_lzw"}),
        ("tif", "RGB", {"compression": "tiff_adobe_deflate"}),
        ("webp", "RGBA", {"lossless": True}),
        ("avif", "RGB", {}),
        ("bmp", "RGB", {}),
        ("gif", "P", {}),
    ):
        buffer = io.BytesIO()
        kind = {"jpg": "jpeg", "tif": "tiff"}.get(name, name)
        Image.fromarray(colour).convert(mode).save(buffer, kind, **options)
        found[f"{len(found):02}-{mode}.{name}"] = buffer.getvalue()
    for suffix in ("png", "tiff"):
        deep = cv2.imencode(f".{suffix}", colour.astype(np.uint16) * 257)[1]
        found[f"{len(found):02}-16.{suffix}"] = deep.tobytes()
    return found


@cache
def weight_files() -> dict[str, bytes]:
    """Make files of weights: ours, cut down to a few tensors, and pickles as the authors write."""
    import torch
    from safetensors.torch import save

    tensors = {"stem.conv.weight": torch.zeros(4, 4), "head.norm.bias": torch.ones(3)}
    metadata = {"format": "a2u", "version": "1", "variant": "share", "sizes": "{}"}
    found = {"a.safetensors": save(tensors, metadata)}
    state = {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    for name, zipped in (("b.pth", True), ("c.pth", False)):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        found[name] = buffer.getvalue()
    from a2u_cli.weights import registry

    found["d.safetensors"] = registry.locate(registry.DEFAULT).read_bytes()
    return found


@cache
def texts() -> dict[str, bytes]:
    """Make a journal and a report."""
    entry = {
        "name": "a",
        "state": "done",
        "inputs": "x",
        "options": "y",
        "outputs": ["alpha/a.png"],
    }
    row = {"name": "a", "state": "scored", "sad": 1.0, "mse": 0.1, "grad": 2.0, "conn": 1.0}
    report = {
        "conventions": {"SAD": "x"},
        "counts": {"scored": 1},
        "rows": [row],
        "means": {"sad": 1.0},
    }
    return {
        "journal.jsonl": b"".join(json.dumps(entry | {"name": n}).encode() + b"\n" for n in "abc"),
        "report.json": json.dumps(report).encode(),
    }


# --- how ------------------------------------------------------------------------------------------


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def head_flipped(data: bytes, rng: Rng) -> bytes:
    head = min(len(data), 64)
    return flipped(data[:head], rng) + data[head:]


def spliced(data: bytes, rng: Rng) -> bytes:
    """Begin as one file and go on as another."""
    others = [*pictures().values(), *weight_files().values(), *texts().values()]
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(1, 80))] + other[int(rng.integers(len(other))) :]


def blanked(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 200))
    return data[:start] + bytes([int(rng.choice([0, 255]))]) * length + data[start + length :]


def repeated(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    part = data[start : start + int(rng.integers(1, 100))]
    return data[:start] + part * int(rng.integers(2, 50)) + data[start:]


def random_bytes(data: bytes, rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(0, 300)))


def absurd(data: bytes, rng: Rng) -> bytes:
    """Claim an enormous size, with right check sums where the format has any."""
    side = int(rng.choice([0, 1, 60_000, 2**16 - 1, 2**31 - 1, 2**32 - 1]))
    other = int(rng.choice([1, 60_000, 2**31 - 1]))
    if data.startswith(b"\x89PNG"):
        head = struct.pack(">II", side, other) + data[24:29]
        return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<II", side, other) + data[26:]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", side & 0xFFFF, other & 0xFFFF) + data[10:]
    at = data.find(b"\xff\xc0")
    if at >= 0:
        size = struct.pack(">HH", side & 0xFFFF, other & 0xFFFF)
        return data[: at + 5] + size + data[at + 9 :]
    if data[:1].isalnum() or len(data) < 16:
        return blanked(data, rng)
    return struct.pack("<Q", side * other) + data[8:]  # safetensors: the header's length


def nested(data: bytes, rng: Rng) -> bytes:
    """JSON of a depth that no parser's stack takes, or of a number that none can hold."""
    deep = int(rng.choice([100, 5_000, 200_000]))
    return bytes(rng.choice([b"[", b'{"a":'])) * deep if rng.random() < 0.7 else b"9" * deep


DAMAGES: dict[str, Callable[[bytes, Rng], bytes]] = {
    "whole": lambda data, rng: data,
    "truncated": truncated,
    "flipped": flipped,
    "head flipped": head_flipped,
    "spliced": spliced,
    "blanked": blanked,
    "repeated": repeated,
    "random": random_bytes,
    "absurd size": absurd,
}
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
    from a2u_cli.jobs.options import Options

    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    place = folder / "journal.jsonl"
    if path.is_file():
        place.write_bytes(path.read_bytes()[: 10 << 20])
    journal = Journal(folder)
    return [journal.holds(name, "x", Options()) for name in "abc"]


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
                found: Outcome = self.connection.recv()
                return found
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
