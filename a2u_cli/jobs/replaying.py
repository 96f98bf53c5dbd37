"""Find again what a result was made of, make it once more, and say what differs.

Inputs are looked for by their names and known by their sha256. Nothing is written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .. import __version__
from ..backgrounds import DRAWN, Fit, read_colour
from ..errors import A2UError, ImageError, WeightsError, listed
from ..foreground import METHODS
from ..images.formats import HOLDS
from ..images.listing import OUTPUT_FOLDER, list_files
from ..images.meaning import read_matte
from ..images.reading import read_bytes, read_image, read_levels
from ..matting.finishing import AS_IT_IS, Finish
from ..pairing import Pair
from ..trimap import band_pixels, make_trimap
from ..units import Trimap
from ..weights import registry
from ..weights.cache import sha256_of
from .folder import Loaded, encode, read_hint
from .journal import JOURNALS
from .options import OUTPUTS, Options
from .places import hash_file
from .provenance import PICTURE, Input, Note, NoteError, Origin, Tell

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

SIDES = ("inside", "outside")
SHORT = 12  # letters of a sha256 that are shown
# The options of a matte's note, and what they may be.
KINDS: dict[str, Any] = {
    "depth": int,
    "strict": bool,
    "band": str,
    "inside": str,
    "outside": str,
    "invert": bool,
    "levels": list,
    "choke": float,
    "feather": float,
    "crop": str,
    "background": str,
    "fit": get_args(Fit),
    "linear": bool,
    "colours": tuple(METHODS),
    "format": tuple(HOLDS),
    "premultiplied": bool,
    "dtype": ("float32", "bfloat16", "float16"),
    "quality": ("fast", "refined", "best"),
}


class Changed(A2UError):
    """What a result was made of is not what is there: the text says what differs."""

    exit_code = 1


def find_inputs(note: Note, result: Path, given: Iterable[str]) -> dict[str, Path]:
    """Find what a result was made of, by its roles.

    `given` are NAME=PATH or ROLE=PATH, or folders to look through; else it is looked for beside the
    result, in the output folder of its run, beside that where it is DIR/a2u_output, and here; and
    one folder below each of these.

    Raises Changed where a file is there and holds something else, ImageError where none is.
    """
    named, below = _read_given(note, given)
    found, changed, missing = dict[str, Path](), list[str](), list[str]()
    for one in note.inputs:
        seen = list[str]()
        chosen = [named[key] for key in (one.role, one.name) if key in named]
        for path in chosen or _candidates(one, result, below):
            digest = hash_file(path)
            if digest == one.sha256:
                found[one.role] = path
                break
            seen.append(f"{path} has sha256 {digest[:SHORT]}")
        else:
            what = f"the {one.role}, {one.name}, sha256 {one.sha256[:SHORT]}"
            (changed if seen else missing).append(f"{what}: {listed(seen)}" if seen else what)
    if changed:
        raise Changed(
            f"changed: {'; '.join(changed)}; give what it was by --input {note.inputs[0].name}=FILE"
        )
    if missing:
        raise ImageError(
            f"not found beside {result} or here: {'; '.join(missing)}; give each by --input "
            "NAME=FILE, or the folder that they are in by --input FOLDER"
        )
    return found


def _read_given(note: Note, given: Iterable[str]) -> tuple[dict[str, Path], list[Path]]:
    """Sort what was given into files by name or role, and folders; raises ImageError."""
    named, below = dict[str, Path](), list[Path]()
    known = {key for one in note.inputs for key in (one.name, one.role)}
    for text in given:
        key = next((key for key in known if text.startswith(f"{key}=")), None)
        if key:
            named[key] = Path(text[len(key) + 1 :])
        elif Path(text).is_dir():
            below.append(Path(text))
        else:
            raise ImageError(
                f"--input {text} is neither a folder nor NAME=FILE, with a name of "
                f"{', '.join(sorted(known))}"
            )
    return named, below


def _candidates(one: Input, result: Path, below: list[Path]) -> Iterator[Path]:
    """Give the files of an input's name, but the result itself, each once."""
    seen = {result.resolve()}
    for path in (*_below(one.name, below), *_around(one.name, result)):
        if path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _below(name: str, folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in list_files(folder).files if path.name == name)


def _around(name: str, result: Path) -> Iterator[Path]:
    own = result.absolute().parent
    places = [own, Path()]
    for folder in (own, *own.parents):
        if folder.name == OUTPUT_FOLDER:
            places += [folder, folder.parent]
        elif any(JOURNALS.fullmatch(path.name) for path in folder.glob("*.jsonl")):
            places.append(folder)
    for folder in places:
        yield folder / name
        try:
            yield from (inner / name for inner in sorted(folder.iterdir()) if inner.is_dir())
        except OSError:  # a folder that may be passed through, but not listed
            continue


def find_weights(note: Note, given: str) -> Path:
    """Find the weights that a result was made with: those `given`, or any that are there.

    Raises Changed where those given, or of the note's name, are others, WeightsError where there
    are none.
    """
    assert note.weights
    wanted, there = note.weights.sha256, list[str]()
    for name in dict.fromkeys((given, *registry.names())):
        chosen = name == given != registry.DEFAULT
        path = registry.locate(given) if chosen else registry.find(name)
        if path is None:
            continue
        digest = sha256_of(path)
        if digest == wanted:
            return path
        if chosen or name == note.weights.name:
            there.append(f"{name} has sha256 {digest[:SHORT]}")
    what = f"{note.weights.name or 'weights'} of sha256 {wanted[:SHORT]}"
    if there:
        raise Changed(f"changed: made with {what}, but {listed(there)}; give them by --weights")
    raise WeightsError(f"made with {what}, which are not on this machine; give them by --weights")


