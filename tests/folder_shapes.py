"""Draw a folder of the folder campaign, as people have them, and a command for it."""

import random
from collections.abc import Callable
from dataclasses import replace

from folder_model import IMAGES, MASK, MATTE, TRIMAP
from folder_world import Command, World

Rng = random.Random
STEMS = ("a", "dog", "IMG 1 (2)", "кот", "b[1]", "x.y", "-dash", "=1+1", "girl_with_mask", "n_2")
ODD_STEMS = ("wolf_alpha", "caf\udce9", "my_composite", "{x}", "a'b", "two_tri", "Ä*?")
PICTURES = ("png", "png", "jpg", "jpeg", "JPG", "jfif", "jpe", "gif", "tif", "webp", "bmp")
LEVELS = ("png", "png", "png", "tif", "bmp", "gif", "PNG")
FOLDERS = ("", "", "trip/", "trip/day 2/", "src/", "images/", "input/", "original/", "bg/", "gt/")
FOLDERS += ("alpha/", "fg/", "фото/", "other/z/")
FORMATS = {"jpeg": "jpg", "jfif": "jpg", "jpe": "jpg"}
SHAPES: dict[str, Callable[["Drawing"], Command]] = {}


class Drawing:
    """A world that is being drawn."""

    def __init__(self, rng: Rng) -> None:
        self.rng, self.world, self.number = rng, World(), 0

    def put(self, stem: str, kind: str, extension: str = "png") -> str:
        """Lay a new content of a kind; what is there stays."""
        self.number += 1
        path = f"{stem}.{extension}"
        form = extension.lower()
        self.world.files.setdefault(path, f"{kind}#{self.number}.{FORMATS.get(form, form)}")
        return path

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def stems(self, most: int = 4) -> list[str]:
        names = [*STEMS, *ODD_STEMS] if self.chance(0.4) else STEMS
        return self.rng.sample(names, self.rng.randint(1, most))

    def picture(self, stem: str, kind: str = "photo") -> None:
        """Lay a picture: now and then a damaged one, or one of another size."""
        kind = self.rng.choices((kind, "bad", "wide"), (20, 1, 1))[0]
        self.put(stem, kind, self.rng.choice(PICTURES if kind != "cutout" else ("png", "tif")))

    def hint(self, stem: str, kind: str) -> None:
        """Lay a trimap, a mask or a matte: now and then one that is none."""
        other = self.rng.choices((kind, "photo", "bad", "mask", "soft"), (30, 1, 1, 1, 1))[0]
        self.put(stem, other, self.rng.choice(LEVELS) if other != "cutout" else "png")

    def beside(self, stem: str) -> None:
        """Lay a trimap beside a picture, or a mask, or neither."""
        what = self.rng.choices(("trimap", "mask", ""), (8, 2, 1))[0]
        if what:
            suffix = self.rng.choice(TRIMAP if what == "trimap" else MASK)
            self.hint(stem + suffix, what)


def shape(name: str) -> Callable[[Callable[[Drawing], Command]], Callable[[Drawing], Command]]:
    def keep(function: Callable[[Drawing], Command]) -> Callable[[Drawing], Command]:
        SHAPES[name] = function
        return function

    return keep


@shape("flat")
def flat(drawing: Drawing) -> Command:
    for stem in drawing.stems():
        drawing.picture(f"in/{stem}")
        drawing.beside(f"in/{stem}")
    return Command("batch", "in", "")


@shape("tree")
def tree(drawing: Drawing) -> Command:
    for stem in drawing.stems(5):
        folder = drawing.rng.choice(FOLDERS)
        drawing.picture(f"in/{folder}{stem}")
        drawing.beside(f"in/{folder}{stem}")
    return Command("batch", "in", "")


