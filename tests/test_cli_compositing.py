"""From plate to comp by the commands: EXR in and out, and `--for`."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import RunA2U
from PIL import Image
from small_folders import last
from test_compositing import Array, by_oiio, scene, seen_by_oiio

from a2u_cli.foreground import estimate_colours
from a2u_cli.images import read_image
from a2u_cli.images.colour import INTEROP_IDS, from_linear
from a2u_cli.images.formats import TARGETS
from a2u_cli.jobs.options import Options

pytestmark = pytest.mark.usefixtures("environment")
AT = {"at": (-2, 3), "display": (-2, 3, 48, 40)}
FACTS: dict[str, Any] = {
    "FramesPerSecond": ("rational", [25, 1]),
    "chromaticities": ("float[8]", list(INTEROP_IDS["lin_rec2020_scene"])),
}


@pytest.fixture
def plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay plate.exr, light up to 30 and below 0, and its true matte into a folder."""
    light, alpha, _, _ = scene()
    by_oiio(tmp_path / "plate.exr", light, **AT, **FACTS)
    file = tmp_path / "alpha.exr"
    by_oiio(file, alpha[..., None], **AT)
    levels = np.where(alpha <= 0, 0, np.where(alpha >= 1, 255, 128)).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "trimap.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "plate.exr"


def test_a_foreground_over_its_own_background_is_the_plate_again(
    run_a2u: RunA2U, plate: Path
) -> None:
    run = run_a2u("cutout", plate, "--alpha", "alpha.exr", "-o", "cut.exr")
    assert run.code == 0, run.stderr
    spec, cut = seen_by_oiio(Path("cut.exr"))
    _, stored = seen_by_oiio(plate)
    _, coverage = seen_by_oiio(Path("alpha.exr"))
    picture = read_image(plate)
    alpha = np.rint(coverage[..., 0] * 65535) / np.float32(65535)  # as mattes are read
    assert picture.light is not None
    assert picture.header is not None
    background = estimate_colours(picture.light, alpha, light=True)[1]
    assert picture.header.to_srgb is not None
    background = background @ np.linalg.inv(picture.header.to_srgb).T
    share = cut[..., 3:]
    again = cut[..., :3] + (1 - share) * background
    mixed = np.maximum(np.abs(stored), np.maximum(np.abs(cut[..., :3]), np.abs(background)))
    assert stored.max() > 20
    assert stored.min() < -0.2
    assert (np.abs(again - stored) <= 2**-11 * mixed + 1e-5).all()
    known = alpha >= 1
    np.testing.assert_allclose(cut[known][:, :3], stored[known], rtol=2**-10, atol=1e-4)
    assert spec.channelnames == ("R", "G", "B", "A")
    assert spec.getattribute("colorInteropID") == "lin_rec2020_scene"
    assert tuple(spec.getattribute("FramesPerSecond")) == (25, 1)
    windows = spec.full_x, spec.full_y, spec.full_width, spec.full_height, spec.x, spec.y
    assert windows == (-2, 3, 48, 40, -2, 3)


def test_a_matte_and_its_cutout_keep_the_plates_frame(a2u: RunA2U, plate: Path) -> None:
    run = a2u("matte", plate, "-t", "trimap.png", "--cutout", "cut.exr", "--for", "nuke")
    assert run.code == 0, run.stderr
    spec, matte = seen_by_oiio(Path("plate_alpha.exr"))
    cut_spec, cut = seen_by_oiio(Path("cut.exr"))
    for one in (spec, cut_spec):
        assert (one.full_x, one.full_y, one.width, one.height) == (-2, 3, 48, 40)
        assert one.getattribute("compression") == "zips"
    np.testing.assert_array_equal(matte[..., 0], cut[..., 3])
    assert cut.max() > 15
    np.testing.assert_array_equal(cut[cut[..., 3] == 0], 0)


def test_light_is_laid_over_light_in_a_composite(run_a2u: RunA2U, plate: Path) -> None:
    light, alpha, _, background = scene()
    by_oiio(Path("behind.exr"), background)
    by_oiio(Path("plain.exr"), light)
    words = ("composite", "plain.exr", "--alpha", "alpha.exr", "-b", "behind.exr")
    run = run_a2u(*words, "-o", "comp.exr")
    assert run.code == 0, run.stderr
    comp = seen_by_oiio(Path("comp.exr"))[1]
    assert comp.shape == (40, 48, 3)
    soft = (alpha > 0) & (alpha < 1)
    np.testing.assert_allclose(comp[~soft], light[~soft], rtol=2**-10, atol=1e-4)
    assert comp.max() > 20
    clipped = run_a2u(*words, "-o", "comp.png")
    assert "have light beyond what sRGB holds, which is clipped" in clipped.stderr
    shown = read_image("comp.png").image
    expected = from_linear(np.clip(seen_by_oiio(Path("comp.exr"))[1], 0, 1))
    np.testing.assert_allclose(shown, expected, atol=2e-3)