def remake(
    note: Note, files: Mapping[str, Path], load: Callable[[], "Runtime"], tell: Tell
) -> bytes:
    """Make a result of `matte` again, from files by their roles; raises what making it does.

    The weights are loaded once the note was found sound.
    """
    options, sides = _read_options(note, files)
    matter = load()
    options = options.by(matter)
    image, is_mask = files["picture"], "mask" in files
    hint = files["mask" if is_mask else "trimap"]
    name = Path(note.inputs[0].name).stem
    pair = Pair(name, image, hint, is_mask)
    picture = read_image(image)
    trimap = _read_trimap(pair, options, sides)
    if picture.size != trimap.shape:
        raise NoteError(f"{image} and {hint} differ in size, so nothing was made of them")
    alpha = matter.matte(picture.image, trimap)
    origin = Origin(note.inputs[:2], shaping=sides)
    loaded = Loaded(pair, {note.output: ""}, picture, trimap, origin)
    [(_, data)] = encode(loaded, alpha, options, matter.max_memory, tell)
    return data


def _read_trimap(pair: Pair, options: Options, sides: Mapping[str, str]) -> Trimap:
    data = read_bytes(pair.hint, str(pair.hint))
    if not sides:
        return read_hint(pair, data, options)
    mask = read_matte(data, name=str(pair.hint), invert=options.invert).values
    size = mask.shape[0], mask.shape[1]
    return make_trimap(mask, **{side: band_pixels(width, size) for side, width in sides.items()})


def _read_options(note: Note, files: Mapping[str, Path]) -> tuple[Options, dict[str, str]]:
    """Take a note's options, and both sides of a mask's band where they differ; raises A2UError."""
    roles = {*files}
    if note.output not in OUTPUTS or roles - {"background"} not in (
        {"picture", "trimap"},
        {"picture", "mask"},
    ):
        raise NoteError(f"its note tells of a {note.output} from {listed(sorted(roles))}: not ours")
    for name, value in note.options.items():
        require_option(name, value, KINDS)
    facts: dict[str, Any] = dict(note.options)
    sides: dict[str, str] = {name: facts.pop(name) for name in SIDES if name in facts}
    finish = Finish(
        tuple(facts.pop("levels", AS_IT_IS)), facts.pop("choke", 0.0), facts.pop("feather", 0.0)
    )
    if behind := background_of(note, files):
        facts["background"] = behind
    return Options(**facts, save=(note.output,), finish=finish), sides


def background_of(note: Note, files: Mapping[str, Path]) -> str | None:
    """Give a note's background: a file among the inputs, or one that is drawn, and no other.

    Raises A2UError for what is neither.
    """
    behind = note.options.get("background")
    if behind == PICTURE:
        return str(files["background"])
    if behind is not None and behind not in DRAWN:
        read_colour(behind)
    return behind


def require_option(name: str, value: Any, kinds: Mapping[str, Any]) -> None:
    """Refuse an option that is of another kind than those there are; raises NoteError."""
    kind = kinds.get(name)
    if isinstance(kind, tuple):
        sound = isinstance(value, str) and value in kind
    else:
        among = {*(get_args(kind) or (kind,))}
        sound = type(value) in among or (type(value) is int and float in among)
    if name == "levels" and isinstance(value, list):
        sound = len(value) == 3 and all(type(v) in (int, float) for v in value)
    if not sound:
        raise NoteError(f"its note asks for {name} {value!r}, which this version does not know")


def compare(note: Note, old: bytes, new: bytes, fresh: Note) -> list[str]:
    """Say what differs between a result and what was made again, whose note would be `fresh`."""
    found = [
        f"the note's {fact}: it says {getattr(note, fact)}, made again {getattr(fresh, fact)}"
        for fact in ("options", "inputs", "weights")
        if getattr(note, fact) != getattr(fresh, fact)
    ]
    if old == new:
        return found
    if note.version != __version__:
        found.append(f"version: made by a2u {note.version}, this is {__version__}")
    return [*found, _compare_pixels(old, new)]


def _compare_pixels(old: bytes, new: bytes) -> str:
    """Say how the pixels of two files differ; raises ImageError where one cannot be read."""
    pictures = [read_image(data, name="the result") for data in (old, new)]
    before, after = (read_levels(data, name="the result") for data in (old, new))
    if before.shape != after.shape or before.dtype != after.dtype:
        return f"pixels: {before.shape}, {before.dtype}, made again {after.shape}, {after.dtype}"
    apart = np.abs(before.astype(np.int64) - after.astype(np.int64)).max(axis=2)
    if apart.any():
        share = 100 * np.count_nonzero(apart) / apart.size
        most, levels = apart.max(), np.iinfo(before.dtype).max
        return f"pixels: {share:.2g} % differ, by at most {most} of {levels} levels"
    theirs, ours = (picture.colours(light=True) for picture in pictures)
    if not np.array_equal(theirs, ours):
        return "pixels: they differ in their light alone, by less than a level of 16 bits"
    return "file: the pixels are the same, but not its other bytes (metadata, or compression)"
