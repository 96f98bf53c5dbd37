"""Try folders as people have them: python tests/folder_campaign.py --folders 2000 --seed 0

Each folder is drawn from its number: a shape, oddities, a command with options, and what happens
between two runs or in the middle of one. After every run the disk, the exit code, the words and the
journal are compared with what `folder_model` says. The network is replaced by a mean: what is
tested are files. Kills come at drawn moments: after so many operations on files, or milliseconds.
"""

import argparse
import contextlib
import copy
import gc
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # pools survive no fork

import cv2
import numpy as np
import typer
from folder_events import FIRST, LATER
from folder_model import expect
from folder_scores import score
from folder_shapes import SHAPES, draw
from folder_world import Command, Content, Expected, Refused, World, lay

from a2u_cli import __main__ as program
from a2u_cli import cli
from a2u_cli.commands import batch
from a2u_cli.commands.terminal import plain
from a2u_cli.matting.planning import Plan
from a2u_cli.matting.runtime import Runtime

WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}
COUNTS = re.compile(r"(\d+) (done|skipped|failed|without a trimap|left out)")
KEPT = re.compile(r"(journal.*\.jsonl|\..*\.lock)")  # what a run keeps in its output folder
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
STOPPED = {*(-number for number in SIGNALS), 130, 143}
Seen = tuple[object, ...]  # of a file: its hash, time and mode; of a link: where it leads


# --- one command ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stop:
    """A signal after so many operations on files, or after so many seconds."""

    number: int
    after: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it printed, and operations and seconds it took."""

    code: int
    text: str
    operations: int
    seconds: float


class Started:
    """A command in a process of its own, forked from this one where all is imported already."""

    def __init__(self, root: Path, arguments: list[str], stop: Stop | None = None) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self.begun, self.stop = time.monotonic(), stop
        self.pid = os.fork()
        if not self.pid:
            try:
                self._be(root, arguments)
            finally:  # whatever signal came in its last moment
                os._exit(130)

    def _be(self, root: Path, arguments: list[str]) -> None:
        code, operations = 99, 0

        def watch(event: str, _: object) -> None:
            nonlocal operations
            if event in WATCHED:
                operations += 1
                if self.stop and operations == self.stop.after:
                    os.kill(os.getpid(), self.stop.number)

        try:
            for descriptor in (1, 2):
                os.dup2(self.output.fileno(), descriptor)
            os.chdir(root)
            sys.argv = ["a2u", *arguments]
            sys.addaudithook(watch)
            program.main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(2, b"\n%d" % operations)
            os._exit(code)

    def end(self) -> Ended:
        """Wait for its end, or see to it."""
        if self.stop and self.stop.seconds:
            time.sleep(self.stop.seconds)
            os.kill(self.pid, self.stop.number)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        seconds = time.monotonic() - self.begun
        self.output.seek(0)
        text, _, count = os.fsdecode(self.output.read()).rpartition("\n")
        self.output.close()
        return Ended(code, text, int(count) if count.isdigit() else 0, seconds)


class Mean(Runtime):
    """What is unknown becomes the mean of the picture's colours, in the network's place."""

    weights, path, sha256, licence, suited = "mean", Path("mean"), "0" * 64, "cc0", ""
    quality, max_memory, dtype_name, threads = "fast", None, "float32", 1
    device = SimpleNamespace(type="cpu")

    def __init__(self, *_: object, **__: object) -> None:
        """Take what weights are opened with."""

    def _matte(self, image: np.ndarray, trimap: np.ndarray, *_: object) -> np.ndarray:
        known = trimap / np.float32(255)
        return np.where(trimap == 128, image.mean(2), known).astype(np.float32)

    def plan(self, *_: object, **__: object) -> Plan:
        raise NotImplementedError

    def decoded_share(self, _: object) -> float:
        raise NotImplementedError

    def budget(self) -> int:
        raise NotImplementedError


def prepare(folder: Path) -> None:
    """Put a mean in the network's place, and run all once here: so children need import nothing."""
    cv2.setNumThreads(0)
    cli.app = typer.main.get_command(cli.app)  # once: else it takes half of a child's time
    batch.load_runtime = Mean  # type: ignore[assignment]
    os.fsync = lambda _: None  # type: ignore[assignment]  # of power cuts this knows nothing
    for path, content in {"in/a": "photo#1.png", "in/a_trimap": "trimap#1.png"}.items():
        lay(folder, f"{path}.png", content)
    pictures, mattes = str(folder / "in"), str(folder / "in" / "a2u_output" / "alpha")
    batched = ("batch", pictures, "--save", "alpha,composite")
    for words in (batched, ("cutout", pictures), ("eval", mattes, "--gt", pictures)):
        sys.argv = ["a2u", *words]
        quiet = io.StringIO()
        with (
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
            contextlib.suppress(SystemExit),
        ):
            cli.main()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # in a child, until it listens
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    gc.freeze()  # else each child would copy what its collector looks at


