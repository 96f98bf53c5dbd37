"""Find a folder's pictures and what belongs to each: its trimap, a mask, its matte or its truth.

One rule for all commands; docs/folders.md and docs/scoring.md state it in words.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath
from typing import NoReturn

from .errors import ImageError
from .images.files import require_regular, words
from .images.reading import SUFFIXES

OUTPUT_FOLDER = "a2u_output"
IMAGE_ROLES = ("_rgb", "_image", "_img")
TRIMAP_ROLES = ("_trimap", "-trimap", ".trimap", "_tri")
MASK_ROLES = ("_mask", "-mask", ".mask")
RESULT_ROLES = ("_alpha", "_matte", "_pha", "_cutout", "_composite", "_foreground")
MATTE_ROLES = ("_alpha", "_matte", "_pha")
IMAGE_FOLDERS = ("image", "images", "merged", "original", "input", "input_lowres", "inputs", "src")
TRIMAP_FOLDERS = ("trimap", "trimaps", "trimap_lowres/Trimap1")
MASK_FOLDERS = ("mask", "masks")
OTHER_FOLDERS = (
    *MASK_FOLDERS,
    *("alpha", "alpha_copy", "pha", "matte", "gt", "gt_lowres", "fg", "fgr", "bg", "bgr"),
    *("com", "comp", "trimap_lowres"),
)
ROLES = (*TRIMAP_ROLES, *MASK_ROLES, *RESULT_ROLES)
MASKS = (*MASK_ROLES, *MATTE_ROLES)
HINT_FOLDERS = {*OTHER_FOLDERS, "trimap", "trimaps"}
ROLE_FOLDERS = {*HINT_FOLDERS, *IMAGE_FOLDERS}
OTHER_SUFFIXES = {  # pictures that are not read
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    *(".psd", ".psb", ".xcf", ".jxl", ".jp2", ".j2k", ".tga", ".hdr", ".dpx", ".svg", ".ico"),
    *(".ppm", ".pgm", ".pnm", ".pfm", ".qoi", ".jxr", ".dds"),
}
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\x76\x2f\x31\x01")
OF_MASKS = tuple(mask + role for mask in MASKS for role in TRIMAP_ROLES)  # as `a2u trimap` names


@dataclass(frozen=True)
class Pair:
    """A picture, its trimap or mask, and its name: the relative path without extension."""

    name: str
    image: Path
    hint: Path
    is_mask: bool = False


@dataclass(frozen=True)
class Pairs:
    """What was found in a folder: pairs by name, the pictures without a trimap, and what is left.

    `left_out` are files that could be pictures, each with the reason why it is taken for none.
    """

    found: tuple[Pair, ...]
    unpaired: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """List all of them: the inputs of a run, which no output may replace."""
        paired = [path for pair in self.found for path in (pair.image, pair.hint)]
        return (*paired, *self.unpaired, *(path for path, _ in self.left_out))


def find_pairs(
    folder: Path,
    *,
    trimaps: Path | None = None,
    masks: Path | None = None,
    skip: Path | None = None,
    results: Collection[Path] = (),
    roles: tuple[str, ...] = TRIMAP_ROLES,
) -> Pairs:
    """Pair every picture below a folder with its trimap, or else with its mask.

    Given `trimaps` hold them, by the rule of `match`. Without, they are looked for in a folder of
    that role (`trimap`, below the folder or beside it), and as `x_trimap.png` (`roles` are such
    suffixes) beside `x.png`; and in the same way masks. What belongs to a picture is none itself,
    nor is what lies in `skip`, in any `a2u_output`, or in a data set's folder of another role, nor
    are `results` of earlier runs. What belongs to none and is none is in `left_out`.

    Raises ImageError where a folder is missing or holds no picture, where two files could be meant,
    or where two pictures would have one result.
    """
    _require_folders(folder, trimaps, masks)
    given = [place for place in (trimaps, masks) if place and place.resolve() != folder.resolve()]
    apart = [skip.resolve()] if skip else []
    every = [path for path in _walk(folder, apart) if path not in results]
    files = [path for path in every if _is_file_of_picture(path.name)]
    root, free = _candidates(folder, files, given)
    drawn = _places(folder, root, trimaps if roles == TRIMAP_ROLES else None, TRIMAP_FOLDERS)
    named = _pictures(folder, root, free, drawn)
    if not named:
        _refuse_none(folder, "pictures to matte", _left_out(folder, every, ()))
    _require_distinct(named)
    found = _find_hints(
        dict(named),
        *((roles, False, *place) for place in _places(folder, root, trimaps, TRIMAP_FOLDERS)),
        *((MASK_ROLES, True, *place) for place in _places(folder, root, masks, MASK_FOLDERS)),
    )
    used = {*(path for _, path in named), *(path for path, _ in found.values())}
    alone = [path for name, path in named if name not in found]
    if first_folder(folder, (*TRIMAP_FOLDERS, *MASK_FOLDERS)):  # bg/x is no picture beside these
        used -= {path for path in alone if path.relative_to(folder).parts[0] in OTHER_FOLDERS}
    rest = [path for path in every if path not in used]
    owners = {bare for name, path in named if path in used for bare in _bare(name)}
    return Pairs(
        tuple(Pair(name, path, *found[name]) for name, path in named if name in found),
        tuple(path for path in alone if path in used),
        _left_out(folder, rest, owners),
    )


def _require_folders(*folders: Path | None) -> None:
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ImageError(f"{folder} is no folder, expected one with pictures; check the name")


def _find_hints(
    names: Collection[str], *places: tuple[tuple[str, ...], bool, Path, bool]
) -> dict[str, tuple[Path, bool]]:
    """Find each picture's trimap or mask, and which it is, in the first place that has it.

    A place is the suffixes there, whether they are masks', the folder, and if it has pictures, too.
    """
    found: dict[str, tuple[Path, bool]] = {}
    for suffixes, is_mask, place, among in places:
        without = [name for name in names if name not in found]
        matched = match(without, place, suffixes, suffixed=among, pictures=names)
        found |= {name: (path, is_mask) for name, path in matched.items()}
    return found


def find_mattes(folder: Path, mattes: Path, *, results: Collection[Path] = ()) -> Pairs:
    """Pair every picture below a folder with its matte in another, or beside it in the same.

    Raises what `find_pairs` does, and ImageError where the mattes are the pictures themselves.
    """
    found = find_pairs(folder, trimaps=mattes, roles=MATTE_ROLES, results=results)
    masked = tuple(pair.image for pair in found.found if pair.is_mask)
    pairs = tuple(pair for pair in found.found if not pair.is_mask)
    if not pairs and folder.resolve() == mattes.resolve():
        raise ImageError(
            f"{folder} was given as its own mattes, and no picture in it has an _alpha beside it; "
            "give the folder of the mattes"
        )
    return Pairs(pairs, (*found.unpaired, *masked), found.left_out)


def find_alone(folder: Path, results: Collection[Path] = ()) -> Pairs:
    """List every picture below a folder, each paired with itself, but `results` of earlier runs.

    Raises ImageError for none.
    """
    pictures, left_out = _list_alone(folder, results)
    named = [(_name(path, folder), path) for path in pictures]
    _require_distinct(named)
    return Pairs(tuple(Pair(name, path, path) for name, path in named), (), left_out)


def find_masks(folder: Path, results: Collection[Path] = ()) -> Pairs:
    """List the masks and mattes below a folder, each paired with itself; as `find_alone` does.

    `unpaired` are what is no mask: `x.jpg` where `x_mask.png` or `x_alpha.png` lies beside it, and
    `x_trimap.png` beside either.
    """
    pictures, left_out = _list_alone(folder, results)
    names = {_name(path, folder) for path in pictures}
    masked = {
        owner for name in names if name.endswith(MASKS) for owner in _owners(name) if owner in names
    }
    named = [
        (name, path)
        for path in pictures
        for name in [_name(path, folder)]
        if name not in masked and not (name.endswith(TRIMAP_ROLES) and names & {*_owners(name)})
    ]
    _require_distinct(named)
    kept = {path for _, path in named}
    return Pairs(
        tuple(Pair(name, path, path) for name, path in named),
        tuple(path for path in pictures if path not in kept),
        left_out,
    )


def _list_alone(
    folder: Path, results: Collection[Path]
) -> tuple[list[Path], tuple[tuple[Path, str], ...]]:
    """List the pictures below a folder, and what is left out; raises ImageError for no picture."""
    every = [path for path in _walk(folder, ()) if path not in results]
    pictures = [path for path in every if _is_file_of_picture(path.name)]
    left_out = _left_out(folder, [p for p in every if not _is_file_of_picture(p.name)], ())
    if not pictures:
        _refuse_none(folder, "pictures", left_out)
    return pictures, left_out


def match(
    names: Iterable[str],
    folder: Path,
    roles: tuple[str, ...],
    *,
    suffixed: bool,
    pictures: Collection[str] = (),
    below: Iterable[str] | None = None,
) -> dict[str, Path]:
    """Find the file of each of these pictures below a folder, by relative paths without extension.

    The picture `x` has `x_trimap` (the suffixes of `roles`), or else `x_mask_trimap`; or else, but
    not among pictures (`suffixed`), plain `x`, or at last `x_mask`. A picture `x_rgb` without any
    has what `x` would have. What is itself one of the `pictures` is no other's, by a suffix.
    `below` names the only folders to look in, "." the folder itself.

    Raises ImageError where a picture has two of them.
    """
    files = index(folder, below)
    ways = _ways(roles, suffixed=suffixed)
    found = {}
    for name in names:
        for stem, endings in product(_bare(name), ways):
            own = [stem + end for end in endings if not end or stem + end not in pictures]
            paths = [path for candidate in own for path in files.get(candidate, ())]
            if len(paths) > 1:
                what = "more than one trimap or mask"
                what = "more than one matte" if roles == MATTE_ROLES else what
                raise ImageError(f"{name} has {what} ({', '.join(map(str, paths))}); keep one")
            if paths:
                found[name] = paths[0]
                break
    return found


def _ways(roles: tuple[str, ...], *, suffixed: bool) -> list[tuple[str, ...]]:
    """List by which endings a picture's file is found, in turn."""
    ways = [roles, OF_MASKS] if roles == TRIMAP_ROLES else [roles]
    return ways if suffixed else [*ways, ("",), MASKS]


