"""What a job is given: a trimap, a mask's, or that of a box; a picture to lay its cut-out on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..images.meaning import read_matte
from ..images.reading import read_image
from ..images.writing import encode_image
from ..jobs.options import Options
from ..matting.box import box_trimap
from ..trimap import band_pixels, describe, make_trimap, read_trimap
from ..units import Trimap
from .bench import Bench, Job
from .desk import Desk, hash_trimap
from .refusals import Refused
from .spool import Spool, Spooled
from .wishes import read_switch, require_known

BANDS = ("band", "inside", "outside", "invert")
SIDES, MOST_SIDE = ("x", "y", "width", "height"), 1 << 31


class Easel:
    """Takes trimaps for jobs, and tells their shares and the hash of their levels."""

    def __init__(self, bench: Bench, desk: Desk, spool: Spool) -> None:
        self.bench, self.desk, self.spool = bench, desk, spool

    def take_trimap(self, job: Job, file: Spooled) -> dict[str, Any]:
        """Take a drawn trimap; raises ImageError, TrimapError."""
        return self._take(job, read_trimap(file.path, name="the trimap"), "the trimap")

    def take_mask(self, job: Job, file: Spooled, words: Mapping[str, str]) -> dict[str, Any]:
        """Take a mask or an alpha, with bands around its edges; raises ImageError, TrimapError."""
        require_known(words, BANDS)
        invert, band = read_switch(words, "invert"), words.get("band", Options.band)
        values = read_matte(file.path, name="the mask", invert=invert).values
        size = values.shape[0], values.shape[1]
        inside, outside = (
            band_pixels(words.get(side, band), size) for side in ("inside", "outside")
        )
        return self._take(job, make_trimap(values, inside=inside, outside=outside), "the mask")

    def take_box(self, job: Job, words: Mapping[str, Any]) -> dict[str, Any]:
        """Find the object in a box of a job's picture; raises A2UError."""
        require_known(words, (*SIDES, "band"))
        given = [words.get(side) for side in SIDES]
        sides = [side for side in given if type(side) is int and abs(side) < MOST_SIDE]
        if len(sides) < len(SIDES):
            raise Refused(422, f"the box is {given}, expected whole numbers {', '.join(SIDES)}")
        x, y, width, height = sides
        band = str(words.get("band", Options.band))
        image = self.desk.picture(job).image
        return self._take(job, box_trimap(image, (x, y, width, height), band), "the box")

    def take_background(self, job: Job, file: Spooled) -> dict[str, Any]:
        """Take a picture to lay a job's cut-out on; raises ImageError, OutOfMemory."""
        picture = read_image(file.path, name="the background", max_memory=self.desk.max_memory)
        self.bench.add(job, background=file)
        height, width = picture.size
        return {"width": width, "height": height, "sha256": self.desk.hash(file.path)}

    def _take(self, job: Job, trimap: Trimap, name: str) -> dict[str, Any]:
        warnings = self.desk.check(job, trimap, name, of_mask=name != "the trimap")
        file = self.spool.begin()
        file.add(encode_image(trimap, "png", depth=8))
        self.bench.add(job, trimap=file)
        shares = asdict(describe(trimap))
        return {"shares": shares, "sha256": hash_trimap(trimap), "warnings": warnings}
