"""Find a folder's pictures and what belongs to each: its trimap, a mask, its matte or its truth.

One rule for all commands; docs/folders.md and docs/scoring.md state it in words.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePath
from typing import NoReturn

from .errors import ImageError, listed
from .images import listing
from .images.listing import LeftOut, is_named_as_picture, list_files

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
OF_MASKS = tuple(mask + role for mask in MASKS for role in TRIMAP_ROLES)  # as `a2u trimap` names


@dataclass(frozen=True)
class Pair:
    """A picture, its trimap or mask, and its name: the relative path without extension.

    `source` says in words where the trimap or the mask was found.
    """

    name: str
    image: Path
    hint: Path
    is_mask: bool = False
    source: str = ""


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
    results: Collection[Path] = (),
    own: Collection[Path] = (),
    roles: tuple[str, ...] = TRIMAP_ROLES,
) -> Pairs:
    """Pair every picture below a folder with its trimap, or else with its mask.

    Given `trimaps` hold them, by the rule of `match`. Without, they are looked for in a folder of
    that role (`trimap`, below the folder or beside it), and as `x_trimap.png` (`roles` are such
    suffixes) beside `x.png`; and in the same way masks. What belongs to a picture is none itself,
    nor is what lies in `skip`, in any `a2u_output`, or in a data set's folder of another role, nor
    are `results` of earlier runs; `own` results belong to none, either. What belongs to none and is
    none is in `left_out`.

    Raises ImageError where a folder is missing or holds no picture, where two files could be meant,
    or where two pictures would have one result.
    """
    _require_folders(folder, trimaps, masks)
    trimaps, masks = _below(folder, trimaps), _below(folder, masks)
    given = [place for place in (trimaps, masks) if place and place != folder]
    inner = [place for place in given if place.is_relative_to(folder)]
    apart = {place.resolve() for place in (*given, skip) if place and place not in inner}
    listed = list_files(folder, {*apart, *results, *own})
    root, pictures = _pictures(folder, [p for p in listed.pictures if not _is_in(p, inner)])
    if not pictures:
        left_out = (*listed.left_out, *_unused(listed.files, folder))
        _refuse_none(folder, "pictures to matte", left_out)
    named = [(_name(p, root if p.is_relative_to(root) else folder), p) for p in pictures]
    _require_distinct(named)
    places = [
        *((roles, False, *place) for place in _places(folder, root, trimaps, TRIMAP_FOLDERS)),
        *((MASK_ROLES, True, *place) for place in _places(folder, root, masks, MASK_FOLDERS)),
    ]
    found = _find_hints(dict(named), places, own)
    used = {*pictures, *(pair.hint for pair in found.values())}
    rest = [path for path in listed.files if path not in used]
    closed = dict([*listed.left_out, *listing.shut(place for _, _, place, _ in places)])
    owners = {bare for name, _ in named for bare in _bare(name)}
    return Pairs(
        tuple(found[name] for name, _ in named if name in found),
        tuple(path for name, path in named if name not in found),
        (*closed.items(), *_unused(rest, folder, owners, inner)),
    )


def _require_folders(*folders: Path | None) -> None:
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise ImageError(f"{folder} is no folder, expected one with pictures; check the name")


def _find_hints(
    pictures: dict[str, Path],
    places: Iterable[tuple[tuple[str, ...], bool, Path, bool]],
    own: Collection[Path],
) -> dict[str, Pair]:
    """Find each picture's trimap or mask in the first of these places that has it.

    A place is the suffixes there, whether they are masks', the folder, and if it has pictures, too.
    """
    found: dict[str, Pair] = {}
    for roles, is_mask, place, among in places:
        without = [name for name in pictures if name not in found]
        hints = match(without, place, roles, suffixed=among, pictures=pictures, apart=own)
        for name, hint in hints.items():
            source = _source(pictures[name], hint, place, among=among)
            found[name] = Pair(name, pictures[name], hint, is_mask, source)
    return found


def find_mattes(
    folder: Path, mattes: Path, *, results: Collection[Path] = (), own: Collection[Path] = ()
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


def _list_alone(folder: Path, results: Collection[Path]) -> tuple[list[Path], LeftOut]:
    """List the pictures below a folder, and what is left out; raises ImageError for no picture."""
    listed = list_files(folder, results)
    left_out = (*listed.left_out, *listing.unread(listed.files))
    if not listed.pictures:
        _refuse_none(folder, "pictures", left_out)
    return listed.pictures, left_out


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


def index(
    folder: Path, below: Iterable[str] | None = None, apart: Collection[Path] = ()
) -> dict[str, list[Path]]:
    """List a folder's pictures by relative path without extension; the rest is as in `match`."""
    files: dict[str, list[Path]] = {}
    places = None if below is None else [folder / name for name in below]
    for path in (
        list_files(folder, apart).pictures if places is None else listing.pictures_in(places)
    ):
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
    images = next(
        (folder / n for n in IMAGE_FOLDERS if any(_is_in(path, [folder / n]) for path in files)),
        None,
    )
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


def _source(image: Path, hint: Path, place: Path, *, among: bool) -> str:
    """Say where a picture's trimap or mask was found."""
    if not among:
        return f"from {place}"
    role = next((role for role in ROLES if hint.stem.endswith(role)), hint.stem)
    where = "beside the pictures" if hint.parent == image.parent else f"in {place}"
    return f"{where} ({role})"


def _below(folder: Path, given: Path | None) -> Path | None:
    """Name a folder that lies below another as that one is named; others stay."""
    real = folder.resolve()
    if given is None or not given.resolve().is_relative_to(real):
        return given
    return folder / given.resolve().relative_to(real)


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _unused(
    rest: Iterable[Path], folder: Path, owners: Collection[str] = (), given: Iterable[Path] = ()
) -> LeftOut:
    """Say why files that are neither pictures nor used are left out; what has an owner is not.

    Files in folders `given` for trimaps or masks are as in a folder of that name.
    """
    rest = list(rest)
    left_out = list(listing.unread(rest))
    for path in filter(lambda path: is_named_as_picture(path.name), rest):
        parts = PurePath(_name(path, folder)).parts
        is_apart = parts[0] in ROLE_FOLDERS or _is_in(path, given)
        own = [PurePath(*parts[n:]).as_posix() for n in (range(len(parts)) if is_apart else (0,))]
        if not any(owner in owners for name in own for owner in (name, *_owners(name))):
            where = f"{parts[0]}/ holds no pictures" if is_apart else "its name is of a role"
            left_out.append((path, f"{where}, and it belongs to none"))
    return tuple(left_out)


def _refuse_none(folder: Path, what: str, left_out: LeftOut) -> NoReturn:
    """Say that a folder holds no pictures, and what it holds instead."""
    raise ImageError(
        f"{folder} has no {what}, expected some{listing.instead(left_out)}; check the folder"
    )


def _require_distinct(named: list[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in named:
        if (other := seen.setdefault(name.casefold(), path)) != path:
            raise ImageError(f"{other} and {path} would have one result; rename one of them")
