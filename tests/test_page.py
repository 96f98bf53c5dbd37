"""The page of `a2u serve`, in a real browser: a plush is painted, matted, saved, opened again."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

from conftest import CHROMIUM, RunA2U
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from serving import TOKEN, Serving, levels_of, serving

from a2u_cli.images import read_image, write_image
from a2u_cli.matting.matter import Matter
from a2u_cli.rendering.foregrounds import render_background
from a2u_cli.rendering.scenes import render_scene

pytestmark = pytest.mark.requires_chromium
SIDE = 256
DESKTOP = {"width": 1280, "height": 720}
INSIDE = [(128, 70), (124, 110), (118, 150), (136, 160), (116, 200)]
ABOUT = [(70, 34), (170, 34), (160, 95), (186, 160), (170, 235), (75, 235), (60, 170), (95, 95)]
STATES = ("draft", "done")


@pytest.fixture(scope="module")
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


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
        self.page.locator(names).wait_for(timeout=60_000)

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

    def save(self, *kinds: str, depth: str | None = None) -> str:
        """Save by the dialog, and give what it says."""
        page = self.page
        page.keyboard.press("Control+s")
        for box in page.locator('[name="kinds"]').all():
            box.set_checked(box.get_attribute("value") in kinds)
        if depth:
            page.locator('[name="depth"]').select_option(depth)
        page.locator("#save-write").click()
        page.locator("#save-words", has_text=":").wait_for()
        words = page.locator("#save-words").inner_text()
        page.locator("#save-close").click()
        return words


@pytest.fixture
def sitting(
    plush: Path, browser: Browser, weights: Path, environment: Path, tmp_path: Path
) -> Iterator[Sitting]:
    with ExitStack() as stack:
        matter = Matter(str(weights), device="cpu")
        server = stack.enter_context(serving(plush, matter, out=tmp_path / "out"))
        context: BrowserContext = browser.new_context(viewport=DESKTOP)
        stack.callback(context.close)
        sitting = Sitting(server, context.new_page()).open()
        yield sitting
        assert sitting.complaints == []


def test_what_is_painted_is_matted_and_saved_as_a2u_matte_does(
    sitting: Sitting, a2u: RunA2U, plush: Path, tmp_path: Path
) -> None:
    sitting.paint()
    sitting.wait(*STATES)
    sitting.wait("done")
    words = sitting.save("alpha", "trimap")
    trimap, alpha = tmp_path / "out/trimap/bear.png", tmp_path / "out/alpha/bear.png"
    assert str(trimap) in words and str(alpha) in words
    levels = levels_of(trimap.read_bytes())
    assert set(np.unique(levels)) == {0, 128, 255}  # no antialiased greys
    assert levels[110, 124] == 255 and levels[2, 2] == 0 and levels[100, 108] == 128
    again = tmp_path / "again.png"
    assert a2u("matte", plush / "bear.png", "--trimap", trimap, "-o", again).code == 0
    assert again.read_bytes() == alpha.read_bytes()
    assert "saved" in sitting.page.locator('[data-job="p1"]').get_attribute("aria-label")


def test_undo_and_redo_go_back_to_the_pixel(sitting: Sitting) -> None:
    sitting.paint()
    sitting.wait("done")
    before = sitting.trimap()
    for y in range(40, 200, 8):  # more than lie between two snapshots
        sitting.stroke("background", [(120, y), (132, y)])
    sitting.wait("done")
    after = sitting.trimap()
    assert (after != before).any()
    for _ in range(20):
        sitting.page.keyboard.press("Control+z")
    sitting.wait_anew()
    assert (sitting.trimap() == before).all()
    for _ in range(20):
        sitting.page.keyboard.press("Control+Shift+z")
    sitting.wait_anew()
    assert (sitting.trimap() == after).all()


def test_every_tool_paints_and_the_eraser_gives_the_start_back(sitting: Sitting) -> None:
    sitting.begin("background")
    sitting.stroke("foreground", [(60, 60), (190, 190)], "rectangle")
    sitting.stroke("unknown", [(60, 30), (60, 220)], "band")  # along the left edge alone
    sitting.stroke("unknown", [(190, 100), (190, 101)])
    sitting.wait("done")
    levels = sitting.trimap()
    assert levels[120, 60] == 128 and levels[120, 120] == 255 and levels[120, 20] == 0
    assert levels[40, 60] == 0  # the band paints along edges, not wherever it passes
    sitting.stroke("background", [(120, 120), (120, 121)], "fill")
    sitting.stroke("foreground", [(200, 200), (240, 200), (240, 240), (200, 240)], "lasso")
    sitting.page.locator("#soft").check()
    sitting.stroke("foreground", [(30, 230), (60, 230)])
    sitting.wait_anew()
    levels = sitting.trimap()
    assert levels[120, 120] == 0 and levels[220, 220] == 255
    assert levels[230, 45] == 255 and levels[227, 45] == 128  # the soft brush's rim
    sitting.stroke("foreground", [(30, 230), (60, 230)], "eraser")
    sitting.wait_anew()
    assert sitting.trimap()[230, 45] == 0


def test_a_box_begins_a_trimap(sitting: Sitting) -> None:
    sitting.begin("box")
    sitting.stroke("foreground", [(50, 20), (205, 250)], "box")
    sitting.live("found in the box")
    sitting.wait("done")
    levels = sitting.trimap()
    assert levels[140, 128] == 255 and levels[5, 5] == 0 and (levels == 128).any()
    assert sitting.project()["start"]["kind"] == "trimap"


@pytest.mark.parametrize("how", ["mask", "trimap"])
def test_a_file_begins_a_trimap(sitting: Sitting, tmp_path: Path, how: str) -> None:
    levels = np.zeros((SIDE, SIDE), np.float32)
    levels[80:200, 80:180] = 1
    if how == "trimap":
        levels[60:80, 80:180] = 0.5
    write_image(tmp_path / "shape.png", levels)
    page = sitting.page
    page.locator("#file").set_input_files(tmp_path / "shape.png")
    assert page.locator('#taking [name="as"]:checked').get_attribute("value") == how  # its guess
    page.locator('#taking [value="take"]').click()
    sitting.live("Begun with shape.png")
    sitting.wait("done")
    found = sitting.trimap()
    assert found[120, 120] == 255 and found[10, 10] == 0
    assert found[79, 120] == 128


def test_a_project_is_downloaded_and_opened_again(sitting: Sitting, tmp_path: Path) -> None:
    sitting.paint()
    sitting.begin("unknown")  # over strokes, this is one more that can be undone
    sitting.page.keyboard.press("Control+z")
    sitting.wait("done")
    before = sitting.trimap()
    with sitting.page.expect_download() as download:
        sitting.page.locator("#project-download").click()
    path = tmp_path / "project.json"
    download.value.save_as(path)
    project = json.loads(path.read_text())
    assert [s["tool"] for s in project["strokes"]] == ["lasso", "brush"]
    assert [s["tool"] for s in project["undone"]] == ["start"]
    sitting.page.keyboard.press("Control+z")
    sitting.page.keyboard.press("Control+z")
    sitting.page.locator("#file").set_input_files(path)
    sitting.page.locator(".notices", has_text="project.json is open").wait_for()
    sitting.wait("done")
    assert (sitting.trimap() == before).all()
    path.write_text(json.dumps(project | {"picture": {"name": "other", "width": 9, "height": 9}}))
    sitting.page.locator("#file").set_input_files(path)
    sitting.page.locator(".notices", has_text="is of other, 9x9, but bear is 256x256").wait_for()


def test_a_closed_tab_loses_no_stroke(sitting: Sitting) -> None:
    sitting.paint()
    sitting.stroke("background", [(120, 210), (130, 214)])
    sitting.page.close()  # at once
    page = sitting.page.context.new_page()
    other = Sitting(sitting.server, page, sitting.complaints).open()
    other.live("Went on with 3 strokes")
    other.wait("done")
    assert other.trimap()[212, 125] == 0


def test_a_folder_is_walked_by_keys(sitting: Sitting) -> None:
    page = sitting.page
    for key, name in (
        ("PageDown", "hind"),
        ("PageDown", "lynx"),
        ("PageDown", "lynx"),
        ("PageUp", "hind"),
        ("PageUp", "bear"),
    ):
        page.keyboard.press(key)
        sitting.wait_for_picture(name)
        assert page.locator('#thumbnails [aria-current="true"]').inner_text() == name
    assert page.locator("#thumbnails button").count() == 3


def test_a_stroke_is_kept_where_the_next_picture_comes_at_once(sitting: Sitting) -> None:
    sitting.page.evaluate("""() => {
        const fetch = window.fetch;
        const gate = new Promise((resume) => (window.release = resume));
        window.fetch = async (address, options) => {
            if (options?.method === "PUT" && address.endsWith("/project")) await gate;
            return fetch(address, options);
        };
    }""")
    sitting.paint()
    sitting.page.keyboard.press("PageDown")
    sitting.wait_for_picture("hind")
    with sitting.page.expect_response(lambda answer: answer.url.endswith("/project")):
        sitting.page.evaluate("() => window.release()")
    sitting.page.wait_for_timeout(1000)
    sitting.page.keyboard.press("PageUp")
    sitting.wait_for_picture("bear")
    sitting.live("Went on with 2 strokes")
    assert sitting.server.ask("GET", "/api/jobs/p2/project").status == 204


def test_clean_colours_and_uncertain_places_come_with_the_full_matte(sitting: Sitting) -> None:
    asked: list[str] = []
    sitting.page.on("request", lambda request: asked.append(request.url.split("/")[-1]))
    sitting.page.keyboard.press("c")
    sitting.page.keyboard.press("u")
    sitting.paint()
    sitting.wait("done")
    sitting.page.keyboard.press("n")
    sitting.page.locator("#live", has_text=re.compile("Paint here next: |All is sure")).wait_for()
    assert asked.count("cutout") == 1 and asked.count("uncertain") == 1
    sitting.wait("done")


def test_a_picture_of_16_bits_is_saved_with_them(sitting: Sitting, tmp_path: Path) -> None:
    sitting.page.locator('[data-job="p3"]').click()
    sitting.wait_for_picture("lynx")
    assert "16 bits" in sitting.page.locator("#facts").inner_text()
    sitting.paint()
    sitting.wait("done")
    sitting.save("alpha", "cutout")
    for kind in ("alpha", "cutout"):
        assert read_image(tmp_path / f"out/{kind}/lynx.png").depth == 16


def test_a_stale_answer_is_dropped(sitting: Sitting) -> None:
    """The first draft's answer comes last, whatever the page did to have it ended."""
    sitting.page.evaluate("""() => {
        const fetch = window.fetch;
        window.fetch = (address, options) => {
            if (!String(address).includes("draft=1") || window.late) return fetch(address, options);
            return new Promise((resume) => {
                window.late = () => fetch(address, { ...options, signal: null }).then(resume);
            });
        };
    }""")
    sitting.paint()
    sitting.stroke("foreground", [(130, 120), (140, 124)])
    sitting.wait("done")
    sitting.page.evaluate("() => window.late()")
    sitting.page.wait_for_timeout(300)
    assert sitting.page.locator("#matte").get_attribute("data-state") == "done"