@pytest.mark.parametrize("word", TARGETS)
def test_for_names_what_suits_a_program(run_a2u: RunA2U, plate: Path, word: str) -> None:
    run = run_a2u("cutout", plate, "--alpha", "alpha.exr", "--for", word)
    assert run.code == 0, run.stderr
    target = TARGETS[word]
    path = Path(f"plate_cutout{target.suffix}")
    assert run.stdout.decode().strip() == str(plate.parent / path)
    spec = seen_by_oiio(path)[0]
    assert spec.format.basesize() * 8 == target.depth
    assert spec.nchannels == 4
    if target.format == "exr":
        pixels = seen_by_oiio(path)[1]
    else:
        pixels = np.asarray(Image.open(path).convert("RGBA"))
    hidden = pixels[pixels[..., 3] == 0][:, :3]
    assert (not hidden.any()) == target.premultiplied


def test_batches_are_made_for_a_program_and_go_on_as_such(a2u: RunA2U, plate: Path) -> None:
    Path("in").mkdir()
    plate.rename("in/plate.exr")
    Path("trimap.png").rename("in/plate_trimap.png")
    words = ("batch", "in", "-o", "out", "--save", "alpha,cutout,composite,foreground")
    run = a2u(*words, "--for", "fusion")
    assert run.code == 0, run.stderr
    made = sorted(str(path) for path in Path("out").rglob("*.*") if path.suffix != ".jsonl")
    assert [path for path in made if not path.startswith("out/.")] == [
        f"out/{kind}/plate.exr" for kind in ("alpha", "composite", "cutout", "foreground")
    ]
    spec, cut = seen_by_oiio(Path("out/cutout/plate.exr"))
    assert (spec.full_x, spec.full_y, spec.getattribute("compression")) == (-2, 3, "zips")
    np.testing.assert_array_equal(cut[..., 3], seen_by_oiio(Path("out/alpha/plate.exr"))[1][..., 0])
    clipped = a2u(*words[:2], "-o", "clipped", *words[4:])
    told = "in 3 results light beyond what sRGB holds is clipped; --for nuke, or .exr, keeps it"
    assert [line for line in clipped.stderr.splitlines() if "sRGB" in line] == [f"warning: {told}"]
    again = a2u(*words, "--for", "nuke")
    assert last(again) == "0 done, 1 skipped, 0 failed, 0 without a trimap"
    other = a2u(*words, "--for", "nuke", "--depth", "32", "--dtype", "float32")
    assert last(other).startswith("1 done"), other.stderr
    assert seen_by_oiio(Path("out/cutout/plate.exr"))[0].format.basesize() == 4


@pytest.mark.parametrize("command", ["cutout", "composite"])
def test_results_in_any_format_are_nothing_to_begin_with(
    run_a2u: RunA2U, plate: Path, command: str
) -> None:
    greys = Image.fromarray(np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8))
    for folder in ("in", "mattes"):
        Path(folder).mkdir()
        greys.save(f"{folder}/a.png")
    words = (command, "in", "--alpha", "mattes", "-o", "mattes", "--for", "nuke")
    first = run_a2u(*words)
    assert first.code == 0, first.stderr
    assert Path("mattes/a.exr").is_file()
    second = run_a2u(*words)
    assert last(second) == "0 done, 1 skipped, 0 failed", second.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--for nuke -o x.png", "x.png is no OpenEXR, which --for asks for; name it .exr, or"),
        ("--for web -o x.exr", "x.exr is no WebP, which --for asks for; name it .webp, or"),
        ("--for nuke --depth 8", "plate_cutout.exr: OpenEXR cannot hold 8 bits a channel; choose"),
        ("--for houdini", "for 'houdini' is unknown; expected nuke, fusion, after-effects or web"),
        ("-o x.exr --depth 8", "x.exr: OpenEXR cannot hold 8 bits a channel; choose .png or"),
        ("-o x.webp", "x.webp: WebP cannot hold 16 bits a channel; choose .png or .tif"),
        ("-o x.png --depth 32", "x.png: PNG cannot hold 32 bits a channel; choose .tif or .exr"),
    ],
)
def test_what_contradicts_is_one_line(run_a2u: RunA2U, plate: Path, words: str, text: str) -> None:
    run = run_a2u("cutout", "plate.exr", "--alpha", "alpha.exr", *words.split())
    assert (run.code, run.stdout) == (2, b"")
    assert text in last(run)
    batch = ("batch", ".", "--for", "nuke", "--depth", "8")
    assert "OpenEXR cannot hold 8 bits a channel" in last(run_a2u(*batch))


