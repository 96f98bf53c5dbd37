"""Somebody at the page of `a2u serve`, in a real browser: what they do, and what they see."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opened import chromium
from playwright.sync_api import Browser, Page
from serving import TOKEN, Serving, levels_of, serving

from a2u_cli.images import write_image
from a2u_cli.matting.matter import Matter
from a2u_cli.rendering.foregrounds import render_background
from a2u_cli.rendering.scenes import render_scene

PATIENCE = 60.0  # seconds, for a slow machine
SIDE = 256
DESKTOP = {"width": 1280, "height": 720}
INSIDE = [(128, 70), (124, 110), (118, 150), (136, 160), (116, 200)]
ABOUT = [(70, 34), (170, 34), (160, 95), (186, 160), (170, 235), (75, 235), (60, 170), (95, 95)]
STATES = ("draft", "done")


@pytest.fixture(scope="session")
def plush(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of one plush; the third has 16 bits."""
    folder = tmp_path_factory.mktemp("plush")
    colour, alpha, _ = render_scene("fur", 1, SIDE, detail=0.2, passes=1)
    behind = render_background(SIDE, np.random.default_rng(8))
    image = (behind + (colour - behind) * alpha[..., None]).astype(np.float32)
    write_image(folder / "bear.png", image)
    write_image(folder / "hind.png", image[:, ::-1])
    write_image(folder / "lynx.png", image[::-1], depth=16)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@dataclass
class Sitting:
    """Somebody at the page: what was complained of is kept."""

    server: Serving
    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self) -> "Sitting":
        """Open the page, and wait for its picture."""
        page = self.page
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        page.goto(f"http://127.0.0.1:{self.server.port}/#token={TOKEN}")
        self.wait_for_picture("bear")
        return self

    def wait_for_picture(self, name: str) -> None:
        self.page.locator("#title", has_text=name).wait_for()

    def at(self, x: float, y: float, side: int = SIDE) -> tuple[float, float]:
        """Give where a place of the picture is while it is shown whole."""
        box = self.page.locator("#view").bounding_box()
        assert box
        scale = 0.96 * min(box["width"], box["height"]) / side
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return middle[0] + (x - side / 2) * scale, middle[1] + (y - side / 2) * scale

    def choose(self, name: str, value: str) -> None:
        self.page.locator(f'input[name="{name}"][value="{value}"]').check(force=True)

    def begin(self, how: str) -> None:
        self.page.locator(f'#panel [data-begin="{how}"]').click()

    def stroke(self, kind: str, points: list[tuple[int, int]], tool: str = "brush") -> None:
        self.choose("tool", tool)
        self.choose("kind", kind)
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=3)
        mouse.up()

    def paint(self) -> None:
        """Paint a trimap that can be matted: background, a broad edge, the plush in its middle."""
        self.begin("background")
        self.stroke("unknown", ABOUT, "lasso")
        self.stroke("foreground", INSIDE)

    def wait(self, *states: str) -> None:
        names = ", ".join(f'#matte[data-state="{state}"]' for state in states)
        self.page.locator(names).wait_for(timeout=1000 * PATIENCE)

    def wait_anew(self) -> None:
        """Wait until the full matte of what has just been done is there."""
        self.wait("working")
        self.wait("done")

    def trimap(self, job: str = "p1") -> np.ndarray:
        """Give the trimap that the server has by now."""
        answer = self.server.ask("GET", f"/api/jobs/{job}/trimap")
        assert answer.status == 200, answer.body
        return levels_of(answer.body)

    def project(self, job: str = "p1") -> dict[str, Any]:
        """Give the project that was kept, once its strokes are those of the page."""
        self.page.locator("#autosave", has_text="strokes").wait_for()
        project: dict[str, Any] = self.server.ask("GET", f"/api/jobs/{job}/project").json
        return project

    def live(self, text: str) -> None:
        self.page.locator("#live", has_text=text).wait_for()

    def pixel(self, x: float, y: float) -> tuple[int, ...]:
        """Give the colour that is seen at a place of the picture."""
        box = self.page.locator("#view").bounding_box()
        assert box
        at = self.at(x, y)
        script = "(e, at) => [...e.getContext('2d').getImageData(...at, 1, 1).data]"
        place = [int(at[0] - box["x"]), int(at[1] - box["y"])]
        return tuple(self.page.locator("#view").evaluate(script, place))

    def zoom(self) -> int:
        """Give by how many percent the picture is enlarged."""
        return int(re.sub(r"\D", "", self.page.locator("#zoom-words").inner_text()))

    def strokes(self) -> int:
        """Count the strokes that were kept."""
        return len(self.project()["strokes"])

    def take(self, name: str) -> None:
        """Take the file that the dialog asks about as what it guesses."""
        self.page.locator('#taking [value="take"]').click()
        self.live(f"Begun with {name}")
        self.wait("done")

    def save(self, *kinds: str) -> str:
        """Save by the dialog, and give what it says."""
        page = self.page
        page.keyboard.press("Control+s")
        for box in page.locator('[name="kinds"]').all():
            box.set_checked(box.get_attribute("value") in kinds)
        page.locator("#save-write").click()
        page.locator("#save-words", has_text=":").wait_for()
        words = page.locator("#save-words").inner_text()
        page.locator("#save-close").click()
        return words


@contextmanager
def sitting_at(
    folder: Path, browser: Browser, weights: Path, out: Path, **options: Any
) -> Iterator[Sitting]:
    """Serve a folder whose first picture is a bear, and sit down at its page."""
    with ExitStack() as stack:
        matter = Matter(str(weights), device="cpu")
        server = stack.enter_context(serving(folder, matter, out=out))
        sitting = stack.enter_context(another(browser, server, **options))
        yield sitting
        assert sitting.complaints == []


@contextmanager
def another(
    browser: Browser,
    server: Serving,
    complaints: list[str] | None = None,
    script: str = "",
    **options: Any,
) -> Iterator[Sitting]:
    """Sit down at a server's page with another browser, where a script was run before."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    if script:
        context.add_init_script(script)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    try:
        yield Sitting(server, page, [] if complaints is None else complaints).open()
    finally:
        context.close()


@pytest.fixture
def sitting(
    plush: Path, browser: Browser, weights: Path, environment: Path, tmp_path: Path
) -> Iterator[Sitting]:
    with sitting_at(plush, browser, weights, tmp_path / "out") as sitting:
        yield sitting


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
