"""Find a folder's pictures and what belongs to each: its trimap, or a mask to make one from."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import ImageError
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
    *("alpha", "alpha_copy", "pha", "matte", "gt", "gt_lowres", "fg", "fgr", "bg", "bgr"),
    *("com", "comp", "trimap_lowres"),
)


@dataclass(frozen=True)
class Pair:
    """A picture, its trimap or mask, and its name: the relative path without extension."""

    name: str
    image: Path
    hint: Path
    is_mask: bool = False


@dataclass(frozen=True)
class Pairs:
    """What was found in a folder: pairs by name, and the pictures without a trimap."""

    found: tuple[Pair, ...]
    unpaired: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """List all of them: the inputs of a run, which no output may replace."""
        return (*(path for pair in self.found for path in (pair.image, pair.hint)), *self.unpaired)


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

    In `trimaps` (and `masks`) is looked for the same relative path with any extension, with and
    without a role's suffix. Without them, in folders of that role beside the pictures' (`trimap`
    beside `image`), and for `x_trimap.png` (`roles` are such suffixes) beside `x.png`. What lies in
    the folders of another role, in `skip` and in any `a2u_output` is not taken for a picture.

    Raises ImageError where a folder is missing or holds no picture, where two files could be meant,
    or where two pictures would have one result.
    """
    for given in (folder, trimaps, masks):
        if given is not None and not given.is_dir():
            raise ImageError(f"{given} is no folder, expected one with pictures; check the name")
    apart = [p.resolve() for p in (skip, trimaps, masks) if p and p.resolve() != folder.resolve()]
    files = [path for path in _files(folder, apart) if path not in results]
    root = next((folder / n for n in IMAGE_FOLDERS if _has_role(files, folder / n)), folder)
    trimaps = trimaps or first_folder(folder, TRIMAP_FOLDERS)
    masks = masks or first_folder(folder, MASK_FOLDERS)
    others = set() if root != folder else {*MASK_FOLDERS, *OTHER_FOLDERS}
    own = tuple(p for p in (trimaps, masks) if p and p != folder)
    pictures = [
        path
        for path in files
        if path.is_relative_to(root)
        and not any(path.is_relative_to(role) for role in own)
        and path.relative_to(root).parts[0] not in others
        and not path.stem.endswith((*TRIMAP_ROLES, *MASK_ROLES, *RESULT_ROLES))
    ]
    if not pictures:
        raise ImageError(f"{folder} has no pictures to matte, expected some; check the folder")
    _require_distinct(pictures, root)
    hints = [
        (_index(trimaps or root, roles, suffixed=trimaps is None), False),
        (_index(masks or root, MASK_ROLES, suffixed=masks is None), True),
    ]
    found, unpaired = [], []
    for path in pictures:
        name = _name(path, root)
        hint = next(
            ((h, is_mask) for index, is_mask in hints for h in [_look_up(index, name, path)] if h),
            None,
        )
        if hint is None:
            unpaired.append(path)
        else:
            found.append(Pair(name, path, *hint))
    return Pairs(tuple(found), tuple(unpaired))


def find_mattes(folder: Path, mattes: Path, *, results: Collection[Path] = ()) -> Pairs:
    """Pair every picture below a folder with its matte in another.

    Raises what `find_pairs` does.
    """
    found = find_pairs(folder, trimaps=mattes, roles=MATTE_ROLES, results=results)
    masked = tuple(pair.image for pair in found.found if pair.is_mask)
    return Pairs(
        tuple(pair for pair in found.found if not pair.is_mask), (*found.unpaired, *masked)
    )


def find_alone(folder: Path, results: Collection[Path] = ()) -> Pairs:
    """List every picture below a folder, each paired with itself, but results of earlier runs.

    Raises ImageError for none.
    """
    if not (found := [path for path in _files(folder, ()) if path not in results]):
        raise ImageError(f"{folder} has no pictures, expected some; check the folder")
    _require_distinct(found, folder)
    return Pairs(tuple(Pair(_name(path, folder), path, path) for path in found), ())


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """Give the first of these folders that there is below a folder."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _files(folder: Path, apart: Iterable[Path]) -> list[Path]:
    """List the pictures below a folder, sorted; links to folders are not followed."""
    apart, found = tuple(apart), []
    for directory, folders, files in os.walk(folder):
        here = Path(directory)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != OUTPUT_FOLDER
            and (here / name).resolve() not in apart
        )
        found += [
            here / name
            for name in sorted(files)
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return found


def suffixed(folder: Path, roles: tuple[str, ...]) -> dict[str, Path]:
    """List, by the name of their picture, the files below a folder whose suffix tells a role.

    Raises ImageError where a picture has two of them.
    """
    index = _index(folder, roles, suffixed=True)
    return {name: _only(paths, folder / name) for name, paths in index.items()}


def _has_role(files: list[Path], folder: Path) -> bool:
    return any(path.is_relative_to(folder) for path in files)


def _index(folder: Path, roles: tuple[str, ...], *, suffixed: bool) -> dict[str, list[Path]]:
    """List a folder's trimaps or masks by the name of their picture.

    In a folder of its own a file needs no suffix; among pictures (`suffixed`) it does.
    """
    index: dict[str, list[Path]] = {}
    for path in _files(folder, ()):
        name = _name(path, folder)
        role = next((role for role in roles if name.endswith(role)), None)
        if role or not suffixed:
            index.setdefault(name.removesuffix(role or ""), []).append(path)
    return index


def _look_up(index: dict[str, list[Path]], name: str, image: Path) -> Path | None:
    """Find a picture's file: under its own name, then under its name without a role's suffix."""
    bare = next((name.removesuffix(role) for role in IMAGE_ROLES if name.endswith(role)), None)
    for candidate in (name, bare):
        if candidate in index:
            return _only(index[candidate], image)
    return None


def _only(paths: list[Path], image: Path) -> Path:
    if len(paths) > 1:
        raise ImageError(
            f"{image} has more than one trimap or mask ({', '.join(map(str, paths))}); keep one"
        )
    return paths[0]


def _require_distinct(pictures: list[Path], root: Path) -> None:
    seen: dict[str, Path] = {}
    for path in pictures:
        name = _name(path, root).casefold()
        if name in seen:
            raise ImageError(f"{seen[name]} and {path} would have one result; rename one of them")
        seen[name] = path
