"""The rules of docs/folders.md, trimaps.md and scoring.md once more, as plainly as can be.

Written from the pages, not from the code: what a command must do in a folder, by names alone.
"""

from folder_world import Command, Expected, Refused, World, first, is_read, stem

TRIMAP, MASK = ("_trimap", "-trimap", ".trimap", "_tri"), ("_mask", "-mask", ".mask")
MATTE = ("_alpha", "_matte", "_pha")
ROLES = (*TRIMAP, *MASK, *MATTE, "_cutout", "_composite", "_foreground")
IMAGES = ("image", "images", "merged", "original", "input", "src")
TRUTHS = ("alpha", "matte", "gt", "mask", "masks")
NEIGHBOURS = (*TRUTHS, "fg", "bg", "trimap", "trimaps")
MADE = tuple(mask + role for mask in (*MASK, *MATTE) for role in TRIMAP)  # by `a2u trimap`
MATTES = ("trimap", "mask", "soft", "cutout")
Pairs = dict[str, tuple[str, str, str]]  # by name: the picture, its hint, what that is


def candidates(world: World, command: Command, *, going_on: bool = False) -> dict[str, str]:
    """List what could be a picture: no results of earlier runs, but those to go on with."""
    top, results = world.real(command.folder), set()
    for out, places in world.known.items():
        if f"{out}/".startswith(f"{top}/") and not (going_on and out == top):
            results |= set(places)
    below = world.below(top).items()
    found = {p: w for p, w in below if w not in results and world.could_be_picture(p, w)}
    if not any(map(is_read, found)):
        raise Refused("has no pictures")
    return found


def pair(world: World, command: Command) -> tuple[Pairs, list[str]]:
    """Pair pictures with trimaps or masks, or with mattes, and list what has to be named."""
    top, files, batch = world.real(command.folder), candidates(world, command), not command.alpha
    trimaps, masks = world.folder(top, "trimap", "trimaps"), world.folder(top, "mask", "masks")
    beside, made = world.folder(f"{top}/..", "trimap", "trimaps"), world.made(command)
    own = [trimaps, masks, command.trimaps, command.alpha, command.masks]
    own = [at for of in own if of and not f"{top}/".startswith(at := f"{world.real(of)}/")]
    free = [p for p, where in files.items() if is_read(p) and not where.startswith(tuple(own))]
    outer = [path for path in free if path.split("/")[0] not in NEIGHBOURS]
    image = next((n for n in IMAGES if any(path.startswith(f"{n}/") for path in outer)), "-")
    alike = trimaps or masks or all(path.startswith(f"{image}/") for path in outer)
    is_set = alike and image != "-" and not any(world.is_folder(hints + image) for hints in own)
    base = f"{top}/{image}" if is_set else top

    def name_of(path: str) -> str:
        return stem(path.removeprefix(f"{image}/") if is_set else path)

    def hint(name: str, roles: tuple[str, ...], given: str, own: str, beside: str) -> str:
        endings = [roles, MADE if roles == TRIMAP else (), (*MASK, *MATTE)]
        groups = [[name + r for r in group if name + r not in named] for group in endings]
        suffixed, plain, places = groups[:2], [[name], groups[2]], [given]
        if not given:
            places = [own, base, top, beside]
        for place in places:
            among = world.real(place) in (top, base)
            if found := first(world.stems(place, made), *suffixed, *([] if among else plain)):
                return found
        return ""

    def trimap_of(name: str) -> str:
        return hint(name, TRIMAP, command.trimaps, trimaps, beside)

    def owners(path: str) -> list[str]:
        folder, _, inner = path.partition("/")
        bare = [stem(inner)] if folder in NEIGHBOURS else []
        names = [name_of(path), *bare]
        return bare + [n.removesuffix(role) for n in names for role in ROLES if n.endswith(role)]

    def is_picture(path: str) -> bool:
        owner, name = next((o for o in owners(path) if o in names), ""), name_of(path)
        own = {trimap_of(name), trimap_of(owner)} - {""} if owner else ()
        return not owner or (not name.endswith(TRIMAP) and len(own) == 2)

    named: set[str] = set()  # what is a picture's file is no other's
    free = outer if is_set else free
    names = {name_of(path) for path in free}
    pictures = {path: name_of(path) for path in free if is_picture(path)}
    if len(set(pictures.values())) != len(pictures) or not pictures:
        raise Refused if pictures else Refused("has no pictures")
    pairs, named = {}, set(pictures.values())
    for path, name in pictures.items():
        if not batch:
            found, what = hint(name, MATTE, command.alpha, "", ""), "mask"
        elif found := trimap_of(name):
            what = "trimap"
        else:
            found, what = hint(name, MASK, command.masks, masks, ""), "mask"
        if found:
            pairs[name] = files[path], found, what
    if not pairs and command.alpha and world.real(command.alpha) == top:
        raise Refused("was given as its own mattes")
    used = {path for picture, of, _ in pairs.values() for path in (picture, of)}
    owned = {p for p in files if is_read(p) and p not in pictures and {*owners(p)} & names}
    return pairs, [path for path in files if files[path] not in used and path not in owned]


