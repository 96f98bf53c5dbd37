"""The contact sheet of 300 pictures in a real browser, opened as a file."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from opened import opened
from playwright.sync_api import Page

from a2u_cli.jobs.findings import Findings, write_report
from a2u_cli.rendering.foregrounds import render_background
from a2u_cli.scoring.contact_sheet import Entry, draw_thumbnails
from a2u_cli.scoring.suspicion import Reason
from a2u_cli.trimap import make_trimap

pytestmark = pytest.mark.requires_chromium
COUNT, DRAWN = 300, 12  # pictures, and different ones
TIGHT = Reason("tight trimap", "the matte is still 12% off where the unknown ends: widen it")
UNDECIDED = Reason("undecided", "61% of the unknown are neither 0 nor 1")


def draw(seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, : 150 + 20 * (seed % 4)]
    distance = np.hypot(y - 75, x - 80) + 6 * np.sin(8 * np.arctan2(y - 75, x - 80))
    alpha = np.clip((50 - distance) / 9, 0, 1).astype(np.float32)
    behind = render_background(180 + 40, rng)[:150, : alpha.shape[1]]
    image = behind + (rng.random(3, np.float32) - behind) * alpha[..., None]
    return draw_thumbnails(np.clip(image, 0, 1), make_trimap(alpha, inside=3, outside=3), alpha)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet")
    drawn, findings = [draw(seed) for seed in range(DRAWN)], Findings()
    for number in range(COUNT):
        reasons = ((TIGHT,), (UNDECIDED,), (TIGHT, UNDECIDED), ())[number % 4]
        files = tuple(str(folder / f"{role}{number}.png") for role in ("p", "t", "m"))
        name = f"shelf {number % 5}/picture {number:03d}"
        score = zlib.crc32(name.encode()) / 2**32 / 4
        findings.add(Entry(name, score, reasons, {}, files, drawn[number % DRAWN]))
    findings.add(Entry.unchecked("broken", "broken.png is no picture; replace it"))
    (path,) = write_report(folder / "a report.html", findings)
    return path


@pytest.fixture
def page(report: Path) -> Iterator[Page]:
    with opened(report) as page:
        yield page


def count(page: Page) -> int:
    """Tell how many rows fit the filters, by the page's own words."""
    return int(page.locator("#count").inner_text().split()[0])


def names(page: Page) -> list[str]:
    """Give the names in all rows, which come while one goes down."""
    rows = page.locator("#rows > li")
    while rows.count() < count(page):
        before = rows.count()
        rows.last.scroll_into_view_if_needed()
        page.wait_for_function(f"() => document.querySelectorAll('#rows > li').length > {before}")
    return page.locator("#rows .name").all_text_contents()


def wait_for_picture(page: Page, which: int) -> None:
    page.wait_for_function(f"() => [...document.images].at({which}).naturalWidth > 0")


def test_it_opens_as_a_file_the_worst_first_with_what_could_not_be_checked_on_top(
    page: Page, tmp_path: Path
) -> None:
    assert count(page) == COUNT + 1
    wait_for_picture(page, 0)
    page.screenshot(path=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 50_000  # pictures are seen
    found = names(page)
    assert found[0] == "broken" and len({*found}) == COUNT + 1
    scores = page.locator("#rows .score").all_text_contents()
    assert scores[0] == "-" and scores[1:] == sorted(scores[1:], reverse=True)


def test_rows_and_pictures_come_as_they_come_into_sight(page: Page) -> None:
    few = page.locator("#rows > li").count()
    assert few < COUNT / 2
    page.mouse.wheel(0, 100_000)
    page.wait_for_function(f"() => document.querySelectorAll('#rows > li').length > {few}")
    page.locator("#rows > li").last.scroll_into_view_if_needed()
    wait_for_picture(page, -1)


def test_names_and_reasons_filter(page: Page) -> None:
    page.get_by_role("button", name="tight trimap 150").click()
    assert count(page) == 150
    assert all(int(name[-3:]) % 4 in (0, 2) for name in names(page))
    page.get_by_role("button", name="not checked 1").click()  # one or the other
    assert count(page) == 151
    page.locator("#name").fill("SHELF 3")
    assert count(page) == 30 == len(names(page))
    assert all(name.startswith("shelf 3/") for name in names(page))
    page.locator("#name").fill("nothing has this")
    assert count(page) == 0 and page.locator("#none").is_visible()
    page.keyboard.press("Escape")
    assert count(page) == COUNT + 1


def test_keys_go_from_row_to_row(page: Page) -> None:
    focused = "() => document.activeElement.querySelector('.rank')?.textContent"
    for _ in range(70):  # more than are there at first
        page.keyboard.press("j")
    assert page.evaluate(focused) == "70"
    page.keyboard.press("k")
    assert page.evaluate(focused) == "69"
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.locator("#name").input_value() == "jk"


def test_a_small_picture_leads_to_its_file(page: Page, report: Path) -> None:
    row = page.locator("#rows > li").nth(1)
    number = int(row.locator(".name").inner_text()[-3:])
    links = row.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
    assert links == [(report.parent / f"{role}{number}.png").as_uri() for role in "ptm"]


def test_it_is_dark_where_that_is_wanted_and_fits_a_narrow_window(page: Page) -> None:
    colour = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 380
