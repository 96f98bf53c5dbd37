"""Find which file belongs to a picture, by their names, and where it is looked for."""

from collections.abc import Collection, Iterable, Iterator
from itertools import product
from pathlib import Path

from ..errors import ImageError, listed
from ..images import listing
from ..images.listing import list_files
from .roles import (
    MASKS,
    MATTE_ROLES,
    OF_MASKS,
    ROLES,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    bare_names,
    first_folder,
    folder_above,
    name_of,
)


def match(
    names: Iterable[str],
    folder: Path,
    roles: tuple[str, ...],
    *,
    suffixed: bool,
    pictures: Collection[str] = (),
    below: Iterable[str] | None = None,
    apart: Collection[Path] = (),
) -> dict[str, Path]:
    """Find the file of each of these pictures below a folder, by relative paths without extension.

    The picture `x` has `x_trimap` (the suffixes of `roles`), or else `x_mask_trimap`; or else, but
    not among pictures (`suffixed`), plain `x`, or at last `x_mask`. A picture `x_rgb` without any
    has what `x` would have. What is itself one of the `pictures` is no other's, by a suffix.
    `below` names the only folders to look in, "." the folder itself; `apart` is what is passed by.

    Raises ImageError where a picture has two of them.
    """
    files = index(folder, below, apart)
    ways = list_endings(roles, suffixed=suffixed)
    found = {}
    for name in names:
        for stem, endings in product(bare_names(name), ways):
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


def list_endings(roles: tuple[str, ...], *, suffixed: bool) -> list[tuple[str, ...]]:
    """List by which endings a picture's file is found, in turn."""
    ways = [roles, OF_MASKS] if roles == TRIMAP_ROLES else [roles]
    return ways if suffixed else [*ways, ("",), MASKS]


def index(
    folder: Path, below: Iterable[str] | None = None, apart: Collection[Path] = ()
) -> dict[str, list[Path]]:
    """List a folder's pictures by relative path without extension; the rest is as in `match`."""
    files: dict[str, list[Path]] = {}
    places = None if below is None else [folder / name for name in below]
    for path in (
        list_files(folder, apart).pictures if places is None else listing.pictures_in(places)
    ):
        files.setdefault(name_of(path, folder), []).append(path)
    return files


def by_picture(
    folder: Path,
    roles: tuple[str, ...],
    *,
    suffixed: bool,
    pictures: Collection[str] = (),
    apart: Collection[Path] = (),
) -> dict[str, Path]:
    """List a folder's files by the name of their picture, as `match` finds them; raises as that."""
    names = []
    for stem in index(folder, apart=apart):
        role = next((role for role in roles if stem.endswith(role)), "")
        name = stem if stem in pictures else stem.removesuffix(role)
        if name != stem or not suffixed:
            names.append(name)
    named = dict.fromkeys(names)
    return match(named, folder, roles, suffixed=suffixed, pictures=pictures, apart=apart)


def list_places(
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
    if roles == TRIMAP_FOLDERS and (beside := first_folder(folder_above(folder), roles)):
        yield beside, False


def tell_source(image: Path, hint: Path, place: Path, *, among: bool) -> str:
    """Say where a picture's trimap or mask was found."""
    if not among:
        return f"from {place}"
    role = next((role for role in ROLES if hint.stem.endswith(role)), hint.stem)
    where = "beside the pictures" if hint.parent == image.parent else f"in {place}"
    return f"{where} ({role})"
