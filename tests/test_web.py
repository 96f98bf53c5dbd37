"""The page of `a2u export web`: what is laid out, and its mattes in a real browser."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from conftest import RunA2U, error_histogram
from exported import SHIPPED
from opened import chromium

from a2u_cli.export import certificate, web
from a2u_cli.images import read_image, read_matte, write_image
from a2u_cli.matting.matter import Matter
from a2u_cli.trimap import band_pixels, make_trimap, parse_trimap, read_trimap
from a2u_cli.weights.cache import sha256_of
from benchmarks.browser import ISOLATION, hosted, measure

pytest_plugins = "exported"

HEIGHT, WIDTH = 90, 134
PATIENCE = 120_000  # milliseconds, for a slow machine
READ_ALPHA = "() => [...window.matted.alpha]"
LISTEN = "addEventListener('a2u-matte', ({ detail }) => (window.matted = detail));"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small picture, its trimap, a mask, and files that are none of these."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(y - HEIGHT / 2, x - WIDTH / 2)
    alpha = np.clip((34 - away + 5 * np.sin(9 * np.arctan2(y - 45, x - 67))) / 6, 0, 1)
    alpha = alpha[..., None].astype(np.float32)
    noise = rng.random((HEIGHT, WIDTH, 3), np.float32) / 5
    image = alpha * (0.7, 0.5, 0.2) + (1 - alpha) * (0.1, 0.4, 0.5) + noise
    image = image.astype(np.float32)
    write_image(folder / "sun.png", image)
    write_image(folder / "sun_trimap.png", make_trimap(alpha[..., 0], inside=6, outside=6))
    write_image(folder / "sun_mask.png", np.uint8(255) * (alpha[..., 0] > 0.5).astype(np.uint8))
    write_image(folder / "small_trimap.png", np.full((40, 60), 128, np.uint8))
    write_image(folder / "white.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    write_image(folder / "large.png", np.tile(image, (12, 9, 1)))
    write_image(
        folder / "large_trimap.png", np.tile(read_trimap(folder / "sun_trimap.png"), (12, 9))
    )
    (folder / "words.png").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("no npm here: see make test-extras")
    folder = tmp_path_factory.mktemp("runtime")
    web.fetch_runtime(folder)
    return folder


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Write a sound graph that mattes nothing, with a certificate that is of it."""
    import onnx

    names = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["H", "W"]) for n in "ab"
    ]
    node = onnx.helper.make_node("Relu", ["a"], ["b"])
    made = onnx.helper.make_graph([node], "none", names[:1], names[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(made, opset_imports=opset, ir_version=9)
    facts = {"weights_sha256": "0" * 64, "dtype": "float32", "licence": "CC0"}
    onnx.helper.set_model_props(model, facts)
    path = tmp_path / "plain.onnx"
    onnx.save(model, path)
    told = certificate.Certificate(
        sha256_of(path), "0" * 64, "float32", 18, "none", "none", "none", ()
    )
    certificate.write(told, path)
    return path


def test_a_page_is_laid_out_with_all_that_it_needs(
    a2u: RunA2U, graph: Path, stand_in: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site/page"
    run = a2u("export", "web", out, "--graph", graph, "--runtime-from", stand_in)
    assert run.code == 0, run.stderr
    assert run.stdout.decode().strip() == str(out)
    assert f"python -m http.server --directory {out}" in run.stderr
    told = json.loads((out / web.FACTS).read_text())
    assert (told["name"], told["licence"], told["runtime"]) == ("plain", "CC0", web.VERSION)
    assert (out / web.GRAPH).read_bytes() == graph.read_bytes()
    assert "require-corp" in (out / "_headers").read_text()
    assert {p.name for p in (out / "runtime").iterdir()} == {*web.RUNTIME_FILES, "LICENSE"}
    assert "Apache License" in (out / "LICENSE").read_text()
    assert "Microsoft" in (out / "runtime/LICENSE").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["page"]
    page = "".join(p.read_text() for p in out.iterdir() if p.suffix in (".html", ".css", ".js"))
    assert "http://" not in page and "https://" not in page  # all is in the folder


def test_without_a_graph_the_weights_are_exported_first(
    a2u: RunA2U,
    graph: Path,
    stand_in: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from a2u_cli.commands import export
    from a2u_cli.export import onnx_files

    exported: list[Path] = []

    def write(source: Path, to: Path) -> None:
        exported.append(source)
        shutil.copy(graph, to)

    monkeypatch.setattr(onnx_files, "write_onnx", write)
    monkeypatch.setattr(export, "_compare", lambda *_, costs: certificate.read(graph))
    out = tmp_path / "page"
    run = a2u("export", "web", out, "--weights", weights, "--runtime-from", stand_in)
    assert run.code == 0, run.stderr
    assert exported == [weights]
    assert json.loads((out / web.FACTS).read_text())["name"] == weights.stem


@pytest.mark.exports
@pytest.mark.skipif("A2U_TEST_GRAPH" in os.environ, reason="A2U_TEST_GRAPH stands for its graph")
def test_a_page_of_weights_has_a_graph_that_is_certified(exported_page: Path) -> None:
    told = json.loads((exported_page / web.FACTS).read_text())
    assert (told["name"], told["weights_sha256"]) == ("a2u-open", sha256_of(SHIPPED))
    own = certificate.read(exported_page / web.GRAPH)
    assert own.file_sha256 == sha256_of(exported_page / web.GRAPH)
    assert len(own.rows) == len(certificate.SIZES) and own.largest <= 1e-4
    assert web.read_page(exported_page)["licence"] == told["licence"] == "Apache-2.0"


def test_a_folder_that_is_no_page_is_never_replaced(
    a2u: RunA2U, graph: Path, stand_in: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    arguments = ("export", "web", out, "--graph", graph, "--runtime-from", stand_in)
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    for options, words in (((), "is not empty"), (("--force",), "is no page of a2u export web")):
        run = a2u(*arguments, *options)
        assert (run.code, run.stderr.count("\n")) == (2, 1) and words in run.stderr
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    assert a2u(*arguments).code == 0
    (out / "stale.js").write_text("")
    assert a2u(*arguments, "--force").code == 0
    assert not (out / "stale.js").exists() and (out / "index.html").exists()


def test_weights_beside_a_graph_would_do_nothing(a2u: RunA2U, tmp_path: Path) -> None:
    run = a2u("export", "web", tmp_path / "page", "--graph", "x.onnx", "--weights", "a2u-open")
    assert run.code == 2 and "--weights would do nothing" in run.stderr


def test_a_missing_npm_is_named_with_the_way_around(
    a2u: RunA2U, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = a2u("export", "web", tmp_path / "page", "--graph", graph)
    assert run.code == 2 and not (tmp_path / "page").exists()
    assert "needs npm" in run.stderr and "--runtime-from" in run.stderr


def test_what_npm_brings_is_compared_with_the_pinned_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_pack", lambda npm, folder: b"another")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(web.A2UError, match="another file than onnxruntime-web"):
        web.fetch_runtime(tmp_path)


def test_what_npm_says_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no such host >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(npm))
    with pytest.raises(web.A2UError, match=r"could not fetch .*no such host"):
        web.fetch_runtime(tmp_path)


def test_a_changed_graph_and_another_runtime_are_refused(
    a2u: RunA2U, graph: Path, stand_in: Path, tmp_path: Path
) -> None:
    arguments = ("export", "web", tmp_path / "page", "--runtime-from", stand_in)
    bundle = stand_in / "ort.wasm.min.mjs"
    bundle.write_text(bundle.read_text().replace(web.VERSION, "1.2.3"))
    run = a2u(*arguments, "--graph", graph)
    assert run.code == 2 and f"has onnxruntime-web 1.2.3, expected {web.VERSION}" in run.stderr
    bundle.unlink()
    run = a2u(*arguments, "--graph", graph)
    assert run.code == 2 and "has no ort.wasm.min.mjs" in run.stderr
    told = graph.with_name("plain.onnx.json")
    told.write_text(told.read_text().replace("float32", "float16"))
    run = a2u(*arguments, "--graph", graph)
    assert run.code == 3 and "has dtype float32, its certificate float16" in run.stderr
    told.unlink()
    run = a2u(*arguments, "--graph", graph)
    assert run.code == 3 and "is no certificate" in run.stderr
    assert not (tmp_path / "page").exists()


# The rest is in a browser.


@pytest.fixture(scope="session")
def site(exported_graph: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from a2u_cli.export.onnx_files import read_facts

    out = tmp_path_factory.mktemp("site")
    web.write_page(out, exported_graph, read_facts(exported_graph), "a2u-open", runtime)
    return out


@pytest.fixture(params=[{}])
def address(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    """Serve the page as any static host does, with headers of its own where it has some."""
    with hosted(site, request.param) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Open the page; nothing may be complained of in the console, nor asked of another host."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on(
        "request",
        lambda r: r.url.startswith((address, "blob:", "data:")) or complaints.append(r.url),
    )
    page.add_init_script(LISTEN)
    page.goto(address)
    page.locator("#facts", has_text="a2u-open").wait_for()
    yield page
    page.close()
    assert complaints == []


def give(page: Any, picture: Path, trimap: Path) -> None:
    page.locator("#picture-file").set_input_files(picture)
    page.locator("#picture-facts", has_text=picture.name).wait_for()
    page.locator("#trimap-file").set_input_files(trimap)


def matted(page: Any, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    page.locator("#save").wait_for()
    return np.float32(page.evaluate(READ_ALPHA)).reshape(size)


@pytest.mark.requires_chromium
@pytest.mark.parametrize("address", [{}, ISOLATION], indirect=True)
def test_the_browser_s_matte_is_torch_s(
    visit: Any, address: str, pictures: Path, tmp_path: Path
) -> None:
    give(visit, pictures / "sun.png", pictures / "sun_trimap.png")
    visit.locator("#state", has_text="Ready.").wait_for()
    visit.locator("#run").press("Enter")
    alpha = matted(visit)
    assert visit.evaluate("document.activeElement.id") == "run"  # and not lost with Cancel
    image, trimap = read_image(pictures / "sun.png").image, read_trimap(pictures / "sun_trimap.png")
    expected = Matter(SHIPPED, quality="fast", device="cpu").matte(image, trimap)
    assert np.abs(alpha - expected).max() <= 1e-3, error_histogram(alpha, expected)
    with visit.expect_download() as saved:
        visit.locator("#save").click()
    assert saved.value.suggested_filename == "sun_alpha.png"
    saved.value.save_as(tmp_path / "alpha.png")
    assert np.abs(read_matte(tmp_path / "alpha.png").values - alpha).max() <= 0.5 / 255 + 1e-6
    assert "Computed on the processor" in visit.locator("#runtime").inner_text()


@pytest.mark.requires_chromium
def test_a_mask_gets_the_band_that_a2u_lays(visit: Any, pictures: Path) -> None:
    give(visit, pictures / "sun.png", pictures / "sun_mask.png")
    visit.locator("#band-pixels", has_text="of the diagonal: 2 pixels").wait_for()
    assert visit.locator('[name="kind"][value="mask"]').is_checked()
    reach = band_pixels("1.5%", (HEIGHT, WIDTH))
    mask = read_matte(pictures / "sun_mask.png").values
    expected = make_trimap(mask, inside=reach, outside=reach)
    assert (shown_trimap(visit) == expected).all()
    visit.locator('[name="kind"][value="trimap"]').check(force=True)
    visit.locator("#wrong", has_text="sun_mask.png has no unknown pixels").wait_for()
    assert visit.locator("#run").is_disabled()


def shown_trimap(page: Any) -> np.ndarray:
    pixels = page.evaluate("""() => {
        const view = document.getElementById("trimap-view");
        return [...view.getContext("2d").getImageData(0, 0, view.width, view.height).data];
    }""")
    return np.uint8(pixels).reshape(HEIGHT, WIDTH, 4)[..., 0]


@pytest.mark.requires_chromium
def test_every_grey_is_sorted_as_by_a2u(visit: Any, pictures: Path, tmp_path: Path) -> None:
    greys = np.resize(np.arange(256, dtype=np.uint8), (HEIGHT, WIDTH))
    write_image(tmp_path / "all.png", greys)
    give(visit, pictures / "sun.png", tmp_path / "all.png")
    visit.locator("#state", has_text="Ready.").wait_for()
    assert (shown_trimap(visit) == parse_trimap(np.float32(greys) / 255)).all()


@pytest.mark.requires_chromium
def test_the_page_is_as_narrow_as_a_phone(visit: Any, pictures: Path) -> None:
    visit.set_viewport_size({"width": 360, "height": 740})
    give(visit, pictures / "sun.png", pictures / "sun_mask.png")
    visit.locator("#state", has_text="Ready.").wait_for()
    assert visit.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.requires_chromium
@pytest.mark.parametrize(
    ("trimap", "words"),
    [
        ("words.png", "words.png is no picture that this browser can open"),
        ("small_trimap.png", "small_trimap.png is 60x40 but sun.png is 134x90; resize one."),
        ("sun.png", "sun.png has colours, expected a trimap"),
        ("white.png", "white.png has no edge to matte along"),
    ],
)
def test_wrong_files_are_refused_in_one_line(
    visit: Any, pictures: Path, trimap: str, words: str
) -> None:
    give(visit, pictures / "sun.png", pictures / trimap)
    visit.locator("#wrong", has_text=words).wait_for()
    assert visit.locator("#run").is_disabled()
    assert "\n" not in visit.locator("#wrong").inner_text()


@pytest.mark.requires_chromium
def test_a_large_picture_is_scaled_down_only_on_demand_and_can_be_cancelled(
    visit: Any, pictures: Path
) -> None:
    give(visit, pictures / "large.png", pictures / "large_trimap.png")
    visit.locator("#wrong", has_text="large.png is 1206x1080, 1.32 megapixels").wait_for()
    assert visit.locator("#run").is_disabled()
    visit.locator("#smaller").click()
    visit.locator("#state", has_text="Matting ").wait_for()
    visit.keyboard.press("Escape")
    visit.locator("#state", has_text="Cancelled.").wait_for()


@pytest.mark.requires_chromium
def test_what_is_dropped_finds_its_place_by_its_name(visit: Any, pictures: Path) -> None:
    names = ("sun_trimap.png", "sun.png")
    files = [[name, list((pictures / name).read_bytes())] for name in names]
    dropped = visit.evaluate_handle(
        """(files) => {
            const held = new DataTransfer();
            for (const [name, bytes] of files) {
                held.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            }
            return held;
        }""",
        files,
    )
    visit.dispatch_event("main", "drop", {"dataTransfer": dropped})
    visit.locator("#state", has_text="Ready.").wait_for()
    assert visit.locator("#picture-facts").inner_text().startswith("sun.png")
    assert visit.locator("#trimap-facts").inner_text().startswith("sun_trimap.png")


@pytest.mark.requires_chromium
def test_what_is_scaled_down_has_its_own_size_again(visit: Any, site: Path, pictures: Path) -> None:
    told = json.loads((site / web.FACTS).read_text()) | {"most_pixels": 4000}
    visit.route("**/model.json", lambda route: route.fulfill(json=told))
    visit.reload()
    visit.locator("#facts", has_text="a2u-open").wait_for()
    give(visit, pictures / "sun.png", pictures / "sun_trimap.png")
    visit.locator("#smaller", has_text="Scale down to 72x48 and matte").click()
    alpha, trimap = matted(visit), read_trimap(pictures / "sun_trimap.png")
    assert (alpha[trimap != 128] == trimap[trimap != 128] / 255).all()
    assert len(np.unique(alpha[trimap == 128])) > 100
    assert "134x90, matted at 72x48" in visit.locator("#matte-facts").inner_text()


@pytest.mark.requires_chromium
def test_a_smaller_matte_is_enlarged_and_its_known_pixels_kept(visit: Any, pictures: Path) -> None:
    trimap = read_trimap(pictures / "sun_trimap.png")
    found = visit.evaluate(
        """async ([trimap, from, to]) => {
            const { shrink, enlarge } = await import("./trimap.js");
            const small = shrink(trimap, to, from);
            const alpha = Float32Array.from(small, (value) => value / 255);
            return [[...small], [...enlarge(alpha, from, trimap, to)]];
        }""",
        [trimap.ravel().tolist(), {"width": 50, "height": 30}, {"width": WIDTH, "height": HEIGHT}],
    )
    small, alpha = np.uint8(found[0]), np.float32(found[1]).reshape(HEIGHT, WIDTH)
    assert set(np.unique(small)) == {0, 128, 255}
    known = trimap != 128
    assert (alpha[known] == trimap[known] / 255).all()
    assert alpha.min() >= 0 and alpha.max() <= 1


@pytest.mark.requires_chromium
def test_the_gpu_is_taken_only_where_it_agrees_and_is_quicker(visit: Any) -> None:
    found = visit.evaluate("""async () => {
        const { Engine } = await import("./engine.js");
        const { signal } = new AbortController();
        const stand_in = (value, wait, fails) => ({
            name: wait > 10 ? "wasm" : "webgpu",
            ended: false,
            end() { this.ended = true; },
            async ask() {
                await new Promise((resume) => setTimeout(resume, wait));
                if (fails) throw new Error("no such shader");
                return new Float32Array(4).fill(value);
            },
        });
        const outcomes = [];
        for (const gpu of [[0.5005, 1], [0.6, 1], [0.5, 1, true], [0.5, 90]]) {
            const [plain, other] = [stand_in(0.5, 40), stand_in(...gpu)];
            const engine = new Engine({}, { tell() {} });
            engine.open = async () => other;
            const [kept, why] = await engine.compare(plain, signal);
            outcomes.push([kept === other, plain.ended, other.ended, why]);
        }
        return outcomes;
    }""")
    assert [outcome[:3] for outcome in found] == [
        [True, True, False],
        *([False, False, True],) * 3,
    ]
    words = ("differs from the processor by 5e-4", "by 1e-1", "no such shader", "is slower")
    assert all(word in outcome[3] for word, outcome in zip(words, found, strict=True))


def test_the_scripts_are_sound() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    for script in sorted(web.PAGE.glob("*.js")):
        command = [node, "--input-type=module", "--check"]
        done = subprocess.run(command, input=script.read_bytes(), capture_output=True, check=False)
        assert done.returncode == 0, (script.name, done.stderr)


@pytest.mark.requires_chromium
def test_what_a_visitor_waits_for_is_measured(browser: Any, site: Path) -> None:
    first, then, most = measure(browser, site, (48, 64), ISOLATION)
    assert 0 < then < first and most > 50  # seconds, MiB
