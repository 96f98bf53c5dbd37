"""What happens to a folder of the folder campaign between two runs: each gives the next command."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from folder_model import MASK, TRIMAP
from folder_shapes import shaping
from folder_world import EMPTY, Command, Expected, World, is_read, lay

Rng = random.Random


class Trial(Protocol):
    """A folder on disk, and what the model holds of it."""

    root: Path
    world: World

    def expect(self, command: Command) -> Expected: ...


Event = Callable[[Trial, Command, Rng], Command | None]  # None where it cannot happen


def put(trial: Trial, path: str, content: str) -> None:
    """Lay a content, on disk and in words, through links."""
    path = path if content[:3] == "-> " else trial.world.real(path)
    trial.world.files[path] = content
    lay(trial.root, path, content)


def results(trial: Trial, command: Command) -> list[str]:
    """List the results that are there of a command's runs."""
    places = trial.world.known.get(trial.world.real(command.out), {})
    return sorted(place for place in places if place in trial.world.files)


def inputs(trial: Trial, command: Command, *kinds: str) -> list[str]:
    """List the files of a kind that nobody has written here."""
    files = trial.world.files
    words = [path for path, content in files.items() if isinstance(content, str) and is_read(path)]
    return sorted(path for path in words if files[path].split("#")[0] in kinds)


def again(_trial: Trial, command: Command, _rng: Rng) -> Command:
    return command


def more_saved(_trial: Trial, command: Command, rng: Rng) -> Command | None:
    rest = {"alpha", "cutout", "foreground", "composite"} - {*command.save}
    if command.name != "batch" or not rest:
        return None
    return replace(command, save=(*command.save, *rng.sample(sorted(rest), 1)))


def other_options(_trial: Trial, command: Command, rng: Rng) -> Command:
    return replace(command, **shaping(command, rng))


def forced(_trial: Trial, command: Command, _rng: Rng) -> Command:
    return replace(command, force=True)


def result_mended(trial: Trial, command: Command, rng: Rng) -> Command | None:
    return _result_becomes(trial, command, rng, f"mask#{rng.randrange(200, 250)}.png")


def result_emptied(trial: Trial, command: Command, rng: Rng) -> Command | None:
    return _result_becomes(trial, command, rng, EMPTY)


def _result_becomes(trial: Trial, command: Command, rng: Rng, content: str) -> Command | None:
    if not (places := results(trial, command)):
        return None
    put(trial, rng.choice(places), content)
    return command


def result_deleted(trial: Trial, command: Command, rng: Rng) -> Command | None:
    if not (places := results(trial, command)):
        return None
    place = rng.choice(places)
    (trial.root / place).unlink()
    del trial.world.files[place]
    return command


def input_changed(trial: Trial, command: Command, rng: Rng) -> Command | None:
    kinds = ("photo", "trimap", "mask", "soft", "cutout")
    if not (paths := inputs(trial, command, *kinds)):
        return None
    path = rng.choice(paths)
    kind, _, rest = trial.world.files[path].partition("#")
    kind = "bad" if rng.random() < 0.15 and path != command.background else kind
    put(trial, path, f"{kind}#{rng.randrange(100, 200)}.{rest.partition('.')[2]}")
    return command


def trimap_renamed(trial: Trial, command: Command, rng: Rng) -> Command | None:
    files = trial.world.files
    paths = [p for p in inputs(trial, command, "trimap") if p.rpartition(".")[0].endswith(TRIMAP)]
    if not paths:
        return None
    path = rng.choice(paths)
    name, _, extension = path.rpartition(".")
    role = next(role for role in TRIMAP if name.endswith(role))
    other = f"{name.removesuffix(role)}{rng.choice(MASK)}.{extension}"
    if other in files:
        return None
    files[other] = files.pop(path)
    (trial.root / path).rename(trial.root / other)
    return command


def _coming(trial: Trial, command: Command, rng: Rng) -> str:
    """Choose a place where something will be written, and nothing is."""
    writes = trial.expect(command).writes
    places = [p for p in sorted(writes) if trial.world.state("", p) == "free"]
    return rng.choice(places) if places else ""


