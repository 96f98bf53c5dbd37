"""Results of a folder's picture, saved where `a2u batch` would and with its journal.

So a later batch finds them done. The trimap is saved beside them, in the output folder's `trimap/`,
where a batch looks first: what somebody drew elsewhere is never replaced.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..images.files import locked
from ..images.formats import FORMATS
from ..images.writing import encode_image
from ..jobs.folder import Job as Run
from ..jobs.folder import decode, encode, keep, outputs, share_of_free, take
from ..jobs.journal import JOURNAL, Journal, Outcome
from ..jobs.options import OUTPUTS
from ..jobs.places import Places, hash_file, make_recipe
from ..pairing import Pair
from ..pairing.roles import name_of
from .bench import Job
from .desk import Desk, hash_trimap
from .refusals import Refused
from .turns import Watch
from .wishes import Wish

KINDS = (*OUTPUTS, "trimap")


@dataclass(frozen=True)
class Standing:
    """How far a folder's pictures are, by what lies in the output folder and its journal.

    `made` are the times of results by kind and name.
    """

    made: dict[str, dict[str, float]]
    journal: Journal

    def of(self, job: Job, drafted: float | None) -> dict[str, Any]:
        """Tell the state of a picture whose draft was written at a time, or never."""
        name = job.title
        times = [kind[name] for kind in self.made.values() if name in kind]
        outcome, reason = self.journal.outcome(name)
        if drafted is not None and drafted > max(times, default=0.0):
            state = "draft"
        elif outcome == "failed":
            state = "failed"
        elif times:
            state = "done"
        else:
            state = "started" if job.trimap else "untouched"
        has_alpha = name in self.made["alpha"]
        return {
            "state": state,
            "has_alpha": has_alpha,
            "reason": reason if state == "failed" else "",
        }


@dataclass(frozen=True)
class Saver:
    """Saves into an output folder; `inputs` are files that nothing may replace.

    Without `lock` nobody keeps out a batch at work there.
    """

    out: Path
    inputs: tuple[Path, ...]
    desk: Desk
    lock: bool = True

    def standing(self) -> Standing:
        """Look through the output folder; raises JournalError."""
        made = {kind: _list_times(self.out / kind) for kind in OUTPUTS}
        return Standing(made, Journal(self.out))

    def save(self, job: Job, wish: Wish, *, trimap: bool, force: bool, watch: Watch) -> list[Path]:
        """Save a job's results, and its trimap if asked or painted; give where they lie.

        Raises A2UError where another run is at work there, or a file is in the way.
        """
        matter = self.desk.matter(wish.options.depth, wish.quality)
        options = self.desk.options(wish, matter)
        begin = time.perf_counter()
        alpha = self.desk.alpha(job, matter, watch) if options.save else None
        with locked(self.out, JOURNAL, lock=self.lock):
            places = Places(Journal(self.out), self.inputs, force=force)
            pair, written = cast(Pair, job.pair), list[Path]()
            if trimap or job.trimap:
                pair = self._save_trimap(job, places)
                written = [pair.hint]
            if alpha is None:
                return written
            run = Run(self.out, matter.matte, options, places, share_of_free, matter.max_memory)
            taken = take(pair, run)
            if not isinstance(taken, Outcome):
                loaded = decode(taken, options, matter.max_memory)
                files = encode(loaded, alpha, options, matter.max_memory)
                keep(loaded, files, time.perf_counter() - begin, run)
            return [*outputs(pair, self.out, options).values(), *written]

    def _save_trimap(self, job: Job, places: Places) -> Pair:
        """Save a trimap, and give the pair that a batch will find from then on."""
        pair = cast(Pair, job.pair)
        path = self.out / "trimap" / f"{pair.name}.png"
        trimap = self.desk.trimap(job)
        recipe = make_recipe([hash_file(pair.image), hash_trimap(trimap)], "painted")
        if places.missing({path: recipe}):
            data = encode_image(trimap, "png", depth=8)
            places.write(Outcome(pair.name, "done"), [(path, recipe, data)])
        return Pair(pair.name, pair.image, path)


def read_kinds(kinds: Any) -> tuple[str, ...]:
    """Take the kinds of results to save, `trimap` among them; raises Refused."""
    known = isinstance(kinds, list | tuple) and all(isinstance(kind, str) for kind in kinds)
    if not known or not kinds or {*kinds} - {*KINDS}:
        raise Refused(422, f"cannot save {kinds!r}, expected some of {', '.join(KINDS)}")
    return tuple(kinds)


def _list_times(folder: Path) -> dict[str, float]:
    """Tell when the results below a folder were written, by the names of their pictures."""
    files = (path for path in folder.rglob("*") if path.suffix in FORMATS and path.is_file())
    return {name_of(path, folder): path.stat().st_mtime for path in files}
