"""Find a folder's pictures and what belongs to each: its trimap, a mask, its matte or its truth.

One rule for all commands; docs/folders.md and docs/scoring.md state it in words.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath
from typing import NoReturn

from .errors import ImageError, listed
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
ROLE_FOLDERS = {*OTHER_FOLDERS, *IMAGE_FOLDERS, "trimap", "trimaps"}
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
    for given in (folder, trimaps, masks):
        if given is not None and not given.is_dir():
            raise ImageError(f"{given} is no folder, expected one with pictures; check the name")
    apart = [p.resolve() for p in (skip, trimaps, masks) if p and p.resolve() != folder.resolve()]
    every = [path for path in _walk(folder, apart) if path not in results]
    files = [path for path in every if _is_file_of_picture(path.name)]
    root, pictures = _pictures(folder, files)
    if not pictures:
        _refuse_none(folder, "pictures to matte", _left_out(folder, every, ()))
    named = [(_name(p, root if p.is_relative_to(root) else folder), p) for p in pictures]
    _require_distinct(named)
    names = dict(named)
    found: dict[str, tuple[Path, bool]] = {}
    for suffixes, is_mask, places in (
        (roles, False, _places(folder, root, trimaps, TRIMAP_FOLDERS)),
        (MASK_ROLES, True, _places(folder, root, masks, MASK_FOLDERS)),
    ):
        for place, among in places:
            without = [name for name in names if name not in found]
            matched = match(without, place, suffixes, suffixed=among, pictures=names)
            found |= {name: (path, is_mask) for name, path in matched.items()}
    used = {*pictures, *(path for path, _ in found.values())}
    rest = [path for path in every if path not in used]
    return Pairs(
        tuple(Pair(name, path, *found[name]) for name, path in named if name in found),
        tuple(path for name, path in named if name not in found),
        _left_out(folder, rest, {bare for name in names for bare in _bare(name)}),
    )


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
    every = [path for path in _walk(folder, ()) if path not in results]
    files = [path for path in every if _is_file_of_picture(path.name)]
    left_out = _left_out(folder, [p for p in every if not _is_file_of_picture(p.name)], ())
    if not files:
        _refuse_none(folder, "pictures", left_out)
    named = [(_name(path, folder), path) for path in files]
    _require_distinct(named)
    return Pairs(tuple(Pair(name, path, path) for name, path in named), (), left_out)


def find_masks(folder: Path, results: Collection[Path] = ()) -> Pairs:
    """List the masks and mattes below a folder, each paired with itself; as `find_alone` does.

    `unpaired` are what is no mask: `x.jpg` where `x_mask.png` or `x_alpha.png` lies beside it, and
    `x_trimap.png` beside either.
    """
    alone = find_alone(folder, results)
    files = [pair.image for pair in alone.found]
    names = {_name(path, folder) for path in files}
    masked = {
        owner for name in names if name.endswith(MASKS) for owner in _owners(name) if owner in names
    }
    named = [
        (name, path)
        for path in files
        for name in [_name(path, folder)]
        if name not in masked and not (name.endswith(TRIMAP_ROLES) and names & {*_owners(name)})
    ]
    _require_distinct(named)
    kept = {path for _, path in named}
    return Pairs(
        tuple(Pair(name, path, path) for name, path in named),
        tuple(path for path in files if path not in kept),
        alone.left_out,
    )


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
    ways = [roles, OF_MASKS] if roles == TRIMAP_ROLES else [roles]
    ways += [] if suffixed else [("",), MASKS]
    found = {}
    for name in names:
        for stem, endings in product(_bare(name), ways):
            own = [stem + end for end in endings if not end or stem + end not in pictures]
            paths = [path for candidate in own for path in files.get(candidate, ())]
            if len(paths) > 1:
                what = "more than one trimap or mask"
                what = "more than one matte" if roles == MATTE_ROLES else what
                raise ImageError(f"{name} has {what} ({listed(paths)}); keep one")
            if paths:
                found[name] = paths[0]
                break
    return found


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


def _pictures(folder: Path, files: list[Path]) -> tuple[Path, list[Path]]:
    """Tell a folder's pictures from what belongs to them, and say below which folder they lie.

    That is its folder `image` (or the like) where it is a data set, with a folder `trimap` or
    `mask`, or where no pictures lie elsewhere. A file in a folder of another role, as `alpha`, is
    no picture in a data set, nor where it has a picture's name.
    """
    own = [f for names in (TRIMAP_FOLDERS, MASK_FOLDERS) if (f := first_folder(folder, names))]
    images = next((folder / n for n in IMAGE_FOLDERS if _holds(files, folder / n)), None)
    free = [path for path in files if not any(path.is_relative_to(place) for place in own)]
    inner = [path for path in free if path.relative_to(folder).parts[0] in OTHER_FOLDERS]
    outer = [path for path in free if path.relative_to(folder).parts[0] not in OTHER_FOLDERS]
    elsewhere = not images or any(not path.is_relative_to(images) for path in outer)
    root = images if images and (own or not elsewhere) else folder
    if root == folder and not own:
        names = {_name(path, folder) for path in outer}
        for path in inner:
            name = _name(path, folder / path.relative_to(folder).parts[0])
            if not names & {name, *_owners(name)}:
                outer.append(path)
    names = {name for path in outer for name in _bare(_name(path, folder))}
    return root, [path for path in outer if _is_picture(_name(path, folder), names)]


def _is_picture(name: str, names: Collection[str]) -> bool:
    """Tell whether a file among others is a picture: `x_mask` beside `x` is none, but its mask.

    Unless both have a trimap of their own: then `x_mask` is a picture's own name.
    """
    owner = next((owner for owner in _owners(name) if owner in names), None)
    if owner is None:
        return True
    own_trimaps = all(any(n + role in names for role in TRIMAP_ROLES) for n in (name, owner))
    return own_trimaps and not name.endswith(TRIMAP_ROLES)


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
        below = range(len(parts)) if parts[0] in ROLE_FOLDERS else (0,)
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
