"""Time the page of `a2u export web` in headless Chromium, with one thread and with several.

    a2u export web runs/page
    python -m benchmarks.browser runs/page

What is timed is what a visitor waits for, from the button to the matte: the first also fetches and
prepares the network, and is not counted. The peak is that of the largest of Chromium's processes.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import typer

from a2u_cli.images import write_image

from . import append, describe_machine
from .cases import Case, Size, picture

RESULTS = Path(__file__).resolve().parent / "results"
HEADER = ["width", "height", "threads", "first (s)", "then (s)", "peak (MiB)", "machine"]
SIZES = ((240, 320), (480, 640), (992, 1152))  # height, width
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
PATIENCE = 600_000  # ms


class Host(SimpleHTTPRequestHandler):
    """A static host with headers of its own, which says nothing."""

    def __init__(self, headers: Mapping[str, str], *words: Any, **options: Any) -> None:
        self.own = headers
        super().__init__(*words, **options)

    def end_headers(self) -> None:
        for name, value in self.own.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hosted(folder: Path, headers: Mapping[str, str]) -> Iterator[str]:
    """Serve a folder on this machine, and give its address."""
    handler = partial(Host, headers, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def peak() -> float:
    """Give the largest peak of all processes of Chromium, in MiB; Linux tells it."""
    peaks = [0.0]
    for place in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in place.read_text().splitlines())
        except OSError:  # it has ended meanwhile
            continue
        if lines["Name"].strip().startswith("chrom") and "VmHWM" in lines:
            peaks.append(int(lines["VmHWM"].split()[0]) / 1024)
    return max(peaks)


def matte(browser: Any, address: str, files: tuple[Path, Path]) -> tuple[float, float, float]:
    """Matte a picture twice on a fresh page; give the seconds of both, and the peak."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/?runtime=wasm")
    seconds = []
    for _ in range(2):
        page.locator("#picture-file").set_input_files(files[0])
        page.locator("#picture-facts", has_text=files[0].name).wait_for()
        page.locator("#trimap-file").set_input_files(files[1])
        page.locator("#run:enabled").wait_for()
        begin = time.perf_counter()
        page.locator("#run").click()
        page.locator("#save").wait_for()
        seconds.append(time.perf_counter() - begin)
    most = peak()
    page.close()
    return seconds[0], seconds[1], most


def measure(
    browser: Any, folder: Path, size: Size, headers: Mapping[str, str]
) -> tuple[float, float, float]:
    """Matte a picture of this size on the page in `folder`, as `matte` does."""
    image, trimap = picture(Case("ours", "float32", size, 0.1, "compact"))
    with tempfile.TemporaryDirectory() as place, hosted(folder, headers) as address:
        files = Path(place) / "picture.png", Path(place) / "trimap.png"
        write_image(files[0], image)
        write_image(files[1], trimap)
        return matte(browser, address, files)


def run(
    folder: Annotated[Path, typer.Argument(help="The page, made by a2u export web.")],
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
) -> None:
    """Print each size's time and memory; append a row each to `browser.csv`."""
    from playwright.sync_api import sync_playwright

    rows = []
    with sync_playwright() as playwright:
        for (height, width), threads in product(SIZES, ("one", "several")):
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            headers = ISOLATION if threads == "several" else {}
            first, then, most = measure(browser, folder, (height, width), headers)
            browser.close()
            typer.echo(
                f"{width}x{height}, {threads}: {first:.1f} s, then {then:.1f} s, {most:.0f} MiB"
            )
            cells = [f"{first:.1f}", f"{then:.1f}", f"{most:.0f}", describe_machine()]
            rows.append([str(width), str(height), threads, *cells])
    append(results / "browser.csv", HEADER, rows)


if __name__ == "__main__":
    typer.run(run)
