"""A page of one file in a real browser, which asks for nothing else and complains of nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import CHROMIUM
from playwright.sync_api import Page, sync_playwright


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda r: r.url[:5] in ("file:", "data:") or complaints.append(r.url))
        page.goto(file.as_uri())
        yield page
        browser.close()
    assert complaints == []