def test_full_work_is_cancelled(sitting: Sitting) -> None:
    sitting.page.route("**/alpha", lambda route: None)  # it never ends
    sitting.paint()
    sitting.page.locator("#matte-cancel").wait_for()
    sitting.page.unroute("**/alpha")
    sitting.page.keyboard.press("Escape")
    sitting.page.locator("#matte-words", has_text="Cancelled").wait_for()
    sitting.page.keyboard.press("Enter")
    sitting.wait("done")


def test_the_keyboard_alone_suffices(sitting: Sitting, tmp_path: Path) -> None:
    keys = sitting.page.keyboard
    sitting.page.locator("#begin [data-begin=background]").focus()
    keys.press("Enter")
    for key in ("r", "3", "v", *["ArrowLeft"] * 8, *["ArrowUp"] * 8, "Space"):
        keys.press(key)
    for key in (*["ArrowRight"] * 16, *["ArrowDown"] * 16, "Space"):
        keys.press(key)
    for key in ("b", "1", "]", "Space", *["ArrowLeft"] * 4, "Space", "a"):
        keys.press(key)
    sitting.wait("done")
    levels = sitting.trimap()
    assert {0, 128, 255} == set(np.unique(levels)) and levels[128, 128] == 128
    keys.press("Control+s")
    keys.press("Enter")
    sitting.page.locator("#save-words", has_text="Saved:").wait_for()
    keys.press("Escape")
    assert (tmp_path / "out/alpha/bear.png").is_file()
    keys.press("?")
    assert sitting.page.locator("#help").is_visible()
    keys.press("Escape")
    assert not sitting.page.locator("#help").is_visible()