@shape("own or sibling folder of trimaps")
def sibling(drawing: Drawing) -> Command:
    name = drawing.rng.choice(
        ("trimap", "trimaps", "in/trimap", "in/trimaps", "in/mask", "in/masks")
    )
    for stem in drawing.stems():
        folder = drawing.rng.choice(FOLDERS) if drawing.chance(0.3) else ""
        drawing.picture(f"in/{folder}{stem}")
        if drawing.chance(0.9):
            suffix = drawing.rng.choice(("", "", *TRIMAP)) if "trimap" in name else ""
            drawing.hint(f"{name}/{folder}{stem}{suffix}", "trimap" if "trimap" in name else "mask")
        elif drawing.chance(0.5):
            drawing.beside(f"in/{folder}{stem}")
    if drawing.chance(0.3):
        drawing.hint(f"{name}/stray", "trimap")
    return Command("batch", "in", "")


@shape("data set")
def data_set(drawing: Drawing) -> Command:
    images = drawing.rng.choice(IMAGES)
    hints = drawing.rng.choice(("trimap", "trimaps", "mask", "masks"))
    for stem in drawing.stems():
        drawing.picture(f"in/{images}/{stem}")
        if drawing.chance(0.9):
            drawing.hint(f"in/{hints}/{stem}", hints.rstrip("s"))
        for neighbour in drawing.rng.sample(("alpha", "fg", "bg", "gt"), drawing.rng.randint(0, 2)):
            drawing.put(
                f"in/{neighbour}/{stem}", "soft" if neighbour in ("alpha", "gt") else "photo"
            )
    if drawing.chance(0.3):
        drawing.picture(f"in/{drawing.rng.choice(('bg', 'fg', hints, 'other', images))}/stray")
    if drawing.chance(0.2):
        drawing.picture("in/top")
        drawing.beside("in/top")
    return Command("batch", "in", "")


@shape("trimaps or masks that are named")
def given(drawing: Drawing) -> Command:
    trimaps, masks = drawing.rng.choice((("tris", ""), ("", "msk"), ("tris", "msk"), ("in/t", "")))
    inner = drawing.rng.choice(("in", "shots/images"))
    place = "shots/alpha" if inner != "in" else "msk"
    masks = place if masks else ""
    for stem in drawing.stems():
        folder = drawing.rng.choice(FOLDERS) if drawing.chance(0.3) else ""
        drawing.picture(f"{inner}/{folder}{stem}")
        if drawing.chance(0.1):
            drawing.beside(f"{inner}/{folder}{stem}")
        elif trimaps and (not masks or drawing.chance(0.5)):
            suffix = drawing.rng.choice(("", "", *TRIMAP))
            drawing.hint(f"{trimaps}/{folder}{stem}{suffix}", "trimap")
        elif masks:
            drawing.hint(f"{masks}/{folder}{stem}", drawing.rng.choice(("mask", "cutout", "soft")))
    if drawing.chance(0.3) and trimaps:
        drawing.hint(f"{trimaps}/stray", "trimap")
    if trimaps:
        drawing.hint(f"{trimaps}/{stem}_of_nobody", "trimap")
    if masks:
        drawing.hint(f"{masks}/of_nobody", "mask")
    return Command("batch", inner, "", trimaps=trimaps, masks=masks)


@shape("names with suffixes")
def suffixes(drawing: Drawing) -> Command:
    owner = drawing.rng.choice(("dog", "group", "sub/dog"))
    tails = drawing.rng.sample(
        ("", "_alpha", "_mask", "_cutout", "_with_mask", "_composite", "-mask"), 3
    )
    folder = drawing.rng.choice(("", "", "in/trimap/", "in/trimaps/"))
    for tail in tails:
        kind = "mask" if tail.endswith("mask") and drawing.chance(0.5) else "photo"
        drawing.picture(f"in/{owner}{tail}", kind)
        if drawing.chance(0.7):
            stem = f"{folder}{owner}{tail}" if folder else f"in/{owner}{tail}_trimap"
            drawing.hint(stem, "trimap")
    return Command("batch", "in", "")


