"""What a file's name and its folder's say that it is: a picture, its trimap, a mask, a result."""

from collections.abc import Iterable
from pathlib import Path

IMAGE_ROLES = ("_rgb", "_image", "_img")
TRIMAP_ROLES = ("_trimap", "-trimap", ".trimap", "_tri")
MASK_ROLES = ("_mask", "-mask", ".mask")
RESULT_ROLES = ("_alpha", "_matte", "_pha", "_cutout", "_composite", "_foreground")
MATTE_ROLES = ("_alpha", "_matte", "_pha")
IMAGE_FOLDERS = ("image", "images", "merged", "original", "input", "input_lowres", "inputs", "src")
TRIMAP_FOLDERS = ("trimap", "trimaps", "trimap_lowres/Trimap1")
MASK_FOLDERS = ("mask", "masks")
TRUTH_FOLDERS = ("alpha", "alphas", "pha", "matte", "mattes", "gt", "truth", *MASK_FOLDERS)
OTHER_FOLDERS = (
    *(*TRUTH_FOLDERS, "alpha_copy", "gt_lowres", "fg", "fgr", "bg", "bgr"),
    *("com", "comp", "trimap_lowres"),
)
ROLES = (*TRIMAP_ROLES, *MASK_ROLES, *RESULT_ROLES)
MASKS = (*MASK_ROLES, *MATTE_ROLES)
HINT_FOLDERS = {*OTHER_FOLDERS, "trimap", "trimaps"}
ROLE_FOLDERS = {*HINT_FOLDERS, *IMAGE_FOLDERS}
OF_MASKS = tuple(mask + role for mask in MASKS for role in TRIMAP_ROLES)  # as `a2u trimap` names


def name_of(path: Path, folder: Path) -> str:
    """Give a file's name below a folder: its relative path without extension."""
    return path.relative_to(folder).with_suffix("").as_posix()


def bare_names(name: str) -> list[str]:
    """Give a picture's name, and that without the suffix of its own role, `x` for `x_rgb`."""
    role = next((role for role in IMAGE_ROLES if name.endswith(role)), None)
    return [name] if role is None else [name, name.removesuffix(role)]


def owner_names(name: str) -> list[str]:
    """Give the names of the pictures that a file could belong to: its own without its suffixes."""
    found = []
    while role := next((role for role in ROLES if name.endswith(role)), None):
        name = name.removesuffix(role)
        found.append(name)
    return found


def first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """Give the first of these folders that there is below a folder."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def folder_above(folder: Path) -> Path:
    """Give the folder that a folder lies in, in the words it was named with where they tell."""
    return folder.parent if folder.name not in ("", "..") else folder / ".."
