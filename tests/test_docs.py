"""What the pages of documentation show is run."""

import re
from pathlib import Path

import pytest

from a2u_cli.operators.comparison import OPERATORS

DOCS = Path(__file__).parent.parent / "docs"


def test_the_example_of_the_operator_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "operator.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 25
    exec(compile(code, "operator.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([1, 1, 75, 101])"


def test_the_page_names_every_operator() -> None:
    text = (DOCS / "operator.md").read_text()
    names = {name for name in OPERATORS if not name.startswith("a2u")}
    assert all(f"`{name}`" in text for name in names)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
