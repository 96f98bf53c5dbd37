"""Hands and eyes at the page of `a2u serve`: keyboard, pen, fingers, what is seen and said."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

from playwright.sync_api import Browser, CDPSession
from sitting import Sitting, another, until

pytest_plugins = "sitting"
pytestmark = pytest.mark.requires_chromium


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
    options = {"viewport": {"width": width, "height": height}}
    with another(
        browser, sitting.server, sitting.complaints, has_touch=touch, is_mobile=touch, **options
    ) as other:
        other.begin("background")
        for selector in ("html", ".bar", ".panel", ".status", ".tools"):
            element = other.page.locator(selector)
            assert element.evaluate("e => e.scrollWidth <= e.clientWidth"), selector
        view = other.page.locator("#view").bounding_box()
        assert view and view["width"] > width / 2 and view["height"] > height / 2
        if touch:
            other.page.touchscreen.tap(*other.at(128, 128))
            assert other.strokes() == 1


def draw_with_pen(session: CDPSession, points: list[tuple[float, float]], force: float) -> None:
    """Draw with a pen that is pressed so hard."""
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        told = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        session.send("Input.dispatchMouseEvent", told | {"pointerType": "pen", "force": force})


def test_a_pen_s_pressure_sets_the_size_and_a_palm_paints_nothing(
    sitting: Sitting, browser: Browser
) -> None:
    with another(browser, sitting.server, sitting.complaints, has_touch=True) as other:
        other.paint()
        other.wait("done")
        for _ in range(7):
            other.page.keyboard.press("]")
        other.choose("kind", "background")
        session = other.page.context.new_cdp_session(other.page)
        for y, force in ((70, 0.25), (200, 1.0)):
            draw_with_pen(session, [other.at(x, y) for x in (140, 146, 152, 160)], force)
        other.wait_anew()
        column = other.trimap()[:, 150] == 0
        light, firm = np.count_nonzero(column[50:90]), np.count_nonzero(column[180:222])
        assert 3 <= light <= 10 and 20 <= firm <= 30
        assert other.strokes() == 4
        before = other.pixel(20, 20)
        fingers(session, [[other.at(60, 60)], [other.at(150, 130)]])
        until(lambda: other.pixel(20, 20) != before)  # the picture was moved
        assert other.strokes() == 4


def fingers(session: CDPSession, steps: list[list[tuple[float, float]]]) -> None:
    """Put fingers down, move them step by step, and lift them."""
    for number, places in enumerate(steps):
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_two_fingers_zoom_and_paint_nothing(sitting: Sitting, browser: Browser) -> None:
    with another(browser, sitting.server, sitting.complaints, has_touch=True) as other:
        other.begin("background")
        before = other.zoom()
        session = other.page.context.new_cdp_session(other.page)
        apart = [[other.at(128 - d, 128), other.at(128 + d, 128)] for d in (20, 28, 34, 40)]
        fingers(session, apart)
        until(lambda: other.zoom() > 1.8 * before)
        assert other.zoom() < 2.2 * before
        assert other.page.locator("#undo").is_disabled()


def test_a_held_key_shows_the_original(sitting: Sitting) -> None:
    page = sitting.page
    plain = sitting.pixel(20, 20)
    sitting.paint()
    sitting.wait("done")
    page.keyboard.press("a")
    until(lambda: sitting.pixel(20, 20) == (0, 0, 0, 255))
    page.keyboard.down("o")
    until(lambda: sitting.pixel(20, 20) == plain)
    page.keyboard.up("o")
    until(lambda: sitting.pixel(20, 20) == (0, 0, 0, 255))


def test_the_slider_between_before_and_after_follows_mouse_and_keys(sitting: Sitting) -> None:
    page = sitting.page
    plain = {x: sitting.pixel(x, 20) for x in (20, 230)}
    sitting.paint()
    sitting.wait("done")
    page.keyboard.press("a")
    page.keyboard.press("k")
    slider = page.locator("#slider")

    def share() -> int:
        return int(slider.get_attribute("aria-valuenow") or -1)

    assert share() == 50
    until(lambda: sitting.pixel(20, 20) == plain[20])  # before is at the left
    assert sitting.pixel(230, 20) == (0, 0, 0, 255)
    box = page.locator("#stage").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], middle, steps=4)
    page.mouse.up()
    assert share() == 90
    until(lambda: sitting.pixel(230, 20) == plain[230])
    slider.focus()
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    assert share() == 78
    for _ in range(9):
        page.keyboard.press("Shift+ArrowLeft")
    assert share() == 2
    until(lambda: sitting.pixel(20, 20) == (0, 0, 0, 255))
    page.keyboard.press("k")
    assert slider.is_hidden()


def test_the_theme_is_switched_and_remembered(sitting: Sitting) -> None:
    page = sitting.page
    page.emulate_media(color_scheme="light")
    grounds = {}
    for theme in ("light", "dark"):
        page.locator("#theme").click()
        assert page.locator("#theme").get_attribute("aria-label") == f"Theme: {theme}"
        grounds[theme] = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert grounds["light"] != grounds["dark"]
    page.reload()
    sitting.wait_for_picture("bear")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.locator("#theme").click()
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == grounds["light"]  # as the system


def test_a_busy_server_is_said_and_asked_again(sitting: Sitting) -> None:
    queue = sitting.server.shop.matting
    queue.most = 0
    sitting.paint()
    sitting.live("wait for the network already; ask again later; asking again")
    queue.most = 32
    sitting.wait("done")
    assert sitting.page.locator(".notices li").count() == 0
    sitting.complaints[:] = [text for text in sitting.complaints if "503" not in text]
