"""Select the pictures that `a2u-open` is trained with, by licence, and list them.

    python weights/select_data.py ../shared/data/train runs/pack

The folder holds `manifest.csv` (file, source_repo, commit, licence, kind, width, height,
source_path), `fg/` and `bg/`. Only what is free without conditions that a user of the weights could
break is taken: CC0, public domain, MIT, Apache-2.0, and Kodak's "unrestricted" set. One photograph
in eight is left out, to measure with (`benchmarks/validation.py`). The list of what was taken is
written to `weights/training_data.csv`.
"""

import csv
import shutil
import sys
from pathlib import Path

from a2u_cli.rendering.held_out import is_held_out_photograph

FREE = ("CC0", "MIT", "Public domain", "Apache", "unrestricted")
CONDITIONAL = ("Pixabay",)  # some licences name two terms
UNFIT_KINDS = {"brow_lash", "decal", "foliage_atlas", "hair_atlas"}  # not one object on its own
SMALLEST_SIDE = 128
SMOKE_KEPT = 5  # one smoke sprite in so many: they would be half of all foregrounds
LIST = Path(__file__).parent / "training_data.csv"
COLUMNS = ("file", "source_repo", "commit", "licence", "source_path")


def fits(row: dict[str, str]) -> bool:
    """Tell whether a row of the manifest is free, of use, and not held out."""
    if not row["licence"].startswith(FREE) or any(c in row["licence"] for c in CONDITIONAL):
        return False
    if row["file"].startswith("bg/"):
        return not is_held_out_photograph(row["file"])
    large = min(int(row["width"]), int(row["height"])) >= SMALLEST_SIDE
    return row["file"].startswith("fg/") and row["kind"] not in UNFIT_KINDS and large


def select(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Keep what fits, and one in `SMOKE_KEPT` of the smoke."""
    fitting = [row for row in rows if fits(row)]
    smoke = [row for row in fitting if row["kind"] == "smoke"]
    dropped = {row["file"] for row in smoke} - {row["file"] for row in smoke[4::SMOKE_KEPT]}
    return [row for row in fitting if row["file"] not in dropped]


def main(source: Path, target: Path) -> None:
    with (source / "manifest.csv").open(newline="") as stream:
        chosen = select(list(csv.DictReader(stream)))
    for row in chosen:
        place = target / row["file"]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / row["file"], place)
    with LIST.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(chosen)
    print(f"{len(chosen)} pictures in {target}, listed in {LIST}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
