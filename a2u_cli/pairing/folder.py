"""List the pairs of a folder for each command, and what is left over."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from ..errors import ImageError
from ..images import listing
from ..images.listing import LeftOut, Listing, is_named_as_picture, list_files
from .matching import list_places, match, tell_source
from .pictures import find_candidates, name_pictures, require_distinct
from .roles import (
    MASK_FOLDERS,
    MASK_ROLES,
    MASKS,
    MATTE_ROLES,
    OTHER_FOLDERS,
    ROLE_FOLDERS,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    TRUTH_FOLDERS,
    bare_names,
    first_folder,
    name_of,
    owner_names,
)

# Tells the results of earlier runs; asked after a folder is listed, since a run may be at work and
# names each of them before it is there.
Results = Callable[[], Collection[Path]]
PAINTED = "painted with a2u serve"


@dataclass(frozen=True)
class Pair:
    """A picture, its trimap or mask, and its name: the relative path without extension.

    `source` says in words where the trimap or the mask was found; `own` are options of this picture
    alone, by their names.
    """

    name: str
    image: Path
    hint: Path
    is_mask: bool = False
    source: str = ""
    own: tuple[tuple[str, str | bool], ...] = ()


@dataclass(frozen=True)
class Pairs:
    """What was found in a folder: pairs by name, the pictures without a trimap, and what is left.

    `left_out` are files that could be pictures, and folders that could hold some, each with the
    reason why it is taken for none.
    """

    found: tuple[Pair, ...]
    unpaired: tuple[Path, ...]
    left_out: LeftOut = ()

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
    results: Results = frozenset,
    own: Collection[Path] = (),
    roles: tuple[str, ...] = TRIMAP_ROLES,
    painted: Mapping[str, Path] = MappingProxyType({}),
) -> Pairs:
    """Pair every picture below a folder with its trimap, or else with its mask.

    Trimaps that were `painted`, by the names of pictures, come before all others.

    Given `trimaps` hold them, by the rule of `match`. Without, they are looked for in a folder of
    that role (`trimap`, below the folder or beside it), and as `x_trimap.png` (`roles` are such
    suffixes) beside `x.png`; and in the same way masks. What belongs to a picture is none itself,
    nor is what lies in `skip`, in any `a2u_output`, or in a data set's folder of another role, nor
    are `results` of earlier runs; `own` results belong to none, either.

    Raises ImageError where a folder is missing or holds no picture, where two files could be meant,
    or where two pictures would have one result.
    """
    _require_folders(folder, trimaps, masks)
    trimaps, masks = _below(folder, trimaps), _below(folder, masks)
    given = [place for place in (trimaps, masks) if place and place != folder]
    inner = [place for place in given if place.is_relative_to(folder)]
    apart = {place.resolve() for place in (*given, skip) if place and place not in inner}
    listed = list_files(folder, {*apart, *own}).without(results())
    drawn = trimaps if roles == TRIMAP_ROLES else None
    root, named = _find_pictures(folder, listed, given, drawn, own)
    places = [
        *((roles, False, *place) for place in list_places(folder, root, trimaps, TRIMAP_FOLDERS)),
        *((MASK_ROLES, True, *place) for place in list_places(folder, root, masks, MASK_FOLDERS)),
    ]
    found = _find_hints(named, places, own, painted)
    closed = dict([*listed.left_out, *listing.shut(place for _, _, place, _ in places)])
    listed = replace(listed, left_out=tuple(closed.items()))
    return _account(folder, listed, named, found, inner)


def _find_pictures(
    folder: Path, listed: Listing, given: list[Path], drawn: Path | None, own: Collection[Path]
) -> tuple[Path, dict[str, Path]]:
    """Find the pictures by their names, and the folder below which they lie; refuse none."""
    root, free = find_candidates(folder, listed.pictures, given)
    places = list_places(folder, root, drawn, TRIMAP_FOLDERS)
    named = name_pictures(folder, root, free, places, own)
    if not named:
        left_out = (*listed.left_out, *_unused(listed.files, folder))
        _refuse_none(folder, "pictures to matte", left_out)
    require_distinct(named)
    return root, dict(named)


def _account(
    folder: Path,
    listed: Listing,
    named: dict[str, Path],
    found: dict[str, Pair],
    inner: Iterable[Path],
) -> Pairs:
    """Give the pairs, in order, and say of every other file that was listed why it is in none."""
    alone = _alone(folder, [path for name, path in named.items() if name not in found])
    used = {*alone, *(path for pair in found.values() for path in (pair.image, pair.hint))}
    owners = {bare for name, path in named.items() if path in used for bare in bare_names(name)}
    rest = [path for path in listed.files if path not in used]
    return Pairs(
        tuple(found[name] for name in named if name in found),
        tuple(alone),
        (*listed.left_out, *_unused(rest, folder, owners, inner)),
    )


def _alone(folder: Path, pictures: list[Path]) -> list[Path]:
    """Keep what is a picture also without a trimap: `bg/x` is none beside a folder of trimaps."""
    if not first_folder(folder, (*TRIMAP_FOLDERS, *MASK_FOLDERS)):
        return pictures
    return [path for path in pictures if path.relative_to(folder).parts[0] not in OTHER_FOLDERS]


def _require_folders(*folders: Path | None) -> None:
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ImageError(f"{folder} is no folder, expected one with pictures; check the name")


def _find_hints(
    pictures: dict[str, Path],
    places: Iterable[tuple[tuple[str, ...], bool, Path, bool]],
    own: Collection[Path],
    painted: Mapping[str, Path],
) -> dict[str, Pair]:
    """Find each picture's trimap or mask in the first of these places that has it.

    A place is the suffixes there, whether they are masks', the folder, and if it has pictures, too.
    """
    found = {
        name: Pair(name, pictures[name], painted[name], source=PAINTED)
        for name in pictures
        if name in painted
    }
    for roles, is_mask, place, among in places:
        without = [name for name in pictures if name not in found]
        hints = match(without, place, roles, suffixed=among, pictures=pictures, apart=own)
        for name, hint in hints.items():
            source = tell_source(pictures[name], hint, place, among=among)
            found[name] = Pair(name, pictures[name], hint, is_mask, source)
    return found


def find_mattes(
    folder: Path, mattes: Path, *, results: Results = frozenset, own: Collection[Path] = ()
) -> Pairs:
    """Pair every picture below a folder with its matte in another, or beside it in the same.

    Raises what `find_pairs` does, and ImageError where the mattes are the pictures themselves.
    """
    found = find_pairs(folder, trimaps=mattes, roles=MATTE_ROLES, results=results, own=own)
    masked = tuple(pair.image for pair in found.found if pair.is_mask)
    pairs = tuple(pair for pair in found.found if not pair.is_mask)
    if not pairs and folder.resolve() == mattes.resolve():
        raise ImageError(
            f"{folder} was given as its own mattes, and no picture in it has an _alpha beside it; "
            "give the folder of the mattes"
        )
    return Pairs(pairs, (*found.unpaired, *masked), found.left_out)


def find_alone(folder: Path, results: Results = frozenset) -> Pairs:
    """List every picture below a folder, each paired with itself, but `results` of earlier runs.

    Raises ImageError for none.
    """
    pictures, left_out = _list_alone(folder, results)
    named = [(name_of(path, folder), path) for path in pictures]
    require_distinct(named)
    return Pairs(tuple(Pair(name, path, path) for name, path in named), (), left_out)


def find_masks(folder: Path, results: Results = frozenset) -> Pairs:
    """List the masks and mattes below a folder, each paired with itself; as `find_alone` does.

    `unpaired` are what is no mask: `x.jpg` where `x_mask.png` or `x_alpha.png` lies beside it,
    `x_trimap.png` beside either, and in a data set with a folder of mattes what is in `image/`,
    `trimap/` and others of another role.
    """
    pictures, left_out = _list_alone(folder, results)
    others = {*ROLE_FOLDERS} - {*TRUTH_FOLDERS} if first_folder(folder, TRUTH_FOLDERS) else set()
    names = {name_of(path, folder) for path in pictures}
    masked = {
        owner
        for name in names
        if name.endswith(MASKS)
        for owner in owner_names(name)
        if owner in names
    }
    named = [
        (name, path)
        for path in pictures
        for name in [name_of(path, folder)]
        if name not in masked and name.split("/")[0] not in others
        if not (name.endswith(TRIMAP_ROLES) and names & {*owner_names(name)})
    ]
    require_distinct(named)
    kept = {path for _, path in named}
    return Pairs(
        tuple(Pair(name, path, path) for name, path in named),
        tuple(path for path in pictures if path not in kept),
        left_out,
    )


def _list_alone(folder: Path, results: Results) -> tuple[list[Path], LeftOut]:
    """List the pictures below a folder, and what is left out; raises ImageError for no picture."""
    listed = list_files(folder).without(results())
    left_out = (*listed.left_out, *listing.unread(listed.files))
    if not listed.pictures:
        _refuse_none(folder, "pictures", left_out)
    return listed.pictures, left_out


def _below(folder: Path, given: Path | None) -> Path | None:
    """Name a folder that lies below another as that one is named; others stay."""
    real = folder.resolve()
    if given is None or not given.resolve().is_relative_to(real):
        return given
    return folder / given.resolve().relative_to(real)


def _unused(
    rest: Iterable[Path], folder: Path, owners: Collection[str] = (), given: Iterable[Path] = ()
) -> LeftOut:
    """Say why files that are neither pictures nor used are left out; what has an owner is not.

    Files in folders `given` for trimaps or masks are as in a folder of that name.
    """
    rest = list(rest)
    left_out = list(listing.unread(rest))
    for path in filter(lambda path: is_named_as_picture(path.name), rest):
        top, *inner = path.relative_to(folder).parent.parts or ("",)
        apart = [place for place in given if path.is_relative_to(place)]
        if top in ROLE_FOLDERS:
            apart += [folder / top]
        if top == "trimap_lowres" and inner:  # that has folders of its own
            apart += [folder / top / inner[0]]
        names = [name_of(path, place) for place in (folder, *apart)]
        if not any(owner in owners for name in names for owner in (name, *owner_names(name))):
            where = f"{top}/ holds no pictures" if apart else "its name is of a role"
            left_out.append((path, f"{where}, and it belongs to none"))
    return tuple(left_out)


def _refuse_none(folder: Path, what: str, left_out: LeftOut) -> NoReturn:
    """Say that a folder holds no pictures, and what it holds instead."""
    raise ImageError(
        f"{folder} has no {what}, expected some{listing.instead(left_out)}; check the folder"
    )
