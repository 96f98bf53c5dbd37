"""Projects that the page keeps by itself: in the cache folder, by their pictures' hashes.

So a closed tab or a server that was started again loses no stroke, wherever the picture lies by
then. A file is named by the picture's hash and by that of its place, which tells a folder's drafts
without reading its pictures.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ..images.writing import write_bytes
from ..weights.cache import cache_folder
from .refusals import Refused

MOST = 64 << 20  # bytes of a project
VERSION = 1
HEADS = {"picture": dict, "strokes": list, "undone": list, "start": dict}


class Drafts:
    """The folder of drafts; it is made when the first is written."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "drafts"

    def load(self, picture: str) -> bytes | None:
        """Give the newest project of a picture, by its sha256; None where there is none."""
        found = sorted(self.folder.glob(f"{picture}-*.json"), key=lambda p: p.stat().st_mtime_ns)
        return found[-1].read_bytes() if found else None

    def save(self, picture: str, place: Path, data: bytes) -> Path:
        """Keep a project, whole or not at all; raises Refused where it is none, ImageError."""
        require_project(data, picture)
        path = self.folder / f"{picture}-{_hash_place(place)}.json"
        write_bytes(path, data)
        return path

    def times(self) -> dict[str, float]:
        """Tell when drafts were written, by the hashes of their pictures' places."""
        found: dict[str, float] = {}
        for path in self.folder.glob("*-*.json"):
            place = path.stem.split("-")[1]
            found[place] = max(found.get(place, 0.0), path.stat().st_mtime)
        return found

    def written(self, place: Path, times: dict[str, float]) -> float | None:
        """Tell when a picture's draft was written."""
        return times.get(_hash_place(place))


def require_project(data: bytes, picture: str) -> dict[str, Any]:
    """Refuse what is no project of a picture; raises Refused."""
    try:
        project = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(400, "the project is no JSON, expected one as the page saves it") from None
    if not isinstance(project, dict) or project.get("a2u") != "project":
        raise Refused(422, 'the JSON is no project, expected one with "a2u": "project"')
    if project.get("version") != VERSION:
        raise Refused(
            422,
            f"the project is of version {str(project.get('version'))[:20]}, expected {VERSION}; "
            "use the a2u that saved it",
        )
    for head, kind in HEADS.items():
        if not isinstance(project.get(head), kind):
            raise Refused(422, f"the project has no {head}, expected one as the page saves it")
    if project["picture"].get("sha256") != picture:
        raise Refused(409, "the project is of another picture; open that one")
    return project


def _hash_place(place: Path) -> str:
    return hashlib.sha256(str(place.absolute()).encode(errors="surrogatepass")).hexdigest()[:16]