# --- comparing ------------------------------------------------------------------------------------


@dataclass
class Trial:
    """A folder on disk, what the model holds of it, and what has disagreed."""

    root: Path
    world: World
    hashes: dict[Content, str] = field(default_factory=dict)  # of results, as first seen
    faults: list[str] = field(default_factory=list)

    def seen(self) -> dict[str, Seen]:
        """Take down every file and link."""
        found: dict[str, Seen] = {}
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            for name in [*files, *(name for name in folders if (here / name).is_symlink())]:
                path = here / name
                status = path.lstat()
                key = path.relative_to(self.root).as_posix()
                if path.is_symlink():
                    found[key] = (str(path.readlink()),)
                else:
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    found[key] = (digest, status.st_mtime_ns, status.st_mode)
        return found

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.faults.append(text)

    def expect(self, command: Command) -> Expected:
        """Ask the model; where the command is refused nothing may happen."""
        try:
            return (score if command.name == "eval" else expect)(self.world, command)
        except Refused as refused:
            return Expected(code=2, refused=str(refused))

    def check(
        self, command: Command, runs: Callable[[], list[Ended]], *, stopped: bool = False
    ) -> list[Ended]:
        """Run something and compare: all of what must become, or, if `stopped`, a part of it."""
        expected, before = self.expect(command), self.seen()
        ended = runs()
        after, whole = self.seen(), not stopped
        killed = stopped and ended[0].code < 0
        written = {self.world.real(place): made for place, made in expected.writes.items()}
        out = self.world.real(command.out)
        for path in sorted(before.keys() | after.keys()):
            folder, _, name = path.rpartition("/")
            is_own = self.world.real(folder) == out and KEPT.fullmatch(name)
            if path in written or before.get(path) == after.get(path) or is_own:
                continue
            swept = name.startswith(".a2u-") and name.endswith(".part") and path not in after
            if not swept:
                self.require(killed and name.endswith(".part"), f"{path} was changed or removed")
        for path, content in written.items():
            self._check_result(path, content, before.get(path), after.get(path), whole=whole)
        for one in ended:
            self.require("Traceback" not in one.text and "unexpected" not in one.text, one.text)
        single = before if command.name == "eval" else {}  # of single files a kill leaves its part
        left = [path for path in after if path.endswith(".part") and path not in single]
        self.require(killed or not left, f"left behind: {left}")
        if whole and command.name == "eval":
            self._check_scores(expected, *ended)
        elif whole:
            self._check_words(command, expected, ended)
        if whole and command.name != "eval":
            self._check_journal(out, expected, after)
        if stopped:
            self.require(
                ended[0].code in {*STOPPED, expected.code},
                f"exit code {ended[0].code}: {ended[0].text}",
            )
        held = self._held(out)
        for place, content in expected.writes.items():
            path, digest = self.world.real(place), self.hashes.get(content)
            if after.get(path, ("",))[0] == digest:
                self.world.files[path] = content
            if (place.removeprefix(f"{out}/"), digest) in held:
                self.world.known.setdefault(out, {}).setdefault(place, set()).add(content)
        return ended

    def _check_result(
        self, path: str, content: Content, before: Seen | None, after: Seen | None, *, whole: bool
    ) -> None:
        """Hold a result to be there, the same bytes whenever it is made of the same."""
        if not whole and before == after:
            return
        if after is None or before == after:
            self.faults.append(f"{path} was not made")
            return
        digest = self.hashes.setdefault(content, str(after[0]))
        self.require(after[0] == digest, f"{path} has other bytes than a run without disturbance")
        self.require(before is None or before[2:] == after[2:], f"{path} has another mode")

    def _check_words(self, command: Command, expected: Expected, ended: list[Ended]) -> None:
        """Hold exit codes, counts and names to account for every picture."""
        text = "".join(one.text for one in ended)
        codes = [one.code for one in ended]
        wanted_code = f"{expected.code} {expected.refused}"
        self.require(max(codes) == expected.code, f"exit code {codes}, expected {wanted_code}")
        if expected.refused:
            self.require(all(re.search(expected.refused, one.text) for one in ended), text)
            return
        tally: Counter[str] = Counter()
        for one in ended:
            for count, state in COUNTS.findall(one.text.rstrip().rpartition("\n")[2]):
                tally["done" if state == "done" else "rest" if state != "skipped" else state] += (
                    int(count)
                )
        wanted = (len(expected.done), len(expected.skipped), len(expected.failed + expected.named))
        found = (tally["done"], tally["skipped"], tally["rest"])
        self.require(found == wanted, f"done, skipped, not done: {found}, expected {wanted}")
        lines = [f": {command.folder}/{path}" for path in expected.named]
        for line in [
            *(lines if len(lines) <= 10 else []),
            *(f"failed: {n}: " for n in expected.failed),
        ]:
            shown = plain(line).encode(errors="backslashreplace").decode()
            self.require(shown in text, f"nothing was said of {line!r}")

    def _check_scores(self, expected: Expected, ended: Ended) -> None:
        """Hold the exit code, the counts and the names of `eval` to account for every file."""
        wanted = f"exit code {ended.code}, expected {expected.code} {expected.refused}"
        self.require(ended.code == expected.code, f"{wanted}: {ended.text}")
        said = re.search(expected.refused, ended.text)
        self.require(bool(said), f"{ended.text}: expected {expected.refused!r}")
        counts = re.findall(r"^\d+ scored, .*$", ended.text, re.M)[-1:]
        found = Counter({w: int(n) for n, w in re.findall(r"(\d+) ([^,]+)", ", ".join(counts))})
        self.require(+found == +expected.states, f"found {found}, expected {expected.states}")
        for line in expected.told if max(expected.states.values(), default=0) <= 10 else ():
            shown = plain(line).encode(errors="backslashreplace").decode()
            self.require(shown in ended.text, f"nothing was said of {line!r}")

    def _check_journal(self, out: str, expected: Expected, after: dict[str, Seen]) -> None:
        """Hold the journal to name every result with its hash."""
        held = self._held(out) if expected.writes else set()
        for place in expected.writes:
            digest = after.get(self.world.real(place), ("",))[0]
            inner = place.removeprefix(f"{out}/")
            self.require((inner, digest) in held, f"the journal does not hold {place} as it is")

    def _held(self, out: str) -> set[tuple[str, object]]:
        """Read an output folder's journals: places, each with a hash."""
        held = set()
        for path in (self.root / out).glob("journal*.jsonl"):
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a kill tears a line
                    outputs = json.loads(line)["outputs"]
                    held |= {(place, facts["sha256"]) for place, facts in outputs.items()}
        return held


