"""Files and the page of `a2u serve`: begun with, dropped, kept, saved, opened again."""

import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

from playwright.sync_api import Browser
from serving import TOKEN
from sitting import SIDE, Sitting, another, sitting_at

from a2u_cli.images import encode_image, read_image, write_image
from a2u_cli.serve.opening import open_page

pytest_plugins = "sitting"
pytestmark = pytest.mark.requires_chromium


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
    sitting.take("shape.png")
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


def test_a_picture_of_16_bits_is_saved_with_them(sitting: Sitting, tmp_path: Path) -> None:
    sitting.page.locator('[data-job="p3"]').click()
    sitting.wait_for_picture("lynx")
    assert "16 bits" in sitting.page.locator("#facts").inner_text()
    sitting.paint()
    sitting.wait("done")
    sitting.save("alpha", "cutout")
    for kind in ("alpha", "cutout"):
        assert read_image(tmp_path / f"out/{kind}/lynx.png").depth == 16


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


def test_a_file_that_is_dropped_begins_a_trimap(sitting: Sitting) -> None:
    levels = np.zeros((SIDE, SIDE), np.uint8)
    levels[80:200, 80:180] = 255
    page = sitting.page
    held = page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            return transfer;
        }""",
        ["mask.png", b64encode(encode_image(levels, "png", depth=8)).decode()],
    )
    page.dispatch_event("#view", "dragover", {"dataTransfer": held})
    page.locator("#drop").wait_for()
    page.dispatch_event("#view", "drop", {"dataTransfer": held})
    assert page.locator("#drop").is_hidden()
    sitting.take("mask.png")
    assert sitting.trimap()[120, 120] == 255 and sitting.trimap()[79, 120] == 128


def test_what_is_dropped_and_is_no_file_is_said(sitting: Sitting) -> None:
    held = sitting.page.evaluate_handle("() => new DataTransfer()")
    sitting.page.dispatch_event("#view", "drop", {"dataTransfer": held})
    sitting.page.locator(".notices", has_text="drop a file from this computer").wait_for()


def test_a_composite_is_saved_on_the_picture_that_is_seen_behind(
    sitting: Sitting, tmp_path: Path
) -> None:
    write_image(tmp_path / "green.png", np.full((30, 40, 3), (0, 0.6, 0), np.float32))
    page = sitting.page
    sitting.paint()
    sitting.wait("done")
    page.keyboard.press("c")
    with page.expect_file_chooser() as chooser:
        page.locator("#behind-file").click()
    chooser.value.set_files(tmp_path / "green.png")
    page.locator('[name="behind"][value="picture"]:checked').wait_for(state="attached")
    words = sitting.save("composite")
    assert page.locator('[name="background"]').input_value() == "own"
    assert "A later a2u batch takes the painted trimap" in words
    saved = read_image(tmp_path / "out/composite/bear.png").image
    np.testing.assert_allclose(saved[2, 2], (0, 0.6, 0), atol=0.01)
    assert not np.allclose(saved[110, 124], (0, 0.6, 0), atol=0.1)


def test_an_openexr_picture_is_shown_and_saved_with_its_light(
    plush: Path,
    browser: Browser,
    weights: Path,
    environment: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "light"
    folder.mkdir()
    light = 3 * read_image(plush / "bear.png").image
    (folder / "bear.exr").write_bytes(encode_image(light, "exr", depth=32, light=True))
    with sitting_at(folder, browser, weights, tmp_path / "out") as sitting:
        assert "linear light" in sitting.page.locator("#facts").inner_text()
        sitting.paint()
        sitting.wait("done")
        sitting.page.keyboard.down("o")
        sitting.page.wait_for_timeout(200)
        assert max(sitting.pixel(128, 110)[:3]) > 60  # seen in 8 bits
        sitting.page.keyboard.up("o")
        sitting.save("foreground")
        assert sitting.page.locator('[name="depth"]').input_value() == "32"
    saved = read_image(tmp_path / "out/foreground/bear.exr")
    assert saved.light is not None and saved.colours(light=True).max() > 1.5


FORBIDDEN = """for (const kind of ["localStorage", "sessionStorage"]) {
    const get = () => { throw new DOMException("forbidden", "SecurityError"); };
    Object.defineProperty(window, kind, { get });
}"""


def test_the_page_works_where_the_browser_keeps_nothing(sitting: Sitting, browser: Browser) -> None:
    with another(browser, sitting.server, sitting.complaints, FORBIDDEN) as other:
        note = other.page.locator(".notices", has_text="keeps nothing for this page")
        note.wait_for()
        other.paint()
        other.wait("done")
        assert other.strokes() == 2
        other.page.reload()
        other.page.locator(".notices", has_text="the token is missing").wait_for()
    sitting.complaints[:] = [text for text in sitting.complaints if "401" not in text]


def test_the_file_that_a_browser_is_opened_with_leads_to_the_page(
    sitting: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = sitting.page.url
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    open_page(f"{address}#token={TOKEN}", tmp_path, print)
    page = sitting.page.context.new_page()
    page.goto((tmp_path / "open.html").as_uri())
    page.locator("#title", has_text="bear").wait_for(timeout=60_000)
    assert page.url == address  # and no token in it
