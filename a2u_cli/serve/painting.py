"""Where a job's trimap comes from: a trimap's file, a mask's, a box, or what the folder has."""

import hashlib
from dataclasses import asdict
from typing import Any

from ..images.meaning import read_matte
from ..images.writing import encode_image
from ..trimap import band_pixels, check_pair, describe, make_trimap, read_trimap
from ..units import Trimap
from .bench import Bench, Job
from .desk import Desk, hash_trimap
from .refusals import Refused
from .spool import Spool, Spooled
from .standins import box_trimap

BAND = "1.5%"


class Easel:
    """Takes trimaps for jobs."""

    def __init__(self, bench: Bench, desk: Desk, spool: Spool) -> None:
        self.bench, self.desk, self.spool = bench, desk, spool

    def take_trimap(self, job: Job, file: Spooled) -> dict[str, Any]:
        """Take a drawn trimap's file; raises ImageError, TrimapError."""
        return self._put(job, read_trimap(file.path, name="the trimap"))

    def take_mask(
        self, job: Job, file: Spooled, inside: str, outside: str, *, invert: bool
    ) -> dict[str, Any]:
        """Take a mask or an alpha, with bands around its edges; raises ImageError, TrimapError."""
        values = read_matte(file.path, name="the mask", invert=invert).values
        size = values.shape[0], values.shape[1]
        bands = {"inside": band_pixels(inside, size), "outside": band_pixels(outside, size)}
        return self._put(job, make_trimap(values, **bands), of_mask=True)

    def take_box(self, job: Job, box: tuple[int, int, int, int], band: str) -> dict[str, Any]:
        """Find the object in a box (x, y, width, height) of a job's picture."""
        return self._put(job, box_trimap(self.desk.picture(job).image, box, band))

    def _put(self, job: Job, trimap: Trimap, *, of_mask: bool = False) -> dict[str, Any]:
        picture = self.desk.picture(job)
        name = "the mask" if of_mask else "the trimap"
        warnings = check_pair(
            picture.size,
            trimap,
            names=(job.title, name),
            image_orientation=picture.orientation,
            image=picture.image,
            of_mask=of_mask,
        )
        self.bench.put_trimap(job, self.spool.write(encode_image(trimap, "png", depth=8)))
        shares = asdict(describe(trimap))
        return {"shares": shares, "sha256": hash_trimap(trimap), "warnings": warnings}