def _count(ended: Ended) -> Counter[str]:
    """Read the counts of a command's last line."""
    last = ended.text.rstrip().rpartition("\n")[2]
    return Counter({state: int(count) for count, state in COUNTS.findall(last)})


# --- ways to run a command ------------------------------------------------------------------------


def once(trial: Trial, command: Command, *more: str, stop: Stop | None = None) -> Ended:
    return Started(trial.root, [*command.arguments(), *more], stop).end()


def undisturbed(trial: Trial, command: Command, _rng: random.Random) -> None:
    trial.check(command, lambda: [once(trial, command)])


def stopped(trial: Trial, command: Command, rng: random.Random) -> None:
    """Run in a copy, stop the same run at a drawn moment, and run it again."""
    twin = Trial(trial.root.with_name("twin"), copy.deepcopy(trial.world), trial.hashes)
    shutil.copytree(trial.root, twin.root, symlinks=True)
    (whole,) = twin.check(command, lambda: [once(twin, command)])
    shutil.rmtree(twin.root)
    trial.faults += twin.faults
    after = rng.randint(1, max(1, whole.operations)) if rng.random() < 0.5 else 0
    seconds = 0 if after else rng.uniform(0.001, whole.seconds)
    stop = Stop(rng.choice(SIGNALS), after, seconds)
    trial.check(command, lambda: [once(trial, command, stop=stop)], stopped=True)
    undisturbed(trial, command, rng)


