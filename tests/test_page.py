"""The page of `a2u serve`, in a real browser: a plush is painted, matted and saved."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

from conftest import RunA2U
from serving import levels_of
from sitting import STATES, Sitting

pytest_plugins = "sitting"
pytestmark = pytest.mark.requires_chromium


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


def test_a_draft_that_is_decoded_late_does_not_take_the_full_matte_s_place(
    sitting: Sitting,
) -> None:
    sitting.page.evaluate("""() => {
        const { fetch, createImageBitmap } = window;
        const gate = new Promise((resume) => (window.release = resume));
        const late = new WeakSet();
        window.fetch = async (address, options) => {
            const answer = await fetch(address, options);
            if (String(address).includes("draft=1")) {
                const blob = await answer.blob();
                late.add(blob);
                answer.blob = async () => blob;
            }
            return answer;
        };
        window.createImageBitmap = async (blob, options) => {
            if (late.has(blob)) await gate;
            return createImageBitmap(blob, options);
        };
    }""")
    sitting.paint()
    sitting.wait("done")
    sitting.page.evaluate("() => window.release()")
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