def foreign_file(trial: Trial, command: Command, rng: Rng) -> Command | None:
    if not (place := _coming(trial, command, rng)):
        return None
    put(trial, place, rng.choice(("mask#251.png", "text#252.txt", EMPTY)))
    return command


def foreign_link(trial: Trial, command: Command, rng: Rng) -> Command | None:
    if not (place := _coming(trial, command, rng)):
        return None
    if rng.random() < 0.7:
        put(trial, "store/mine.png", "mask#253.png")
    put(trial, place, "-> store/mine.png")
    return command


def folder_in_place(trial: Trial, command: Command, rng: Rng) -> Command | None:
    if not (place := _coming(trial, command, rng)):
        return None
    put(trial, f"{place}/mine.txt", "text#254.txt")
    return command


def file_for_folder(trial: Trial, command: Command, rng: Rng) -> Command | None:
    out = trial.world.real(command.out)
    kind = rng.choice(command.save or ("",))
    if not kind or trial.world.is_folder(f"{out}/{kind}"):
        return None
    put(trial, f"{out}/{kind}", "text#255.txt")
    return command


def journal_gone(trial: Trial, command: Command, _rng: Rng) -> Command | None:
    for path in (trial.root / command.out).glob("journal*.jsonl"):
        path.unlink()
    return command if trial.world.known.pop(trial.world.real(command.out), None) else None


def results_moved(trial: Trial, command: Command, _rng: Rng) -> Command | None:
    world, out = trial.world, command.out
    moved = f"{out} moved"
    apart = world.real(out) == out and not f"{command.folder}/".startswith(f"{out}/")
    links = [path for path, content in world.files.items() if content[:3] == "-> "]
    if not apart or out not in world.known or any(path.startswith(f"{out}/") for path in links):
        return None
    (trial.root / out).rename(trial.root / moved)
    name = {p: p.replace(out, moved, 1) if p.startswith(f"{out}/") else p for p in world.files}
    world.files = {name[path]: content for path, content in world.files.items()}
    places = world.known.pop(out)
    world.known[moved] = {p.replace(out, moved, 1): made for p, made in places.items()}
    return replace(command, out=moved)


def gone_on_with(trial: Trial, command: Command, rng: Rng) -> Command | None:
    """Go on with what was made: cut-outs of a batch's mattes, trimaps of them, and so on."""
    out = command.out
    mattes = f"{out}/alpha"
    if command.name == "batch" and trial.world.is_folder(mattes):
        name = rng.choice(("cutout", "composite", "trimap", "eval"))
        if name == "eval":
            roots = (command.folder, f"{command.folder}/alpha", f"{command.folder}/gt", mattes)
            there = [root for root in roots if trial.world.is_folder(root)]
            reports = (("--json", "r.json"), ("--html", "r.html"))
            return Command(name, mattes, "", gt=rng.choice(there), reports=reports)
        if name == "trimap":
            return Command(
                name, mattes, rng.choice(("trimaps made", f"{mattes}/a2u_output/trimap"))
            )
        default = f"{command.folder}/a2u_output/{name}"
        return Command(name, command.folder, rng.choice((default, "laid")), alpha=mattes)
    if command.name == "cutout" and trial.world.is_folder(out) and out != command.folder:
        return Command("composite", out, "laid", background="#204060")
    return None


def out_of_the_way(trial: Trial, command: Command, _rng: Rng) -> Command | None:
    """Take all results away, as who begins anew."""
    out = trial.world.real(command.out)
    if out not in trial.world.known or f"{command.folder}/".startswith(f"{out}/"):
        return None
    shutil.rmtree(trial.root / out)
    trial.world.known.pop(out)
    trial.world.files = {p: c for p, c in trial.world.files.items() if not p.startswith(f"{out}/")}
    return command


FIRST: tuple[Event, ...] = (foreign_file, foreign_link, folder_in_place, file_for_folder)
LATER: tuple[Event, ...] = (
    *(again, more_saved, other_options, forced, result_mended, result_emptied, result_deleted),
    *(input_changed, input_changed, trimap_renamed, *FIRST, journal_gone, results_moved),
    *(gone_on_with, gone_on_with, out_of_the_way),
)