def alone(world: World, command: Command) -> tuple[Pairs, list[str]]:
    """List cut-outs, or the masks that trimaps are made of: each is its own matte."""
    elsewhere = world.real(command.out) != world.real(command.folder)
    files = candidates(world, command, going_on=elsewhere)
    names = {stem(path) for path in files if is_read(path)}
    if command.name == "trimap":  # not of what has a mask, nor of trimaps
        hints = [(n.removesuffix(r), n, r) for n in names for r in ROLES[:10] if n.endswith(r)]
        names -= {n if r in TRIMAP else owner for owner, n, r in hints if owner in names}
        if world.folder(world.real(command.folder), *TRUTHS):  # nor of a data set's pictures
            names = {n for n in names if n.split("/")[0] not in {*IMAGES, *NEIGHBOURS} - {*TRUTHS}}
    taken = [path for path in files if is_read(path) and stem(path) in names]
    if len(names) < len(taken):
        raise Refused
    pairs = {stem(path): (files[path], files[path], command.name) for path in taken}
    return pairs, [path for path in files if not is_read(path)]


def is_possible(world: World, picture: str, hint: str, what: str) -> bool:
    """Tell whether both can be read, are of one size, and mean what they are taken for."""
    good = {"mask": MATTES, "trimap": MATTES if picture == hint else ("trimap", "soft")}
    readable = world.kind(picture) in ("photo", *MATTES)
    return readable and world.kind(hint) in good.get(what, ("cutout",))


def expect(world: World, command: Command) -> Expected:
    """Say what a command that fills a folder must do; raises Refused."""
    is_paired = command.name == "batch" or command.alpha
    pairs, named = (pair if is_paired else alone)(world, command)
    result, out = Expected(named=named), world.real(command.out)
    behind = world.files.get(world.real(command.background), command.background)
    read = [path for picture, hint, _ in pairs.values() for path in (picture, hint)]
    read += [command.background, *(f"{command.folder}/{path}" for path in named)]
    inputs = {world.real(path) for path in read if world.there(path)}
    for name, (picture, hint, what) in pairs.items():
        of = [world.there(path) for path in (picture, hint)]
        shaping = (*of, what, *command.shaping, *(command.of_masks if what == "mask" else ()))
        made = {}
        for kind in command.save or (command.name,):
            place = world.place(f"{out}/{kind}/{name}.png" if command.save else f"{out}/{name}.png")
            laid = (behind,) if kind == "composite" else ()
            made[place] = (kind, bool(command.save), *shaping, *laid)
        if inputs & {world.real(place) for place in made}:
            raise Refused("is an input of this run")
        states = {place: world.state(out, place) for place in made}
        missing = {p: c for p, c in made.items() if states[p] != "ours" or world.there(p) != c}
        blocked = "blocked" in states.values()
        blocked |= "foreign" in states.values() and not command.force
        if not missing:
            result.skipped.append(name)
        elif blocked or not is_possible(world, picture, hint, what):
            result.failed.append(name)
        else:
            result.done.append(name)
            result.writes |= missing
    result.code = int(bool(result.failed or named))
    return result