@shape("pictures and mattes")
def mattes(drawing: Drawing) -> Command:
    folder = drawing.rng.choice(("mattes", "mattes", "in", "in/m"))
    for stem in drawing.stems():
        inner = drawing.rng.choice(FOLDERS) if drawing.chance(0.3) else ""
        drawing.picture(f"in/{inner}{stem}")
        suffix = drawing.rng.choice(MATTE) if folder == "in" else drawing.rng.choice(("", *MATTE))
        if drawing.chance(0.9):
            kind = drawing.rng.choice(("soft", "mask", "cutout"))
            drawing.hint(f"{folder}/{inner}{stem}{suffix}", kind)
    drawing.put(f"{folder}/of nobody", "soft")
    return Command(drawing.rng.choice(("cutout", "composite")), "in", "", alpha=folder)


@shape("cut-outs or masks")
def cut_outs(drawing: Drawing) -> Command:
    name = drawing.rng.choice(("cutout", "composite", "trimap", "trimap"))
    for stem in drawing.stems():
        inner = drawing.rng.choice(FOLDERS) if drawing.chance(0.3) else ""
        if name == "trimap" and drawing.chance(0.4):
            drawing.picture(f"in/{inner}{stem}")
            drawing.hint(f"in/{inner}{stem}{drawing.rng.choice((*MASK, *MATTE))}", "mask")
            if drawing.chance(0.3):
                drawing.hint(f"in/{inner}{stem}_trimap", "trimap")
        elif name == "trimap":
            drawing.hint(f"in/{inner}{stem}", drawing.rng.choice(("mask", "soft", "cutout")))
        else:
            drawing.picture(f"in/{inner}{stem}", "cutout")
    return Command(name, "in", "")


@shape("mattes and truth")
def scored(drawing: Drawing) -> Command:
    rng, chance = drawing.rng, drawing.chance
    root = rng.choice(("", "", "set/"))
    gt = root + rng.choice(("gt", "truth", "alpha", "mask", "masks", "mattes"))
    ours = rng.choice(("ours", "ours", f"{gt}/ours", "a2u_output/alpha"))
    named = rng.choice(("", "", "tris"))
    for stem in drawing.stems(5):
        inner = rng.choice(FOLDERS) if chance(0.2) else ""
        for folder in (ours, gt):
            suffix = rng.choice(("", "", *MATTE))
            if chance(0.9):
                kind = rng.choice(("soft", "soft", "mask", "cutout"))
                drawing.hint(f"{folder}/{inner}{stem}{suffix}", kind)
        if root and chance(0.8):
            drawing.picture(f"{root}image/{inner}{stem}")
        place = rng.choice((named, f"{gt}/", f"{gt}/trimap/", f"{root}trimap/", f"{root}trimaps/"))
        place = f"{named}/" if named else rng.choice((place, f"{root}trimap/", root, ""))
        if place and chance(0.9):
            beside = place in (f"{gt}/", root)
            suffix = rng.choice(TRIMAP) if beside else rng.choice(("", *TRIMAP))
            drawing.hint(f"{place}{inner}{stem}{suffix}", "trimap")
    if chance(0.2):
        drawing.hint(f"{rng.choice((gt, 'old', root + 'old'))}/other_trimap", "trimap")
    return Command("eval", ours, "", gt=root if root and chance(0.5) else gt, trimaps=named)


