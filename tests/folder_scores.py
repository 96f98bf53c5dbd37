"""The rules of docs/scoring.md once more: what `eval` must score in a folder, by names alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from folder_model import IMAGES, MADE, MASK, MATTE, MATTES, TRIMAP
from folder_world import Command, Expected, Refused, World, first, is_read

TRUTH = ("alpha", "alphas", "pha", "matte", "mattes", "gt", "truth", "mask", "masks")
LAYOUTS = (("alpha_copy", "trimaps"), ("alpha", "trimaps"), ("mask", "trimap"))
Found = dict[str, str]  # files by the names of their pictures


def locate(world: World, gt: str) -> tuple[str, str]:
    """Find the folder of the truth, and that of the trimaps where the layout is a known one."""
    for truth, trimaps in LAYOUTS:
        for root in (gt, world.real(f"{gt}/..")):
            is_there = world.is_folder(f"{root}/{truth}") and world.is_folder(f"{root}/{trimaps}")
            if is_there and (root == gt or world.real(f"{root}/{truth}") == gt):
                return world.real(f"{root}/{truth}"), f"{root}/{trimaps}"
    inner = world.folder(gt, *TRUTH)
    is_set = inner and world.folder(gt, "trimap", "trimaps", *IMAGES)
    return (world.real(inner) if is_set else gt), ""


def by_picture(stems: dict[str, list[str]], own: set[str]) -> Found:
    """Name mattes by their pictures; a trimap among them is none."""
    found = {}
    for stem in stems:
        role = "" if stem in own else next((r for r in MATTE if stem.endswith(r)), "")
        name = stem.removesuffix(role)
        suffixed = [name + role for role in MATTE if name + role not in own]
        found[name] = first(stems, suffixed, [name], [name + role for role in MASK])
    owned = {n for n in found for role in TRIMAP if n.removesuffix(role) in {*found} - {n}}
    return {name: path for name, path in found.items() if name not in owned}


def find_trimaps(world: World, names: Iterable[str], truth: str, given: str) -> Found:
    """Find each picture's trimap where it was said to be, or else where a batch looks, or above."""
    below, beside = (world.folder(at, "trimap", "trimaps") for at in (truth, f"{truth}/.."))
    places = [given] if given else [below, truth, beside, world.real(f"{truth}/..")]
    found = {}
    for name in names:
        for number, place in enumerate(places):
            groups = [[name + role for role in TRIMAP], [name + role for role in MADE]]
            if given or number in (0, 2):  # not among mattes
                groups += [[name], [name + role for role in (*MASK, *MATTE)]]
            if name not in found and (path := first(world.stems(place, set()), *groups)):
                found[name] = path
    return found


def list_mattes(world: World, command: Command, truth: str, given: str) -> list[Found]:
    """List what lies in the predictions' folder and in the truth's, and not in one in between."""
    gt, ours = world.real(command.gt), world.real(command.folder)
    hints = given or world.folder(truth, "trimap", "trimaps")
    apart = [f"{world.real(place)}/" for place in (ours, truth, hints) if place]
    results = {p for out, places in world.known.items() if out.startswith(f"{gt}/") for p in places}
    results |= world.made(replace(command, out=gt, save=("alpha",)))
    listed = []
    for folder, without in ((ours, set()), (truth, results)):
        others = tuple(at for at in apart if not f"{folder}/".startswith(at))
        listed.append(
            {
                inner: path
                for inner, path in world.below(folder).items()
                if path not in without
                if not f"{folder}/{inner}".startswith(others) and not path.startswith(others)
            }
        )
    return listed


def find(world: World, listed: list[Found]) -> list[Found]:
    """Name what was listed by pictures: predictions, truths; raises Refused."""
    stems = [world.by_stem(files) for files in listed]
    if not all(stems):
        raise Refused("has no pictures")
    common = {*stems[0]} & {*stems[1]}
    own = {n for n in common for role in MATTE if n.endswith(role) and n[: -len(role)] in common}
    return [by_picture(each, own) for each in stems]


def score(world: World, command: Command) -> Expected:
    """Say what must become of each picture, and what is written; raises Refused."""
    gt, given, whole = world.real(command.gt), command.trimaps, "whole" in command.shaping
    if whole and given:
        raise Refused("--region whole scores without trimaps")
    if not all(world.is_folder(place) for place in (command.folder, gt, given or gt)):
        raise Refused(" is no folder, expected the ")
    truth, layout = locate(world, gt)
    if world.real(command.folder) == truth:
        raise Refused("is both predictions and truth")
    listed = list_mattes(world, command, truth, given or layout)
    predicted, truths = find(world, listed)
    names = () if whole else {*predicted, *truths}
    trimaps = find_trimaps(world, names, truth, given or layout)
    if given and not trimaps:
        raise Refused("has no trimap of these pictures")
    if "unknown" in command.shaping and not trimaps:
        raise Refused("--region unknown needs trimaps")
    result = account(world, predicted, truths, trimaps)
    for folder, files in zip((command.folder, truth), listed, strict=True):
        odd = [p for p, w in files.items() if world.could_be_picture(p, w) and not is_read(p)]
        result.states["left out"] += len(odd)
        result.told += [f"left out: {folder}/{path}: " for path in odd]
    bad = sum(result.states[state] for state in ("failed", "missing", "left out"))
    result.code = int(bad > 0 or not result.states["scored"])
    read = [*predicted.values(), *truths.values(), *trimaps.values()]
    _write(world, command, result, {world.real(path) for path in read})
    return result


def account(world: World, predicted: Found, truths: Found, trimaps: Found) -> Expected:
    """Tell which pictures are scored, and why the others are not."""
    result = Expected(states=Counter())
    for name in sorted({*predicted, *truths}):
        files = [predicted.get(name, ""), truths.get(name, "")]
        good = [world.kind(path) in MATTES for path in files]
        if trimaps:
            good.append(world.kind(trimaps.get(name, "")) in ("trimap", "soft"))
        state = "missing" if not files[0] else "extra" if not files[1] else "failed"
        result.states["scored" if all(good) else state] += 1
        result.told += [] if all(good) else [f"{state}: {name}: "]
    return result


def _write(world: World, command: Command, result: Expected, taken: set[str]) -> None:
    """Refuse reports that would replace what is read or there; else name what each is made of."""
    of = {p: c for p, c in sorted(world.files.items()) if str(c)[:6] != "report"}  # pages show all
    for option, place in command.reports:
        path = world.real(place)
        if path in taken:
            raise Refused("is an input or another output")
        if world.is_folder(place):
            raise Refused("is a folder")
        if place in world.files and not command.force:
            raise Refused("exists; choose another output")
        taken.add(path)
        words = (option, command.folder, command.gt, command.trimaps, command.shaping)
        result.writes[world.place(place)] = f"report#{(words, sorted(result.told), of)}"
