"""The contact sheet: one file that opens anywhere, however many pictures it shows."""

import base64
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from a2u_cli.jobs.findings import Findings, write_report
from a2u_cli.scoring import contact_sheet
from a2u_cli.scoring.contact_sheet import (
    Entry,
    Page,
    address,
    draw_thumbnails,
    is_sheet,
    lay_over,
    page_paths,
    write_page,
)
from a2u_cli.scoring.suspicion import Reason

PICTURES = draw_thumbnails(
    np.full((30, 40, 3), 0.5, np.float32),
    np.full((30, 40), 128, np.uint8),
    np.full((30, 40), 0.25, np.float32),
)


def entries(count: int) -> list[Entry]:
    reasons = (Reason("tight trimap", "widen it"),), (Reason("undecided", "60% are"),), ()
    return [
        Entry(f"shelf {n % 7}/p{n}", n / count, reasons[n % 3], {}, (f"p{n}.jpg",), PICTURES)
        for n in range(count)
    ]


def page_of(shown: list[Entry], folder: Path) -> str:
    file = BytesIO()
    write_page(file, Page(folder / "x.html", [folder / "x.html"], 1, len(shown)), shown)
    return file.getvalue().decode()


def test_small_pictures_are_small_and_of_the_picture_s_shape() -> None:
    image = np.zeros((500, 1000, 3), np.float32)
    image[..., 0] = 1
    trimap, alpha = np.full((500, 1000), 255, np.uint8), np.ones((500, 1000), np.float32)
    trimap[:, :300], alpha[:, :300] = 0, 0
    shown = draw_thumbnails(image, trimap, alpha)
    assert len(shown) == len(contact_sheet.TITLES) == 4
    for picture in shown:
        head, data = picture.split(",")
        assert head == "data:image/webp;base64"
        levels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)
        assert levels.shape == (120, 240, 3)
    checker = levels[:, :60].astype(int)
    assert np.ptp(checker[5, :, 0]) > 40  # seen through what is transparent
    assert (abs(levels[:, 200].astype(int) - (0, 0, 255)) < 30).all()


def test_the_overlay_tells_the_three_kinds_apart() -> None:
    image = np.full((1, 3, 3), 0.8, np.float32)
    dark, blue, plain = lay_over(image, np.array([[0, 128, 255]], np.uint8))[0]
    assert dark.max() < 0.3
    assert blue[2] > blue[0] + 0.3
    assert (plain == image[0, 0]).all()


def test_names_and_reasons_cannot_become_markup(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>" onload="x'
    text = page_of([Entry.unchecked(evil, evil, kind=evil, files=(f"/a/{evil}",))], tmp_path)
    assert "<script>alert" not in text and 'onload="x"' not in text
    assert text.count("<script") == text.count("</script>") == 3


def test_it_needs_nothing_from_outside(tmp_path: Path) -> None:
    text = page_of(entries(3), tmp_path)
    assert not re.search(r"(src|href)=", text)
    assert len(re.findall(r'"data:image/webp;base64,[\w+/=]+", "[./\w]*p\d.jpg"', text)) == 3
    assert "http" not in text and "@import" not in text and "url(" not in text


def test_files_are_linked_from_where_the_page_is(tmp_path: Path) -> None:
    assert address(str(tmp_path / "a b/ü#.png"), tmp_path / "reports") == "../a%20b/%C3%BC%23.png"
    assert address(str(tmp_path / "x\udcff.png"), tmp_path) == "x%FF.png"


def test_more_pictures_than_a_page_holds_go_on_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 4)
    monkeypatch.setattr("a2u_cli.jobs.findings.PER_PAGE", 4)
    findings = Findings()
    for entry in entries(9):
        findings.add(entry)
    paths = write_report(tmp_path / "r.html", findings)
    assert [path.name for path in paths] == ["r.html", "r-2.html", "r-3.html"]
    assert paths == page_paths(tmp_path / "r.html", 9)
    texts = [path.read_text() for path in paths]
    assert [text.count('<script type="application/json" id="e') for text in texts] == [4, 4, 1]
    assert "5 to 8 of 9" in texts[1] and '<a href="r-3.html">' in texts[1]
    names = re.findall(r'\["shelf \d/p(\d)"', "".join(texts))
    assert names == [*"876543210"]  # the worst first
    assert all(map(is_sheet, paths))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_an_empty_report_is_a_page(tmp_path: Path) -> None:
    (path,) = write_report(tmp_path / "r.html", Findings())
    assert "0 of 0" in path.read_text()


def test_a_page_is_written_while_its_pictures_come(tmp_path: Path) -> None:
    """What is held is a picture, not all of them."""
    file, written = BytesIO(), []

    def coming() -> Iterator[Entry]:
        for entry in entries(300):
            written.append(file.tell())
            yield entry

    write_page(file, Page(tmp_path / "x.html", [tmp_path / "x.html"], 1, 300), coming())
    size = file.tell()
    assert written[150] > size / 3
