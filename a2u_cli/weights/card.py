"""What stands in README.md on the Hub: the card of a model repository, and of a Space.

Front matter and fields: https://huggingface.co/docs/hub/model-cards and
https://huggingface.co/docs/hub/spaces-config-reference.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .header import Header

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

LIBRARY, TASK = "a2u-cli", "image-segmentation"  # the Hub has no task nearer to matting
TAGS = ("image-matting", "alpha-matting", "trimap")
PAPER = "https://arxiv.org/abs/2011.14288"
# Licences that the Hub knows by the SPDX name in small letters.
KNOWN = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "bsd-3-clause", "gpl-3.0")
DTYPES = {"F16": "float16", "F32": "float32"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)\)")  # to a file: not within a page, nor away
# Of the card's tables of means: the rows that are ours, and the setting that each is of.
ROWS = {"{}": "fast", "{}, auto": "auto"}


def model_card(
    header: Header, text: str, *, name: str, repository: str, files: Mapping[str, str]
) -> str:
    """Give a model repository's README.md: front matter, and `text` with its use put in.

    `text` is a card in Markdown without front matter, `files` what is to be said of each file of
    the repository. Figures of photographs that the text holds become the front matter's
    `model-index`.
    """
    from huggingface_hub import ModelCardData

    results = list(_results(text, name))
    data = ModelCardData(
        **licence_facts(header.licence),
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=list(TAGS),
        model_name=name if results else None,
        eval_results=results or None,
    )
    head, mark, rest = text.strip().partition("\n## ")
    return f"---\n{data.to_yaml()}\n---\n\n{head.rstrip()}\n{_use(repository, files)}{mark}{rest}\n"


def licence_facts(licence: str) -> dict[str, Any]:
    """Name a licence as the Hub does: one that it knows, or `other` with a name and its text."""
    if licence.lower() in KNOWN:
        return {"license": licence.lower()}
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.")
    return {"license": "other", "license_name": name or "other", "license_link": "LICENSE"}


def _use(repository: str, files: Mapping[str, str]) -> str:
    listed = "\n".join(f"- `{name}`: {said}" for name, said in files.items())
    return f"""
## Use

```
pip install a2u-cli
a2u matte photo.jpg --trimap trimap.png --weights hf://{repository}
```

```python
from a2u_cli import Matter

matter = Matter("hf://{repository}")
```

## Files

{listed}
"""


def write_text(header: Header, *, name: str) -> str:
    """Write a card of weights that have none: what their own header tells, and no more."""
    shared = "channel-shared" if header.variant == "share" else "unshared"
    facts = {
        "variant": header.variant,
        "parameters": header.sizes.get("parameters", "not told"),
        "stored as": DTYPES.get(header.dtype, header.dtype),
        "licence": header.licence,
        "source": header.source,
        "sha256 of the source": header.source_sha256 or "none",
        "best used with": f"`--quality {header.quality}`" if header.quality else "not told",
    }
    told = _table(header.training) or "Nothing is known of how these weights were trained.\n"
    return f"""# Model card: `{name}`

Weights of the A2U matting network ({shared} variant; [paper]({PAPER})). This card was
made from what the weights file says of itself; nobody wrote it by hand.

## What is known

{_table(facts)}
## Training

{told}
## What is not known

No scores came with these weights: their errors on photographs, the pictures they were trained on
and what these were licensed for do not stand in the file.
"""


def _table(facts: Mapping[str, Any]) -> str:
    """Lay out facts; whatever they hold stays within its cell."""
    rows = [" ".join(str(value).split()).replace("|", "\\|") for value in facts.values()]
    lines = [f"| {key} | {value} |\n" for key, value in zip(facts, rows, strict=True)]
    return "".join(["| | |\n| --- | --- |\n", *lines]) if lines else ""


def follow_links(text: str, folder: Path) -> tuple[str, list[Path], list[str]]:
    """Keep a card's links to files beside it, and of all others to files the words alone.

    Gives the text, the files beside it, and the links that were left out.
    """
    beside: dict[str, Path] = {}
    left: dict[str, None] = {}

    def settle(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if "/" not in target and (folder / target).is_file():
            beside[target] = folder / target
            return link[0]
        left[target] = None
        return f"*{words}*" if picture else words

    return LINK.sub(settle, text), list(beside.values()), list(left)


def _results(text: str, name: str) -> Iterator["EvalResult"]:
    """Read the means of a card's photographs, where it holds tables of them."""
    from huggingface_hub import EvalResult

    for width in ("narrow", "wide"):
        section = text.partition(f"\n{width.capitalize()} trimaps:\n")[2]
        titles, *rows = _cells(section.partition("\n\n| mean |")[2].partition("\n\n")[0]) or [[]]
        means = {row[0]: row[1:] for row in rows}
        for row, quality in ROWS.items():
            for title, value in zip(titles, means.get(row.format(name), []), strict=False):
                if title != "pictures":
                    yield EvalResult(
                        task_type=TASK,
                        task_name="Image Matting",
                        dataset_type="alphamatting",
                        dataset_name=f"alphamatting.com, training set at 800 px, {width} trimaps",
                        dataset_config=width,  # else the library takes the two for one
                        metric_type=title.split()[0].lower(),
                        metric_name=f"{title}, --quality {quality}",
                        metric_value=float(value),
                    )


def _cells(table: str) -> list[list[str]]:
    """Take a Markdown table apart, without its rule; its first title was cut off."""
    lines = [line.strip().strip("|") for line in table.splitlines()]
    return [[cell.strip() for cell in line.split("|")] for line in lines if "---" not in line]


def space_card(title: str, *, licence: str = "Apache-2.0", models: Iterable[str] = ()) -> str:
    """Give the README.md of a Space that serves a folder with an `index.html` as it is.

    Its `custom_headers` isolate the page from others, without which browsers grant WebAssembly no
    threads (https://developer.mozilla.org/docs/Web/API/Window/crossOriginIsolated). `models` are
    the repositories, `owner/name`, whose weights the page runs.
    """
    from huggingface_hub import SpaceCardData

    data = SpaceCardData(
        title=title,
        sdk="static",
        app_file="index.html",
        **licence_facts(licence),
        models=list(models) or None,
        tags=list(TAGS),
        emoji="\N{BLACK SCISSORS}",
        colorFrom="gray",
        colorTo="blue",
        pinned=False,
        custom_headers={
            "cross-origin-embedder-policy": "require-corp",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "cross-origin",
        },
    )
    return (
        f"---\n{data.to_yaml()}\n---\n\n# {title}\n\nA picture and a trimap become a matte on the "
        "visitor's own machine: nothing is uploaded.\n"
    )
