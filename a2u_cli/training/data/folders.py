"""Folders of foregrounds and photographs: listed and read."""

from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...foreground import estimate_foreground
from ...images import reading as images
from ...images.listing import list_files
from ...images.meaning import read_matte
from ...pairing import IMAGE_FOLDERS, MATTE_ROLES, by_picture, find_mattes, first_folder
from .planes import Pixels, fill_colours, scaled, to_pixels

Foreground = tuple[Path, Path | None]  # a picture, and the file of its alpha if it has one

ALPHA_FOLDERS = ("alpha", "alphas", "pha", "matte", "mattes")
LONGEST = 2048  # pixels of a side that a picture is held at: four of the largest crops


def list_pictures(folder: Path | None) -> list[Path]:
    """List the pictures below a folder, sorted; none for no folder.

    Raises ImageError where there are none, or a folder there cannot be listed.
    """
    if folder is None:
        return []
    listed = list_files(folder)
    for path, why in listed.left_out if folder.is_dir() else ():
        raise ImageError(f"{path}: {why}; mend its permissions, or move it away")
    paths = sorted(listed.pictures)
    if not paths:
        raise ImageError(f"{folder}: no pictures found; expected PNG, JPEG or TIFF files")
    return paths


def list_foregrounds(folder: Path | None) -> list[Foreground]:
    """List a folder's foregrounds, each with the file of its alpha where that is one of its own.

    A foreground is an RGBA picture (straight alpha), or `x.png` with `x_alpha.png` beside it, or a
    picture of `image/` with one of `alpha/` (and the other names of these roles).

    Raises ImageError where there are none, or a picture of `image/` has no alpha.
    """
    if folder is None:
        return []
    pictures, alphas = first_folder(folder, IMAGE_FOLDERS), first_folder(folder, ALPHA_FOLDERS)
    if pictures and alphas:
        mattes = find_mattes(pictures, alphas)
        for path in mattes.unpaired:
            raise ImageError(f"{path} has no alpha in {alphas}; add it, or take the picture away")
        return [(pair.image, pair.hint) for pair in mattes.found]
    own = by_picture(folder, MATTE_ROLES, suffixed=True)
    listed = [path for path in list_pictures(folder) if path not in own.values()]
    return [(p, own.get(p.relative_to(folder).with_suffix("").as_posix())) for p in listed]


def read_foreground(path: Path, matte: Path | None = None) -> Pixels:
    """Read straight colour and alpha, uint8 (H, W, 4) of at most `LONGEST` pixels a side.

    Colour is continued smoothly to where alpha is 0. Without transparency of its own a picture
    needs its matte; its colours are then estimated.
    """
    picture = images.read_image(path)
    colour, alpha = picture.image, picture.alpha
    if matte is not None:
        alpha = read_matte(matte).values
        colour = estimate_foreground(colour, alpha)
    if alpha is None:
        raise ImageError(f"{path} has no alpha channel, and no {path.stem}_alpha beside it; add it")
    planes = np.dstack([fill_colours(colour, alpha), alpha])
    return to_pixels(scaled(planes, min(1.0, LONGEST / max(alpha.shape))))


def read_photograph(path: Path) -> Pixels:
    """Read a background photograph, uint8 (H, W, 3) of at most `LONGEST` pixels a side."""
    image = images.read_image(path).image
    return to_pixels(scaled(image, min(1.0, LONGEST / max(image.shape[:2]))))
