"""Write the reconstruction's tables of docs/operator.md from the committed rows.

    python -m docs.reconstruction

Each stands between a line `<!-- NAME: made by docs/reconstruction.py -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

from benchmarks.rebuilt import differences, read_rows, study_table, summary, table
from benchmarks.reconstruction import RESULTS, STEPS, STUDY, plan

PAGE = Path(__file__).with_name("operator.md")
BLOCK = re.compile(
    r"(<!-- (\S+): made by docs/reconstruction.py -->\n).*?(<!-- end -->)", re.DOTALL
)


def page() -> str:
    """Give the page as it is, with its tables made anew."""
    blocks = {"readings": study_table(read_rows(STUDY)), "budget": _budget()}
    text = PAGE.read_text(encoding="utf-8")
    return BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", text)


def _budget() -> str:
    jobs = plan(STEPS)
    rows = [row for row in read_rows(RESULTS) if row.job in jobs]
    done = {row.job for row in rows}
    said = f"{len(rows)} of {len(jobs)} runs of {STEPS:,} steps are done."
    missing: dict[str, list[str]] = {}
    for job in jobs:
        if job not in done:
            missing.setdefault(job.operator, []).append(str(job.seed))
    if missing:
        names = (f"{name} ({', '.join(seeds)})" for name, seeds in missing.items())
        said += f" Not run yet, with the seeds: {', '.join(names)}."
    parts = [table(rows), differences(rows), f"{said}\n{summary(rows)}"] if rows else [said]
    return "\n\n".join(filter(None, parts))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