def in_shards(trial: Trial, command: Command, _rng: random.Random) -> None:
    def both() -> list[Ended]:
        words = [[*command.arguments(), "--shard", f"{part}/2"] for part in (1, 2)]
        started = [Started(trial.root, arguments) for arguments in words]
        return [one.end() for one in started]

    trial.check(command, both)


def twice_at_once(trial: Trial, command: Command, _rng: random.Random) -> None:
    """Run twice at the same time: one does it, the other says so, or finds it done."""

    def both() -> list[Ended]:
        started = [Started(trial.root, command.arguments()) for _ in range(2)]
        ended = [one.end() for one in started]
        busy = [one for one in ended if "another run is at work" in one.text and one.code == 2]
        able = [one for one in ended if one not in busy] or ended
        return sorted(able, key=lambda one: -_count(one)["done"])[:1]  # the other found it done

    trial.check(command, both)


def until_one_fails(trial: Trial, command: Command, rng: random.Random) -> None:
    trial.check(command, lambda: [once(trial, command, "--fail-fast")], stopped=True)
    undisturbed(trial, command, rng)


Way = Callable[[Trial, Command, random.Random], None]
WAYS: tuple[Way, ...] = (undisturbed,) * 9 + (stopped,) * 4 + (twice_at_once,)
OF_BATCH: tuple[Way, ...] = (*WAYS, in_shards, in_shards, until_one_fails)
OF_EVAL: tuple[Way, ...] = (*(undisturbed,) * 4, stopped)


# --- the campaign ---------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was tried, and the faults with what reproduces them."""

    shapes: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def play(number: int, seed: int, root: Path, tally: Tally) -> None:
    """Draw the folder of a number, and let happen to it what its number says."""
    rng = random.Random(f"{seed}-{number}")
    shape, world, command = draw(rng)
    trial = Trial(root, world)
    for path, content in world.files.items():
        lay(root, path, content)
    tally.shapes[shape] += 1
    for turn in range(rng.randint(2, 3)):
        event = rng.choice(LATER if turn else FIRST) if turn or rng.random() < 0.25 else None
        following = event(trial, command, rng) if event else command
        command, name = (following, event.__name__) if following and event else (command, "again")
        ways = {"batch": OF_BATCH, "eval": OF_EVAL}.get(command.name, WAYS)
        way = rng.choice(ways)
        tally.commands[command.name] += 1
        tally.events[name if turn or event else "first"] += 1
        tally.ways[way.__name__] += 1
        way(trial, command, rng)
        if trial.faults:
            words = " ".join(command.arguments())
            about = f"folder {number} of seed {seed}, {shape}, turn {turn}, {name}, {way.__name__}"
            tally.faults.append("\n    ".join([f"{about}: a2u {words}", *trial.faults]))
            return
        command = replace(command, force=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shape", choices=[*SHAPES], help="Draw folders of this shape alone.")
    parser.add_argument("--keep", type=Path, help="Keep the folders that disagree there.")
    given = parser.parse_args()
    for name in {*SHAPES} - {given.shape} if given.shape else ():
        del SHAPES[name]
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
    begun, tally = time.monotonic(), Tally()
    for number in range(given.first, given.first + given.folders):
        with tempfile.TemporaryDirectory() as name:
            found = len(tally.faults)
            play(number, given.seed, Path(name, "root"), tally)
            for fault in tally.faults[found:]:
                print(fault.encode(errors="backslashreplace").decode(), flush=True)
            if given.keep and len(tally.faults) > found:
                shutil.copytree(name, given.keep / str(number), symlinks=True, dirs_exist_ok=True)
    for what in ("shapes", "commands", "events", "ways"):
        counts: Counter[str] = getattr(tally, what)
        print(f"{what}: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    print(
        f"{given.folders} folders, {len(tally.faults)} disagree, {time.monotonic() - begun:.0f} s"
    )
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