def oddities(drawing: Drawing, folder: str) -> None:
    """Lay beside the pictures what else people have there."""
    rng, files = drawing.rng, drawing.world.files
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        stem = f"{folder}/{rng.choice(FOLDERS)}{rng.choice(('odd', 'b', 'notes', *STEMS[:3]))}"
        what = rng.randrange(9)
        if what == 0:
            drawing.put(stem, "raw", rng.choice(("nef", "NEF", "psd", "jxl")))
        elif what == 1:
            drawing.put(stem, "text", rng.choice(("txt", "json", "md")))
        elif what == 2:
            files[f"{stem}.bak"] = f"photo#{rng.randrange(99)}.{rng.choice(('png', 'jpg'))}"
        elif what == 3:
            drawing.put(f"{folder}/.hidden", rng.choice(("photo", "text")))
        elif what == 4:
            drawing.put(f"{folder}/.git/x", "photo")
        elif what == 5:
            drawing.picture(stem)
        elif what == 6:
            files.setdefault(f"{stem}.png", "-> store/far.png")
            files["store/far.png"] = "photo#98.png"
            drawing.beside(stem)
        elif what == 7:
            drawing.picture("store/day/linked")
            drawing.beside("store/day/linked")
            files.setdefault(f"{folder}/{rng.choice(('day1', 'alpha2', 'Z'))}", "-> store/day")
        else:
            files.setdefault(f"{folder}/loop", f"-> {folder}")


def draw(rng: Rng) -> tuple[str, World, Command]:
    """Draw a shape with oddities, and the first command for it."""
    name = rng.choice(list(SHAPES))
    drawing = Drawing(rng)
    command = SHAPES[name](drawing)
    oddities(drawing, command.folder)
    return name, drawing.world, with_options(command, drawing)


def with_options(command: Command, drawing: Drawing) -> Command:
    """Draw the options of a command, and where its results go."""
    rng, batch = drawing.rng, command.name == "batch"
    if command.name == "eval":
        return replace(command, **reporting(drawing), **shaping(command, rng))
    default = f"{command.folder}/a2u_output" + ("" if batch else f"/{command.name}")
    places = [default, default, "out", "deep/out 2", command.folder, f"{command.folder}/results"]
    if "/" in command.folder:
        places += ["shots"] * 4
    save: tuple[str, ...] = ()
    if batch:
        kinds = ("alpha", "cutout", "foreground", "composite")
        save = ("alpha",) if rng.random() < 0.6 else tuple(rng.sample(kinds, rng.randint(1, 4)))
    background = ""
    if "composite" in save or command.name == "composite":
        background = rng.choice(("", "gradient", "#102030", "behind.png"))
    if background == "behind.png":
        drawing.world.files[background] = "photo#97.png"
    return replace(
        command, out=rng.choice(places), save=save, background=background, **shaping(command, rng)
    )


def reporting(drawing: Drawing) -> dict[str, tuple[tuple[str, str], ...]]:
    """Draw the reports of `eval`: most have a place of their own."""
    rng, reports = drawing.rng, []
    shown = [path for path in drawing.world.files if "image/" not in path]  # a page shows the rest
    for kind in ("json", "csv", "html"):
        place = f"{rng.choice(('', '', 'reports/', 'ours/', 'gt/'))}r.{kind}"
        if drawing.chance(0.1):
            place = rng.choice([*shown, "reports/r.json", "reports"])
        if drawing.chance(0.35):
            reports.append((f"--{kind}", place))
    return {"reports": tuple(reports)}


def shaping(command: Command, rng: Rng) -> dict[str, tuple[str, ...]]:
    """Draw options that change the pixels of what a command makes, or what it scores."""
    if command.name == "eval":
        region = rng.choice(("", "", "", "whole", "unknown", "auto"))
        return {"shaping": ("--region", region) if region else ()}
    deep = ("--depth", "16") if command.name != "trimap" and rng.random() < 0.2 else ()
    band = ("--band", rng.choice(("2", "3"))) if rng.random() < 0.3 else ()
    invert = ("--invert",) if rng.random() < 0.2 else ()
    if command.name == "batch":
        return {"shaping": deep, "of_masks": (*band, *invert)}
    straight = ("--premultiplied",) if command.name == "cutout" and rng.random() < 0.3 else ()
    turned = invert if command.alpha or command.name == "trimap" else ()
    return {"shaping": (*deep, *straight, *turned, *(band if command.name == "trimap" else ()))}