def test_every_control_has_a_name(sitting: Sitting) -> None:
    session = sitting.page.context.new_cdp_session(sitting.page)
    for key in ("k", "?", "Control+s"):
        sitting.page.keyboard.press(key)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        controls = [n for n in nodes if n.get("role", {}).get("value") in ROLES]
        nameless = [
            n["role"]["value"] for n in controls if not n.get("name", {}).get("value", "").strip()
        ]
        assert controls and nameless == []
        if key != "k":
            sitting.page.keyboard.press("Escape")
    assert sitting.page.locator("#slider").get_attribute("aria-valuenow") == "50"


ROLES = {
    *("button", "radio", "checkbox", "slider", "textbox", "combobox", "link", "application"),
    *("dialog", "progressbar", "ColorWell", "spinbutton", "switch", "navigation", "main"),
}


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768), (768, 1024)])
def test_nothing_sticks_out(sitting: Sitting, size: tuple[int, int], browser: Browser) -> None:
    width, height = size
    touch = width < 1280
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch
    )
    other = Sitting(sitting.server, context.new_page(), sitting.complaints).open()
    other.begin("background")
    for selector in ("html", ".bar", ".panel", ".status", ".tools"):
        element = other.page.locator(selector)
        assert element.evaluate("e => e.scrollWidth <= e.clientWidth"), selector
    view = other.page.locator("#view").bounding_box()
    assert view and view["width"] > width / 2 and view["height"] > height / 2
    if touch:
        other.page.touchscreen.tap(*other.at(128, 128))
        assert len(other.project()["strokes"]) == 1
    context.close()


def test_a_server_that_is_gone_is_said_and_waited_for(sitting: Sitting) -> None:
    page = sitting.page
    sitting.paint()
    sitting.wait("done")
    page.context.set_offline(True)
    sitting.stroke("foreground", [(128, 90), (130, 96)])
    page.locator("#banner", has_text="does not answer").wait_for()
    page.context.set_offline(False)
    sitting.live("server is back")
    sitting.wait("done")
    assert len(sitting.project()["strokes"]) == 3
    sitting.complaints[:] = [text for text in sitting.complaints if "ERR_INTERNET" not in text]
