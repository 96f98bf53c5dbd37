"""The page of `a2u explain --html` in a real browser, opened as a file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from conftest import sane_network
from opened import opened
from playwright.sync_api import Page

from a2u_cli.matting.explain_page import Shown, write_page
from a2u_cli.matting.kernels import Kernels, see_kernels

pytestmark = pytest.mark.requires_chromium
SIZE = 48, 64
PLACE = 21, 38  # row and column


def picture() -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(7).random((*SIZE, 3), np.float32)
    trimap = np.full(SIZE, 128, np.uint8)
    trimap[:, :16], trimap[:, -16:] = 0, 255
    return image, trimap


@pytest.fixture(scope="module")
def seen() -> dict[str, list[Kernels]]:
    names = ("a2u-dynamic-shared", "carafe")
    return {name: see_kernels(sane_network(operator=name), *picture()) for name in names}


@pytest.fixture(scope="module")
def file(seen: dict[str, list[Kernels]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    image, trimap = picture()
    shown = [Shown(name, kernels, trimap / np.float32(255)) for name, kernels in seen.items()]
    path = tmp_path_factory.mktemp("explain") / "a look.html"
    path.write_bytes(write_page(image, trimap, shown, title="photo & <b>.jpg"))
    return path


@pytest.fixture
def page(file: Path) -> Iterator[Page]:
    with opened(file) as page:
        wait(page, "0 0 0")
        yield page


def wait(page: Page, state: str) -> None:
    """Wait until an operator, a stage and a plane are shown, each by its number."""
    page.wait_for_function(f"() => document.body.dataset.shown === '{state}'")


def taps(page: Page, which: int = 0) -> list[float]:
    """Read the numbers of a kernel at the last place."""
    kernel = page.locator("#places > li").last.locator(".kernel").nth(which)
    return [float(text) for text in kernel.locator("span").all_text_contents()]


def click(page: Page, row: int, column: int) -> None:
    box = page.locator("#view").bounding_box()
    assert box
    zoom = min(box["width"] / SIZE[1], box["height"] / SIZE[0])
    at = {"x": (column + 0.5) * zoom, "y": (row + 0.5) * zoom}
    page.locator("#view").click(position=at)


def test_a_click_gives_the_kernels_of_the_place_numbered(
    page: Page, seen: dict[str, list[Kernels]], tmp_path: Path
) -> None:
    before = page.locator("#places > li").count()
    click(page, *PLACE)
    page.wait_for_function(f"() => document.querySelectorAll('#places > li').length > {before}")
    last = page.locator("#places > li").last
    assert last.locator(".number").inner_text() == str(before + 1)
    assert f"row {PLACE[0]}, column {PLACE[1]}" in last.inner_text()
    row, column = PLACE
    for stage in range(4):
        page.keyboard.press(str(stage + 1))
        wait(page, f"0 {stage} 0")
        kernels, fine = seen["a2u-dynamic-shared"][stage], 2**stage
        up, down = kernels.up, kernels.down
        assert down is not None
        for which, (planes, scale) in enumerate(((up, fine), (down, 2 * fine))):
            expected = planes[:, row // scale, column // scale]
            step = np.ptp(planes) / 255
            np.testing.assert_allclose(taps(page, which), expected, atol=0.5 * step + 6e-4)
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_operators_are_switched_and_have_their_own_kernels(
    page: Page, seen: dict[str, list[Kernels]]
) -> None:
    click(page, *PLACE)
    page.get_by_role("button", name="carafe").click()
    wait(page, "1 0 0")
    assert page.evaluate("document.activeElement.textContent") == "carafe"
    up = seen["carafe"][0].up
    expected = up[:, PLACE[0], PLACE[1]]
    np.testing.assert_allclose(taps(page), expected, atol=0.5 * np.ptp(up) / 255 + 6e-4)
    assert page.get_by_role("button", name="affinity").is_disabled()
    page.keyboard.press("o")
    wait(page, "2 0 0")
    assert "bilinear" in page.locator("#about").inner_text()
    quarter, more = 0.0625, 0.1875
    expected = [0, 0, 0, more, 0.5625, 0, quarter, more, 0]  # its place in the block is (1, 0)
    np.testing.assert_allclose(taps(page), expected, atol=3e-3)
    assert page.get_by_role("button", name="matte").is_disabled()  # no weights, no matte


def test_the_keyboard_alone_will_do(page: Page) -> None:
    for _ in range(4):
        page.keyboard.press("Delete")
    page.wait_for_function("() => document.querySelectorAll('#places > li').length === 0")
    page.locator("#view").focus()
    for key in ("ArrowUp", "Shift+ArrowRight", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("() => document.querySelectorAll('#places > li').length === 1")
    row, column = SIZE[0] // 2 - 1, SIZE[1] // 2 + 15
    assert f"row {row}, column {column}" in page.locator("#places > li").inner_text()
    page.keyboard.press("v")
    wait(page, "0 0 1")
    page.get_by_role("button", name="take place 1 away").press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#places > li').length === 0")


def test_planes_are_painted_in_both_themes(page: Page) -> None:
    colours = """() => {
        const view = document.getElementById("view"), { width, height } = view;
        const copy = new OffscreenCanvas(width, height);
        const pen = copy.getContext("2d", { willReadFrequently: true });
        pen.drawImage(view, 0, 0);
        const pixels = pen.getImageData(0, 0, width, height).data.buffer;
        return new Set(new Uint32Array(pixels)).size;
    }"""
    for number, name in ((3, "affinity"), (4, "largest tap up"), (5, "largest tap down")):
        page.get_by_role("button", name=name, exact=True).click()
        wait(page, f"0 0 {number}")
        assert name in page.locator("#about").inner_text()
        assert page.evaluate(colours) > 20
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