def test_an_explicit_option_wins_over_for(run_a2u: RunA2U, plate: Path) -> None:
    words = ("cutout", plate, "--alpha", "alpha.exr")
    assert run_a2u(*words, "--for", "nuke", "--depth", "32", "-o", "x.exr").code == 0
    assert seen_by_oiio(Path("x.exr"))[0].format.basesize() == 4
    run = run_a2u(*words, "--for", "after-effects", "--premultiplied", "-o", "x.png")
    assert "x.png: a PNG's colours count as straight" in run.stderr
    found = np.asarray(Image.open("x.png").convert("RGBA"))
    assert found[..., :3][found[..., 3] == 0].max() == 0


def test_without_the_extra_for_is_refused_in_a_line(
    run_a2u: RunA2U, plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    for words in (("matte", "p.png", "-t", "trimap.png"), ("batch", ".")):
        run = run_a2u(*words, "--for", "nuke")
        assert (run.code, run.stdout) == (2, b"")
        assert "the output is an OpenEXR picture, which needs an extra; pip install" in last(run)


def test_a_full_disk_leaves_no_exr(run_a2u: RunA2U, plate: Path, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    run = run_a2u("cutout", plate, "--alpha", "alpha.exr", "-o", "out/x.exr")
    assert "x.exr cannot be written (No space left on device)" in last(run)
    assert not [path for path in Path("out").rglob("*") if path.is_file()]


def test_photographs_become_light_for_nuke(run_a2u: RunA2U, plate: Path) -> None:
    rng = np.random.default_rng(0)
    levels: Array = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(levels).save("photo.png")
    run = run_a2u("cutout", "photo.png", "--alpha", "alpha.exr", "--for", "nuke")
    assert run.code == 0, run.stderr
    cut = seen_by_oiio(Path("photo_cutout.exr"))[1]
    known = cut[..., 3] == 1
    shown = from_linear(cut[known][:, :3])
    np.testing.assert_allclose(shown, levels[known] / 255, atol=2e-3)


def test_a_tiff_of_floats_holds_light(run_a2u: RunA2U, plate: Path) -> None:
    words = ("cutout", plate, "--alpha", "alpha.exr", "--depth", "32")
    assert run_a2u(*words, "-o", "x.tif").code == 0
    assert run_a2u(*words, "-o", "x.exr", "--premultiplied").code == 0
    found, alpha = tifffile.imread("x.tif"), tifffile.imread("x.tif")[..., 3:]
    light = read_image("x.exr").light
    assert light is not None
    seen = alpha[..., 0] > 0.05
    np.testing.assert_allclose(found[seen][:, :3], light[seen], rtol=1e-4, atol=1e-4)
    assert found.max() > 20


def test_options_that_were_never_given_keep_their_digest() -> None:
    assert Options().digest == "98aa9c726ea871ea"
    assert Options(save=("alpha", "cutout"), depth=16, invert=True).digest == "ac27fb7e1422f683"
    assert Options(format="exr", depth=16).digest != Options(depth=16).digest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("matte plate.exr -t trimap.png --cutout made.png", "made.png: 100.0 % of the pixels have"),
        ("cutout plate.exr --alpha alpha.exr -o made.webp", "made.webp: 100.0 % of the pixels"),
        ("cutout plate.exr --alpha alpha.exr -o made.tif --premultiplied", "made.tif: 64.8 % of"),
        ("cutout in --alpha mattes", "in 1 results light"),
        ("composite plate.exr --alpha alpha.exr -b white -o made.jpg", "made.jpg: 64.8 % of the"),
        ("composite in --alpha mattes -b white", "in 1 results light"),
        ("batch in --save alpha,foreground --workers 2", "in 1 results light"),
        ("sequence in --trimaps keys -o out --save composite --for web", "in 1 results light"),
    ],
)
def test_every_command_that_clips_light_tells_it_in_one_line(
    a2u: RunA2U, plate: Path, words: str, told: str
) -> None:
    for name, source in {"in": "plate.exr", "mattes": "alpha.exr", "keys": "trimap.png"}.items():
        Path(name).mkdir()
        shutil.copy(source, Path(name) / f"plate.0001{Path(source).suffix}")
    shutil.copy("trimap.png", "in/plate.0001_trimap.png")
    depth = ["--depth", "8"] if words.endswith((".jpg", ".webp")) else []
    run = a2u(*words.split(), *depth)
    assert run.code == 0, run.stderr
    (line,) = (line for line in run.stderr.splitlines() if "beyond what sRGB holds" in line)
    assert line.startswith(f"warning: {told}")
    assert "exr" in line