def index(folder: Path, below: Iterable[str] | None = None) -> dict[str, list[Path]]:
    """List a folder's pictures by relative path without extension; `below` as in `match`."""
    files: dict[str, list[Path]] = {}
    for path in _files(folder, ()) if below is None else _listed(folder, below):
        files.setdefault(_name(path, folder), []).append(path)
    return files


def by_picture(
    folder: Path, roles: tuple[str, ...], *, suffixed: bool, pictures: Collection[str] = ()
) -> dict[str, Path]:
    """List a folder's files by the name of their picture, as `match` finds them; raises as that."""
    names = []
    for stem in index(folder):
        role = next((role for role in roles if stem.endswith(role)), "")
        name = stem if stem in pictures else stem.removesuffix(role)
        if name != stem or not suffixed:
            names.append(name)
    return match(dict.fromkeys(names), folder, roles, suffixed=suffixed, pictures=pictures)


def first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """Give the first of these folders that there is below a folder."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _candidates(folder: Path, files: list[Path], given: list[Path]) -> tuple[Path, list[Path]]:
    """Tell below which folder a folder's pictures lie, and what may be one.

    That is its folder `image` (or the like) where it is a data set, with a folder `trimap` or
    `mask`, or where no pictures lie elsewhere; unless these (or those that are `given`) have a
    folder `image`, too. In a data set what lies in a folder of another role, as `alpha`, is none.
    """
    own = [f for names in (TRIMAP_FOLDERS, MASK_FOLDERS) if (f := first_folder(folder, names))]
    images = next((folder / n for n in IMAGE_FOLDERS if _holds(files, folder / n)), None)
    hints = [place.resolve() for place in (*own, *given)]
    parents = {parent: parent.resolve() for parent in {path.parent for path in files}}
    apart = {p for p, real in parents.items() if any(real.is_relative_to(hint) for hint in hints)}
    free = [path for path in files if path.parent not in apart]
    outer = [path for path in free if path.relative_to(folder).parts[0] not in OTHER_FOLDERS]
    elsewhere = any(images is None or not path.is_relative_to(images) for path in outer)
    if images is None or (elsewhere and not own):
        return folder, free
    mirrored = any((place / images.name).is_dir() for place in (*own, *given))
    return (folder, free) if mirrored else (images, outer)


def _pictures(
    folder: Path, root: Path, files: list[Path], drawn: Iterable[tuple[Path, bool]]
) -> list[tuple[str, Path]]:
    """Name the pictures among files: `x_mask` beside `x` is none, but its mask, as is `alpha/x`.

    Unless both have a trimap of their own in one of the places `drawn`: then it is a picture's own
    name.
    """
    named = [(_name(p, root if p.is_relative_to(root) else folder), p) for p in files]
    names = {bare for name, _ in named for bare in _bare(name)}
    places: list[tuple[dict[str, list[Path]], bool]] = []

    def trimap_of(name: str) -> Path | None:
        if not places:  # rarely asked
            places.extend((index(place), among) for place, among in drawn)
        for files, among in places:
            for endings in _ways(TRIMAP_ROLES, suffixed=among):
                if paths := [path for end in endings for path in files.get(name + end, ())]:
                    return paths[0] if len(paths) == 1 else None  # of two none is its own
        return None

    pictures = []
    for name, path in named:
        top = path.relative_to(folder).parts[0]
        inner = [_name(path, folder / top)] if top in HINT_FOLDERS and path != folder / top else []
        owners = [*inner, *(owner for known in (name, *inner) for owner in _owners(known))]
        owner = next((owner for owner in owners if owner in names), None)
        if owner and not name.endswith(TRIMAP_ROLES):
            own = trimap_of(name), trimap_of(owner)
            owner = owner if None in own or own[0] == own[1] else None
        if not owner:
            pictures.append((name, path))
    return pictures


def _bare(name: str) -> list[str]:
    """Give a picture's name, and that without the suffix of its own role, `x` for `x_rgb`."""
    role = next((role for role in IMAGE_ROLES if name.endswith(role)), None)
    return [name] if role is None else [name, name.removesuffix(role)]


