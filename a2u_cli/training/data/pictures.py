"""Square pictures for an atlas: rendered ones, and those of files, which a pack holds.

A pack is one `.npz` file of at most some tens of megabytes with the bytes of JPEG photographs
(`bg/NAME`) and of WebP cut-outs (`fg/NAME`), small enough to travel with a checkout.
"""

from pathlib import Path

import cv2
import numpy as np

from ...errors import ImageError
from ...images import reading as images
from ...rendering import foregrounds as synthesis
from .folders import list_pictures, refuse_held_out
from .planes import Pixels, fill_colours, scaled, to_pixels

SIDE = 512
CUT_OUT_QUALITY = [cv2.IMWRITE_WEBP_QUALITY, 92]  # alpha is stored without loss
PHOTOGRAPH_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


def build_pack(folder: Path, path: Path) -> int:
    """Pack the pictures of `folder`/fg and `folder`/bg at `SIDE` pixels; returns bytes written."""
    entries = {}
    for kind, encode in (("fg", _encode_cut_out), ("bg", _encode_photograph)):
        for file in list_pictures(folder / kind):
            entries[f"{kind}/{file.name}"] = np.frombuffer(encode(file), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:  # given a name, numpy would add a suffix of its own
        np.savez(stream, allow_pickle=False, **entries)
    return path.stat().st_size


def read_pictures(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Read the files of a pack, or of a folder with fg/ and bg/: cut-outs and photographs.

    Raises: ImageError where there is neither, or a cut-out is held out.
    """
    if path.is_dir():
        cut_outs, photographs = (list_pictures(path / kind) for kind in ("fg", "bg"))
        refuse_held_out(cut_outs)
        return [file.read_bytes() for file in cut_outs], [f.read_bytes() for f in photographs]
    try:
        with np.load(path, allow_pickle=False) as archive:
            entries = {name: archive[name].tobytes() for name in sorted(archive.files)}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise ImageError(f"{path}: no pack of pictures ({error}); build one anew") from error
    refuse_held_out(Path(name) for name in entries)
    fg, bg = ([data for name, data in entries.items() if name.startswith(k)] for k in ("fg", "bg"))
    return fg, bg


def render_cut_out(seed: int, number: int, side: int) -> Pixels:
    """Render the foreground of a number: straight colour and alpha, (side, side, 4)."""
    rng = np.random.default_rng((seed, 3, number))
    colour, alpha = synthesis.render_foreground(side, rng)
    return to_pixels(np.dstack([colour, alpha]))


def render_scene(seed: int, number: int, side: int) -> Pixels:
    """Render the background of a number, (side, side, 3)."""
    scene = synthesis.render_background(side, np.random.default_rng((seed, 4, number)))
    return to_pixels(scene)


def decode_cut_out(data: bytes, side: int) -> Pixels:
    """Decode a cut-out in the middle of a square, its colours continued to the corners."""
    picture = images.read_image(data)
    if picture.alpha is None:
        raise ImageError("a cut-out has no alpha channel; a foreground needs an RGBA picture")
    planes = np.dstack([picture.image, picture.alpha])
    planes = scaled(planes, side / max(picture.size))
    height, width = planes.shape[:2]
    square = np.zeros((side, side, 4), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = planes
    colour = fill_colours(square[..., :3], square[..., 3])
    return to_pixels(np.dstack([colour, square[..., 3]]))


def decode_photograph(data: bytes, side: int) -> Pixels:
    """Decode the middle square of a photograph."""
    image = images.read_image(data).image
    image = scaled(image, side / min(image.shape[:2]))
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return to_pixels(image[top : top + side, left : left + side])


def limit_threads() -> None:
    """Keep OpenCV to one thread in this process, which is one of many."""
    cv2.setNumThreads(1)


def _encode_cut_out(file: Path) -> bytes:
    picture = images.read_image(file)
    if picture.alpha is None:
        raise ImageError(f"{file}: no alpha channel; a foreground needs an RGBA picture")
    planes = np.dstack([fill_colours(picture.image, picture.alpha), picture.alpha])
    levels = to_pixels(scaled(planes, min(1.0, SIDE / max(picture.size))))
    return _encode(".webp", cv2.cvtColor(levels, cv2.COLOR_RGBA2BGRA), CUT_OUT_QUALITY)


def _encode_photograph(file: Path) -> bytes:
    image = images.read_image(file).image
    levels = to_pixels(scaled(image, min(1.0, SIDE / min(image.shape[:2]))))
    return _encode(".jpg", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), PHOTOGRAPH_QUALITY)


def _encode(suffix: str, levels: cv2.typing.MatLike, quality: list[int]) -> bytes:
    return bytes(cv2.imencode(suffix, levels, quality)[1])
