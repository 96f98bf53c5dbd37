"""A real browser, and one page in it that asks for nothing else and complains of nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import CHROMIUM
from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's, which root may run without its sandbox alone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    complaints: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda r: r.url[:5] in ("file:", "data:") or complaints.append(r.url))
        page.goto(file.as_uri())
        yield page
    assert complaints == []