def _owners(name: str) -> list[str]:
    """Give the names of the pictures that a file could belong to: its own without its suffixes."""
    owners = []
    while role := next((role for role in ROLES if name.endswith(role)), None):
        name = name.removesuffix(role)
        owners.append(name)
    return owners


def _places(
    folder: Path, root: Path, given: Path | None, roles: tuple[str, ...]
) -> Iterator[tuple[Path, bool]]:
    """Give where trimaps or masks are looked for, in turn, and whether that is among pictures."""
    if given is not None:
        yield given, given.resolve() in (folder.resolve(), root.resolve())
        return
    if own := first_folder(folder, roles):
        yield own, False
    yield root, True
    if root != folder:
        yield folder, True
    if roles == TRIMAP_FOLDERS and (beside := first_folder(folder.absolute().parent, roles)):
        yield beside, False


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _files(folder: Path, apart: Iterable[Path]) -> list[Path]:
    """List the pictures below a folder, as `_walk` does."""
    return [path for path in _walk(folder, apart) if _is_file_of_picture(path.name)]


def _walk(folder: Path, apart: Iterable[Path]) -> list[Path]:
    """List the files below a folder, in order; each folder once, also where links lead to it.

    Raises ImageError where a folder cannot be listed.
    """
    found: list[Path] = []
    seen: set[Path] = set()
    apart = {*apart, *folder.resolve().parents}
    links = [folder]
    while links:
        for directory, folders, files in os.walk(links.pop(0), onerror=_refuse_folder):
            here = Path(directory)
            if here.resolve() in seen:
                folders.clear()
                continue
            seen.add(here.resolve())
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".")
                and name != OUTPUT_FOLDER
                and (here / name).resolve() not in apart
            )
            links += [here / name for name in folders if (here / name).is_symlink()]
            found += [here / name for name in sorted(files) if not name.startswith(".")]
    return found


