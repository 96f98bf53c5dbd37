"""Bounds that hold: what does not fit into memory is told before memory is taken, as code 4."""

import resource
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from words import assert_words, pair

from a2u_cli.errors import OutOfMemory
from a2u_cli.images import encode_image, png, read_image, write_image
from a2u_cli.images.floats import COLOUR_BYTES

pytestmark = pytest.mark.usefixtures("environment")


def test_a_worker_that_the_system_ends_is_a_shortage(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EOFError

    monkeypatch.setattr("a2u_cli.jobs.crew._Worker.ask", fail)
    run = run_a2u("render", tmp_path / "r", "--count", "2", "--workers", "2")
    assert_words(run, "a worker process was ended from outside", "fewer workers", code=4)


DECODER = "a2u_cli.images.reading.decode_levels"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("matte", "p.png", "-t", "p_trimap.png"), DECODER),
        (("matte", "p.png", "-t", "p_trimap.png"), "a2u_cli.matting.inference.raw_alpha"),
        (("matte", "p.png", "-t", "p_trimap.png"), "a2u_cli.images.writing.encode_png"),
        (("batch", "."), "a2u_cli.weights.format.load_file"),
        (("cutout", "p.png", "-a", "m.png"), DECODER),
        (("cutout", "p.png", "-a", "m.png"), "a2u_cli.foreground.estimate_foreground"),
        (("composite", "p.png", "-a", "m.png"), DECODER),
        (("trimap", "make", "m.png"), DECODER),
        (("trimap", "check", "p_trimap.png"), DECODER),
        (("explain", "p.png", "-t", "p_trimap.png"), "a2u_cli.matting.explain.look"),
        (("eval", "m", "--gt", "gt"), "a2u_cli.scoring.evaluation.score"),
        (("weights", "info", "{weights}"), "json.loads"),
        (("weights", "verify", "{weights}"), "a2u_cli.weights.format.load_file"),
        (("weights", "import", "{weights}"), "a2u_cli.weights.format.load_file"),
        (("render", "r", "--count", "1", "--size", "64"), "a2u_cli.rendering.sets.render_scene"),
        (("train", "t", "--steps", "1"), "a2u_cli.training.data.building.build_engine"),
        (("doctor",), "a2u_cli.matting.devices.describe_device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.split(".")[-1],
)
def test_a_shortage_of_memory_is_code_4_in_every_command(
    run_a2u: RunA2U,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Path,
    words: Sequence[str],
    place: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("std::bad_alloc")

    pair(tmp_path, "p", size=(8, 8))
    for name in ("m.png", "gt/p.png", "m/p.png"):
        write_image(tmp_path / name, np.full((8, 8), 0.5, np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    monkeypatch.setattr(place, fail)
    run = run_a2u(*(word.format(weights=weights) for word in words))
    assert_words(run, "memory", code=4)
    assert "damaged" not in run.stderr


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)], ids=str)
def test_thin_pictures_are_matted_and_explained_in_bounded_memory(
    run_a2u: RunA2U, tmp_path: Path, weights: Path, size: tuple[int, int]
) -> None:
    write_image(tmp_path / "p.png", np.random.default_rng(1).random((*size, 3), np.float32))
    write_image(tmp_path / "t.png", np.full(size, 128, np.uint8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = ("--weights", weights, "--device", "cpu")
    for command in ("matte", "explain"):
        run = run_a2u(command, tmp_path / "p.png", "-t", tmp_path / "t.png", *words)
        assert run.code == 0, run.stderr
    assert read_image(tmp_path / "p_alpha.png").size == size
    page = read_image(tmp_path / "p_explained.png").image
    assert page.shape[0] < 6000
    assert page.shape[1] < 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


# --max-memory, the same in every command that reads pictures

HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 6000, 6000, 8, 2, 0, 0, 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small picture with its mattes, and the head of a large one, and go there."""
    pair(tmp_path, "p")
    for name in ("m.png", "gt/p.png", "mattes/p.png"):
        write_image(tmp_path / name, np.full((24, 32), 0.5, np.float32))
    for name in ("big.png", "gt/big.png", "mattes/big.png"):
        (tmp_path / name).write_bytes(HEAD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("matte", "big.png", "-t", "p_trimap.png"),
        ("matte", "p.png", "--mask", "big.png"),
        ("matte", "p.png", "-t", "big.png"),
        ("cutout", "big.png"),
        ("cutout", "big.png", "-a", "m.png"),
        ("cutout", "p.png", "-a", "big.png"),
        ("cutout", "-", "-a", "m.png"),
        ("composite", "big.png", "-a", "m.png"),
        ("composite", "p.png", "-a", "big.png"),
        ("composite", "p.png", "-a", "m.png", "-b", "big.png"),
        ("trimap", "big.png"),
        ("trimap", "-"),
        ("trimap", "check", "big.png"),
        ("trimap", "check", "-"),
        ("trimap", "check", "p_trimap.png", "--image", "big.png"),
    ],
    ids=" ".join,
)
def test_a_picture_beyond_the_bound_is_code_4_before_it_is_read(
    run_a2u: RunA2U, folder: Path, words: Sequence[str]
) -> None:
    before = sorted(folder.rglob("*"))
    run = run_a2u(*words, "--max-memory", "500MB", stdin=HEAD)
    assert_words(run, "is 6000x6000 and takes about", "expected at most 0.", code=4)
    assert "stdin is" in run.stderr if "-" in words else "big.png is" in run.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_picture_beyond_the_bound_is_one_failure_of_many(a2u: RunA2U, folder: Path) -> None:
    looks = ("--region", "whole", "--html", "page.html")
    run = a2u("eval", "mattes", "--gt", "gt", "--max-memory", "1GB", *looks)
    assert run.code == 1
    assert "failed: big: mattes/big.png is 6000x6000 and takes" in run.stdout.decode()
    assert "1 scored, 1 failed" in run.stdout.decode()
    assert (folder / "page.html").is_file()
    for name in ("in/p.png", "in/p_trimap.png", "some/p.png", "some/any.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(Path(Path(name).name.replace("any", "p")).read_bytes())
    words = ("batch", "in", "--max-memory", "700MB", "--save", "alpha,composite", "-b")
    assert_words(a2u(*words, "big.png"), "big.png is 6000x6000 and takes about", code=4)
    (folder / "some" / "p.png").write_bytes(HEAD)
    run = a2u(*words, "some")
    assert run.code == 1, run.stderr
    assert "failed: p: some/p.png is 6000x6000 and takes about" in run.stderr


def test_what_fits_the_bound_is_the_same_under_it(run_a2u: RunA2U, folder: Path) -> None:
    (folder / "gt" / "big.png").unlink()
    (folder / "mattes" / "big.png").unlink()
    for words in (
        ("cutout", "p.png", "-a", "m.png", "-o", "-"),
        ("composite", "p.png", "-a", "m.png", "-b", "p.png", "-o", "-"),
        ("trimap", "m.png", "-o", "-"),
        ("trimap", "check", "p_trimap.png", "--image", "p.png"),
        ("eval", "mattes", "--gt", "gt", "--csv", "-"),
    ):
        free, bounded = run_a2u(*words), run_a2u(*words, "--max-memory", "500MB")
        assert free.code == 0, free.stderr
        assert bounded == free
        assert free.stdout


# Heads that promise more than pixels


def test_a_tiff_of_thousands_of_channels_is_refused_before_they_are_unpacked() -> None:
    tags = {256: 1000, 257: 1000, 258: 16, 259: 1, 262: 1, 273: 8, 277: 65535, 278: 1000, 279: 9}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    with pytest.raises(OutOfMemory, match=r"1000x1000 and takes about 393\.2 GB to read"):
        read_image(data)


def test_texts_beyond_what_is_kept_of_a_png_are_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b"zTXt" + b"a\0\0" + zlib.compress(bytes(1 << 20))
    text = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = encode_image(np.full((4, 4), 0.5, np.float32), "png")
    at = data.index(b"IDAT") - 4
    unpack, sizes = png._unpacked_size, []
    monkeypatch.setattr(png, "_unpacked_size", lambda *a: sizes.append(unpack(*a)) or sizes[-1])
    assert read_image(data[:at] + 1000 * text + data[at:]).size == (4, 4)
    assert 0 < sum(sizes) <= 4 * png.MOST_TEXTS


@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_reading_openexr_takes_no_more_than_reading_is_said_to(
    tmp_path: Path, channels: str
) -> None:
    openexr = pytest.importorskip("OpenEXR")
    planes = {channel: np.full((300, 400), 0.5, np.float32) for channel in channels}
    kind = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(kind, planes).write(str(tmp_path / "a.exr"))
    read_image(tmp_path / "a.exr")  # imports
    tracemalloc.start()
    read_image(tmp_path / "a.exr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < COLOUR_BYTES * 300 * 400 + (1 << 20)
