"""Tell which files of a folder are pictures, and below which of its folders they lie."""

from collections.abc import Collection, Iterable
from pathlib import Path

from ..errors import ImageError
from .matching import index, list_endings
from .roles import (
    HINT_FOLDERS,
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    OTHER_FOLDERS,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    bare_names,
    first_folder,
    name_of,
    owner_names,
)


def find_candidates(folder: Path, files: list[Path], given: list[Path]) -> tuple[Path, list[Path]]:
    """Tell below which folder a folder's pictures lie, and what may be one.

    That is its folder `image` (or the like) where it is a data set, with a folder `trimap` or
    `mask`, or where no pictures lie elsewhere; unless these (or those that are `given`) have a
    folder `image`, too. In a data set what lies in a folder of another role, as `alpha`, is none.
    """
    own = [f for names in (TRIMAP_FOLDERS, MASK_FOLDERS) if (f := first_folder(folder, names))]
    images = next(
        (folder / n for n in IMAGE_FOLDERS if any(p.is_relative_to(folder / n) for p in files)),
        None,
    )
    real = folder.resolve()
    hints = [h for h in (p.resolve() for p in (*own, *given)) if not real.is_relative_to(h)]
    parents = {parent: parent.resolve() for parent in {path.parent for path in files}}
    apart = {p for p, real in parents.items() if any(real.is_relative_to(hint) for hint in hints)}
    free = [path for path in files if path.parent not in apart]
    outer = [path for path in free if path.relative_to(folder).parts[0] not in OTHER_FOLDERS]
    elsewhere = any(images is None or not path.is_relative_to(images) for path in outer)
    if images is None or (elsewhere and not own):
        return folder, free
    mirrored = any((place / images.name).is_dir() for place in (*own, *given))
    return (folder, free) if mirrored else (images, outer)


def name_pictures(
    folder: Path,
    root: Path,
    files: list[Path],
    drawn: Iterable[tuple[Path, bool]],
    own: Collection[Path] = (),
) -> list[tuple[str, Path]]:
    """Name the pictures among files: `x_mask` beside `x` is none, but its mask, as is `alpha/x`.

    Unless both have a trimap of their own in one of the places `drawn`: then it is a picture's own
    name. `own` results are nobody's trimaps.
    """
    named = [(name_of(p, root if p.is_relative_to(root) else folder), p) for p in files]
    names = {bare for name, _ in named for bare in bare_names(name)}
    places: list[tuple[dict[str, list[Path]], bool]] = []

    def trimap_of(name: str) -> Path | None:
        if not places:  # rarely asked
            places.extend((index(place, apart=own), among) for place, among in drawn)
        for files, among in places:
            for endings in list_endings(TRIMAP_ROLES, suffixed=among):
                if paths := [path for end in endings for path in files.get(name + end, ())]:
                    return paths[0] if len(paths) == 1 else None  # of two none is its own
        return None

    pictures = []
    for name, path in named:
        top = path.relative_to(folder).parts[0]
        inner = (
            [name_of(path, folder / top)] if top in HINT_FOLDERS and path != folder / top else []
        )
        owners = [*inner, *(owner for known in (name, *inner) for owner in owner_names(known))]
        owner = next((owner for owner in owners if owner in names), None)
        if owner and not name.endswith(TRIMAP_ROLES):
            its = trimap_of(name), trimap_of(owner)
            owner = owner if None in its or its[0] == its[1] else None
        if not owner:
            pictures.append((name, path))
    return pictures


def require_distinct(named: list[tuple[str, Path]]) -> None:
    """Refuse two pictures whose results would have one name; raises ImageError."""
    seen: dict[str, Path] = {}
    for name, path in named:
        if (other := seen.setdefault(name.casefold(), path)) != path:
            raise ImageError(f"{other} and {path} would have one result; rename one of them")