def _refuse_folder(error: OSError) -> None:
    raise ImageError(
        f"{error.filename} cannot be listed ({words(error)}), and what lies in it would be left "
        "out; mend its permissions, or move it away"
    ) from error


def _left_out(
    folder: Path, rest: Iterable[Path], names: Collection[str]
) -> tuple[tuple[Path, str], ...]:
    """Say why files that are neither pictures nor used are left out; what has an owner is not."""
    left_out = []
    for path in rest:
        if not _is_file_of_picture(path.name):
            if _could_be_picture(path):
                left_out.append((path, "a2u reads no such files"))
            continue
        parts = PurePath(_name(path, folder)).parts
        most = 3 if parts[0] == "trimap_lowres" else 2  # that has folders of its own
        below = range(min(len(parts), most)) if parts[0] in ROLE_FOLDERS else (0,)
        own = [PurePath(*parts[depth:]).as_posix() for depth in below]
        if not any(owner in names for name in own for owner in (name, *_owners(name))):
            where = f"{parts[0]}/ holds no pictures" if len(below) > 1 else "its name is of a role"
            left_out.append((path, f"{where}, and it belongs to none"))
    return tuple(left_out)


def _could_be_picture(path: Path) -> bool:
    """Tell whether a file is a picture by a name that is not read in folders, or by its start."""
    if path.suffix.lower() in OTHER_SUFFIXES:
        return True
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(len(STARTS[0])).startswith(STARTS)
    except OSError:
        return False


def _refuse_none(folder: Path, what: str, left_out: tuple[tuple[Path, str], ...]) -> NoReturn:
    """Say that a folder holds no pictures, and what it holds instead."""
    instead = f"; left out are {len(left_out)}, as {left_out[0][0].name}" if left_out else ""
    raise ImageError(f"{folder} has no {what}, expected some{instead}; check the folder")


def _listed(folder: Path, below: Iterable[str]) -> list[Path]:
    """List the pictures in these folders below a folder, and in none further below."""
    places = [folder / name for name in below if (folder / name).is_dir()]
    return [path for place in places for path in place.iterdir() if _is_file_of_picture(path.name)]


def _is_file_of_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _holds(files: list[Path], folder: Path) -> bool:
    return any(path.is_relative_to(folder) for path in files)


def _require_distinct(named: list[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in named:
        if (other := seen.setdefault(name.casefold(), path)) != path:
            raise ImageError(f"{other} and {path} would have one result; rename one of them")
