"""Kill `a2u` at random moments: python tests/kills.py [batch|ray|bucket|sequence|train]

Signals are SIGKILL, SIGTERM and SIGINT, at moments drawn from the whole life of the process, start
and writing included. After each, every file that is there must be whole; at the end the results
must equal, byte for byte, those of a run that nobody disturbed. On Ray a worker is killed first,
and what is compared with is a run without Ray.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import torch
from moving import moving
from s3_server import ENVIRONMENT, serving

from a2u_cli.images import read_image, write_image

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {-signal.SIGKILL, -signal.SIGTERM, 130, 143, 0}  # -SIGTERM: before Python listens


class Batch:
    """Matte a folder of small pictures."""

    size = 40, 60

    def __init__(self, root: Path, pictures: int) -> None:
        self.folder = root / "in"
        rng = np.random.default_rng(5)
        for number in range(pictures):
            write_image(self.folder / f"{number:03}.png", rng.random((*self.size, 3), np.float32))
            trimap = np.full(self.size, 128, np.uint8)
            trimap[:, :15], trimap[:, -15:] = 0, 255
            write_image(self.folder / f"{number:03}_trimap.png", trimap)

    def command(self, out: Path) -> list[str]:
        return ["batch", str(self.folder), "--save", "alpha,cutout", "-o", str(out)]

    def check(self, out: Path) -> None:
        """Read every result, and every line of the journal but a torn last one."""
        for path in out.rglob("*.png"):
            read_image(path)
        for path in out.glob("journal*.jsonl"):
            _read_lines(path)

    def hurt(self, process: "subprocess.Popen[bytes]", life: float) -> None:
        """Do what comes before the signal."""

    def contents(self, out: Path) -> dict[str, object]:
        return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.png")}


class Ray(Batch):
    """Matte a folder by two workers of Ray, one of which is killed."""

    size = 96, 96

    def command(self, out: Path) -> list[str]:
        on = [] if out.name == "whole" else ["--on", "ray"]
        words = ["batch", str(self.folder), "--quality", "fast", "-o", str(out)]
        return [*words, "--workers", "2", *on]

    def hurt(self, process: "subprocess.Popen[bytes]", life: float) -> None:
        """Kill an actor, and give the others time to go on."""
        deadline = time.monotonic() + life
        while not (actors := _actors(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if actors:
            os.kill(actors[0], signal.SIGKILL)
        time.sleep(0.2 * life)

    def contents(self, out: Path) -> dict[str, object]:
        lines = [line for path in out.glob("journal*.jsonl") for line in _read_lines(path)]
        done = [line["name"] for line in lines if line["state"] == "done"]
        print(f"{out.name}: {len(done)} lines of {len({*done})} pictures that are done")
        return super().contents(out)


class Bucket(Ray):
    """Do so from and to a bucket, of a server of S3 on this machine."""

    def __init__(self, root: Path, pictures: int) -> None:
        import s3fs

        super().__init__(root, pictures)
        self.open = ExitStack()  # for as long as this process lives
        server = self.open.enter_context(serving())
        os.environ.update(ENVIRONMENT | {"AWS_ENDPOINT_URL": server.url})
        self.files = s3fs.S3FileSystem(use_listings_cache=False)
        self.files.mkdir("bucket")
        self.files.put(f"{self.folder}/", "bucket/in/", recursive=True)

    def command(self, out: Path) -> list[str]:
        words = super().command(out)
        if out.name == "whole":
            return words
        places = {str(self.folder): "s3://bucket/in", str(out): f"s3://bucket/{out.name}"}
        return [places.get(word, word) for word in words]

    def check(self, out: Path) -> None:
        """Read every result."""
        for data in self._objects(out, ".png").values():
            read_image(data)

    def contents(self, out: Path) -> dict[str, object]:
        if out.name == "whole":
            return super().contents(out)
        lines = [
            json.loads(x)
            for d in self._objects(out, ".jsonl").values()
            for x in d.split(b"\n")
            if x
        ]
        done = [line["name"] for line in lines if line["state"] == "done"]
        print(f"{out.name}: {len(done)} lines of {len({*done})} pictures that are done")
        return dict(self._objects(out, ".png"))

    def _objects(self, out: Path, suffix: str) -> dict[str, bytes]:
        folder = f"bucket/{out.name}/"
        found = self.files.find(folder) if self.files.exists(folder) else []
        names = [name for name in found if name.endswith(suffix)]
        return {name.removeprefix(folder): self.files.cat_file(name) for name in names}


class Sequence(Batch):
    """Matte frames of 640x360, a key at every twelfth; one cut, and a gap."""

    def __init__(self, root: Path, pictures: int) -> None:
        self.folder = root / "in"
        shots = (
            moving(pictures // 2, speed=0.2),
            moving(pictures - pictures // 2, seed=5, speed=0.2),
        )
        for number, frame in enumerate((*shots[0], *shots[1])):
            name, size = f"{number:04}.png", (640, 360)
            if number == pictures // 4:
                continue
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR)
            write_image(self.folder / "frames" / name, image)
            if number % 12 == 0 or number == pictures // 2:
                trimap = cv2.resize(frame.trimap, size, interpolation=cv2.INTER_NEAREST)
                write_image(self.folder / "keys" / name, trimap)

    def command(self, out: Path) -> list[str]:
        frames, keys = str(self.folder / "frames"), str(self.folder / "keys")
        saved = ["--save", "alpha,cutout", "--save-trimaps"]
        return ["sequence", frames, "--trimaps", keys, *saved, "-o", str(out)]


class Train:
    """Train for so many steps, with a checkpoint at every second."""

    def __init__(self, root: Path, steps: int) -> None:
        self.steps = steps

    def command(self, out: Path) -> list[str]:
        options = ["--batch", "2", "--size", "32", "--save-every", "2"]
        return ["train", str(out), "--steps", str(self.steps), *options]

    def hurt(self, process: "subprocess.Popen[bytes]", life: float) -> None:
        """Do nothing: there is nobody else."""

    def check(self, out: Path) -> None:
        """Read the checkpoint, and every line of the curve but a torn last one."""
        _read_lines(out / "curve.jsonl")
        if (out / "checkpoint.pt").exists():
            torch.load(out / "checkpoint.pt", weights_only=True)

    def contents(self, out: Path) -> dict[str, object]:
        curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
        for line in curve:
            del line["seconds"]
        weights = (out / "weights.safetensors").read_bytes()
        return {"curve": curve, "weights": weights, "preview": (out / "preview.png").read_bytes()}


JOBS = {
    "batch": (Batch, 150),
    "ray": (Ray, 2000),
    "bucket": (Bucket, 2000),
    "sequence": (Sequence, 200),
    "train": (Train, 10),
}


def _read_lines(path: Path) -> list[dict[str, object]]:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line]


def _actors(session: int) -> list[int]:
    """List the processes of a run's actors."""
    text = subprocess.run(["ps", "-eo", "pid=,sess=,args="], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    return [int(pid) for pid, own, args in rows if int(own) == session and "MapWorker" in args]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS, nargs="?", default="batch")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amount", type=int, help="pictures, or steps")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    tally: Counter[str] = Counter()
    kind, amount = JOBS[given.job]
    amount = given.amount or amount
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        job = kind(root, amount)

        def command(out: Path) -> list[str]:
            return [sys.executable, "-m", "a2u_cli", *job.command(out), "--device", "cpu"]

        start = time.monotonic()
        subprocess.run(command(root / "whole"), check=True, capture_output=True)
        life = time.monotonic() - start
        expected, rounds = job.contents(root / "whole"), 0
        while sum(tally.values()) < given.kills:
            rounds += 1
            out = root / f"out{rounds}"
            while sum(tally.values()) < given.kills:
                process = subprocess.Popen(
                    command(out),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
                time.sleep(rng.uniform(0.2, 0.9) * life)
                job.hurt(process, life)
                sent = rng.choice(SIGNALS)
                process.send_signal(sent)
                text = process.communicate()[1].decode()
                if process.returncode not in CODES or "Traceback" in text:
                    print(f"{sent.name}: exit {process.returncode}\n{text}")
                    return 1
                job.check(out)
                if process.returncode == 0:
                    break  # it was done before the signal came
                tally[sent.name] += 1
                while _actors(process.pid):
                    time.sleep(0.2)
            subprocess.run(command(out), check=True, capture_output=True)
            if job.contents(out) != expected or list(out.rglob("*.part")):
                print(f"round {rounds}: the results are others")
                return 1
    what = {"sequence": "frames", "train": "steps"}.get(given.job, "pictures")
    print(f"{dict(tally)} in {rounds} rounds of {amount} {what}: nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
