"""The command `a2u`: results on stdout, one clear line on stderr, the documented exit codes."""

import errno
import json
import os
import pickle
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from conftest import Run, RunA2U
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from a2u_cli import __version__, cli
from a2u_cli.images import read_image
from a2u_cli.matting import devices, inference, matter, runtime
from a2u_cli.rendering import raster

SIZE = (40, 56)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MESSAGES = ("trimap: ", "memory: ", "warning: ", "device: ")

Array = np.ndarray


pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def matte(run_a2u: RunA2U, weights: Path) -> RunA2U:
    """Run `a2u matte` with the random weights on the CPU."""

    def call(*arguments: str | Path, stdin: bytes = b"") -> Run:
        fixed = ("--weights", weights, "--device", "cpu")
        return run_a2u("matte", *fixed, *arguments, stdin=stdin)

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "photo.png", colours())


@pytest.fixture
def trimap(tmp_path: Path) -> Path:
    return save(tmp_path / "trimap.png", bands())


def colours(height: int = SIZE[0], width: int = SIZE[1]) -> Array:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bands(height: int = SIZE[0], width: int = SIZE[1]) -> Array:
    """Draw a trimap: background on the left, foreground on the right, unknown between."""
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 4], trimap[:, width - width // 4 :] = 0, 255
    return trimap


def save(path: Path, levels: Array, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path, **options)
    return path


def load(source: Path | bytes) -> Array:
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
        return np.asarray(picture)


def contents(folder: Path) -> dict[Path, bytes | None]:
    """List a folder with all that is in it, hidden files and all."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(run: Run, code: int, *parts: str) -> None:
    """The error is the last line, alone, in words; nothing is on stdout."""
    assert (run.code, run.stdout) == (code, b""), run.stderr
    *before, last = run.stderr.splitlines()
    assert all(line.startswith(MESSAGES) for line in before), run.stderr
    assert last.startswith("error: ")
    for part in parts:
        assert part in last


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import os, sys; from a2u_cli.cli import main\n"
        "for line in ('--help', '--version', 'matte --help', 'serve --help', 'weights --help'):\n"
        "    sys.argv = ['a2u', *line.split()]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code, line\n"
        "    heavy = {'torch', 'cv2', 'numpy', 'PIL', 'rich', 'jinja2', 'huggingface_hub'}\n"
        "    heavy |= {'starlette', 'uvicorn', 'asyncio'}\n"
        "    heavy &= set(sys.modules)\n"
        "    assert not heavy, (line, heavy)\n"
        "# in time for the threads that torch brings, and for OpenCV's import\n"
        "assert os.environ['GOMP_SPINCOUNT'] and os.environ['OPENCV_LOG_LEVEL'] == 'SILENT'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_warnings_of_decoders_stay_off_the_screen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[Base.ImageDescription] = "x" * 50
    path = save(tmp_path / "t.jpg", bands(), exif=exif)
    data = path.read_bytes()
    entries = data.index(b"Exif\0\0MM") + 14
    path.write_bytes(data[:entries] + b"\x03\xff" + data[entries + 2 :])  # far more than there are
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        read_image(path)
    command = [sys.executable, "-m", "a2u_cli", "trimap", "check", path]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""


def test_the_version_shows_the_licence_of_the_default_weights(run_a2u: RunA2U) -> None:
    shown = f"a2u {__version__}, default weights a2u-open (Apache-2.0)\n"
    assert run_a2u("--version") == (0, shown.encode(), "")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk the tree of commands: the words that call one, and the command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example_that_parses(
    run_a2u: RunA2U, path: tuple[str, ...]
) -> None:
    run = run_a2u(*path, "--help")
    assert (run.code, run.stderr) == (0, "")
    examples = [line for line in run.stdout.decode().splitlines() if "Example: " in line]
    assert len(examples) == 1
    words = shlex.split(examples[0].partition("Example: ")[2])
    assert tuple(words[: 1 + len(path)]) == ("a2u", *path)
    COMMANDS[path].make_context("a2u", words[1 + len(path) :])


def test_no_command_shows_the_help(run_a2u: RunA2U) -> None:
    run = run_a2u()
    assert run.code == 2
    assert "Usage" in run.stdout.decode() + run.stderr


def test_python_m_a2u_cli_is_the_same_command(tmp_path: Path) -> None:
    missing = tmp_path / "no.png"
    command = [sys.executable, "-m", "a2u_cli", "matte", missing, "-t", missing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    error = f"error: {missing} does not exist, expected a picture; check the name\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)


def test_the_matte_lies_beside_the_image_and_keeps_what_is_known(
    matte: RunA2U, photo: Path, trimap: Path
) -> None:
    run = matte(photo, "-t", trimap)
    output = photo.with_name("photo_alpha.png")
    assert (run.code, run.stdout.decode()) == (0, f"{output}\n"), run.stderr
    alpha, known = load(output), load(trimap)
    assert (alpha.shape, alpha.dtype) == (SIZE, np.uint8)
    assert (alpha[known == 0] == 0).all()
    assert (alpha[known == 255] == 255).all()
    assert len(np.unique(alpha[known == 128])) > 50
    assert {path.name for path in photo.parent.iterdir()} == {
        *("photo.png", "trimap.png", "photo_alpha.png")
    }


def test_stderr_says_the_trimap_the_device_and_the_memory_once(
    matte: RunA2U, photo: Path, trimap: Path
) -> None:
    lines = matte(photo, "-t", trimap).stderr.splitlines()
    assert lines[0] == "trimap: background 25.0 %, unknown 50.0 %, foreground 25.0 %"
    assert lines[1].startswith("memory: in ")
    assert lines[2].startswith("device: cpu (")
    assert lines[2].endswith(", " + str(devices.pick_dtype("auto")).removeprefix("torch."))
    assert len(lines) == 3


def test_memory_is_bounded_in_the_units_people_write(
    matte: RunA2U, photo: Path, trimap: Path
) -> None:
    whole = matte(photo, "-t", trimap, "-o", "-").stdout
    assert matte(photo, "-t", trimap, "-o", "-", "--max-memory", "0.6GiB").stdout == whole
    run = matte(photo, "-t", trimap, "--max-memory", "20MB")
    assert_refused(run, 4, "GB may be used", "--max-memory")
    run = matte(photo, "-t", trimap, "--max-memory", "lots")
    assert_refused(run, 2, "'lots' is no amount of memory", "2GB")


def test_an_existing_output_is_kept_unless_forced(matte: RunA2U, photo: Path, trimap: Path) -> None:
    output = photo.with_name("photo_alpha.png")
    output.write_bytes(b"precious")
    run = matte(photo, "-t", trimap)
    assert_refused(run, 2, "photo_alpha.png exists", "--force")
    assert output.read_bytes() == b"precious"
    assert matte(photo, "-t", trimap, "--force").code == 0
    assert load(output).shape == SIZE


def test_an_existing_cut_out_is_kept_and_no_matte_is_written(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.png").write_bytes(b"precious")
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap, "--cutout", tmp_path / "cut.png")
    assert_refused(run, 2, "cut.png exists")
    assert contents(tmp_path) == before


def test_the_output_may_be_named_and_its_folders_are_made(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "folder" / "matte.tif"
    run = matte(photo, "-t", trimap, "-o", output)
    assert run.stdout.decode() == f"{output}\n"
    with Image.open(output) as picture:
        assert (picture.format, picture.mode) == ("TIFF", "L")
    assert not photo.with_name("photo_alpha.png").exists()


def test_sixteen_bits_round_to_the_eight(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    fine, coarse = tmp_path / "fine.png", tmp_path / "coarse.png"
    assert matte(photo, "-t", trimap, "-o", fine, "--depth", "16").code == 0
    assert matte(photo, "-t", trimap, "-o", coarse, "--dtype", "float32").code == 0
    levels = load(fine).astype(np.int64)
    assert levels.max() == 65535
    assert len(np.unique(levels)) > 256
    assert np.abs(levels / 257 - load(coarse)).max() < 0.51


def test_the_cut_out_holds_the_matte_and_the_solid_colours(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    cut, alpha = tmp_path / "cut.png", tmp_path / "photo_alpha.png"
    run = matte(photo, "-t", trimap, "--cutout", cut)
    assert run.stdout.decode() == f"{alpha}\n{cut}\n"
    found = load(cut)
    assert found.shape == (*SIZE, 4)
    assert np.array_equal(found[..., 3], load(alpha))
    solid = load(trimap) == 255
    assert np.array_equal(found[solid][:, :3], load(photo)[solid])


def test_json_holds_what_was_done(
    matte: RunA2U, photo: Path, trimap: Path, weights: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.png"
    facts = json.loads(matte(photo, "-t", trimap, "--cutout", cut, "--json").stdout)
    assert facts.pop("seconds") > 0
    assert facts == {
        "image": str(photo),
        "trimap": str(trimap),
        "outputs": [str(tmp_path / "photo_alpha.png"), str(cut)],
        "height": SIZE[0],
        "width": SIZE[1],
        "background": 0.25,
        "unknown": 0.5,
        "foreground": 0.25,
        "warnings": [],
        "weights": str(weights),
        "device": "cpu",
        "dtype": str(devices.pick_dtype("auto")).removeprefix("torch."),
        "quality": "fast",
    }


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
def test_the_precision_is_chosen_and_said(
    matte: RunA2U, photo: Path, trimap: Path, dtype: str
) -> None:
    run = matte(photo, "-t", trimap, "--dtype", dtype, "--json")
    expected = str(devices.pick_dtype(dtype)).removeprefix("torch.")
    assert json.loads(run.stdout)["dtype"] == expected
    assert run.stderr.splitlines()[-1].endswith(f", {expected}")
    run = matte(photo, "-t", trimap, "--dtype", "auto", "--depth", "16", "--force", "--json")
    assert json.loads(run.stdout)["dtype"] == "float32"


def test_a_picture_from_stdin_goes_to_stdout_as_nothing_but_a_png(
    matte: RunA2U, photo: Path, trimap: Path
) -> None:
    assert matte(photo, "-t", trimap, "--dtype", "float32").code == 0
    expected = load(photo.with_name("photo_alpha.png"))
    before = contents(photo.parent)
    run = matte("-", "-t", trimap, "--dtype", "float32", stdin=photo.read_bytes())
    assert run.code == 0
    assert np.array_equal(load(run.stdout), expected)
    assert run.stdout.endswith(b"IEND\xaeB`\x82")
    assert all(line.startswith(MESSAGES) for line in run.stderr.splitlines())
    run = matte(photo, "-t", "-", "-o", "-", "--depth", "16", stdin=trimap.read_bytes())
    assert np.abs(load(run.stdout) / 257 - expected).max() < 0.51
    assert contents(photo.parent) == before


def test_a_picture_from_stdin_may_go_to_a_file(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    output = tmp_path / "matte.png"
    run = matte("-", "-t", trimap, "-o", output, stdin=photo.read_bytes())
    assert (run.code, run.stdout.decode()) == (0, f"{output}\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_with_a_matte_on_stdout_all_text_goes_to_stderr(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, options: list[str]
) -> None:
    cut = tmp_path / "cut.png"
    run = matte(photo, "-t", trimap, "-o", "-", "--cutout", cut, *options)
    assert run.stdout.startswith(b"\x89PNG")
    assert run.stdout.endswith(b"IEND\xaeB`\x82")
    last = run.stderr.splitlines()[-1]
    assert (json.loads(last)["outputs"] if options else [last]) == [str(cut)]


def test_image_and_trimap_cannot_both_be_stdin(matte: RunA2U) -> None:
    assert_refused(matte("-", "-t", "-"), 2, "more than one input is -")


def test_an_empty_stdin_is_refused_by_name(matte: RunA2U, trimap: Path) -> None:
    assert_refused(matte("-", "-t", trimap), 2, "stdin is empty (0 bytes)")


def test_strict_refuses_other_greys_that_are_read_as_unknown_without(
    matte: RunA2U, photo: Path, tmp_path: Path
) -> None:
    grey = save(tmp_path / "grey.png", np.where(bands() == 128, np.uint8(102), bands()))
    assert_refused(matte(photo, "-t", grey, "--strict"), 2, "1120 pixels", "such as 102")
    run = matte(photo, "-t", grey)
    assert run.code == 0
    assert "unknown 50.0 %" in run.stderr
    exact = save(tmp_path / "exact.png", bands())
    assert matte(photo, "-t", exact, "--strict", "--force").code == 0


@pytest.mark.parametrize(("kind", "level"), [("foreground", 255), ("background", 0)])
def test_a_trimap_that_lacks_a_kind_is_a_warning_and_works(
    matte: RunA2U, photo: Path, tmp_path: Path, kind: str, level: int
) -> None:
    lacking = np.where(bands() == level, np.uint8(128), bands())
    path = save(tmp_path / "lacking.png", lacking)
    run = matte(photo, "-t", path, "--json")
    warning = f"{path} has no {kind} ("
    assert run.code == 0
    assert [line.startswith(f"warning: {warning}") for line in run.stderr.splitlines()] == [
        *(False, True, False, False)
    ]
    assert json.loads(run.stdout)["warnings"][0].startswith(warning)
    assert load(photo.with_name("photo_alpha.png")).shape == SIZE


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 9), (17, 33), (41, 16)])
def test_the_output_has_the_size_of_the_input(
    matte: RunA2U, tmp_path: Path, size: tuple[int, int]
) -> None:
    photo, trimap = tmp_path / "photo.png", tmp_path / "trimap.png"
    save(photo, colours(*size)), save(trimap, bands(*size))
    run = matte(photo, "-t", trimap, "--cutout", tmp_path / "cut.png")
    assert run.code == 0, run.stderr
    assert load(tmp_path / "photo_alpha.png").shape == size
    assert load(tmp_path / "cut.png").shape == (*size, 4)


def rgba(folder: Path, levels: Array) -> Path:
    opaque = np.full(levels.shape[:2], 255, np.uint8)
    return save(folder / "kind.png", np.dstack([levels, opaque]))


def sixteen_bits(folder: Path, levels: Array) -> Path:
    path = folder / "kind.png"
    wide = (levels * np.uint16(257)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, 2, 0, 0, 0)
    path.write_bytes(png(header, rows))
    return path


def turned(folder: Path, levels: Array) -> Path:
    exif = Image.Exif()
    exif[Base.Orientation] = 6  # stored lying on its left side
    return save(folder / "kind.png", np.rot90(levels).copy(), exif=exif)


def bitmap(folder: Path, levels: Array) -> Path:
    return save(folder / "kind.bmp", levels)


def png(header: bytes, rows: bytes) -> bytes:
    """Write a PNG by hand, of which the libraries here make no such kind."""
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + check
    return data


@pytest.mark.parametrize("write", [rgba, sixteen_bits, turned, bitmap])
def test_every_kind_of_file_of_one_picture_gives_one_matte(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    kind = write(tmp_path, colours())
    cut = tmp_path / "cut.png"
    assert matte(photo, "-t", trimap).code == 0
    run = matte(kind, "-t", trimap, "--cutout", cut)
    assert run.code == 0, run.stderr
    expected, found = (load(tmp_path / f"{stem}_alpha.png") for stem in ("photo", "kind"))
    assert np.abs(found.astype(int) - expected).max() <= 1
    solid = load(trimap) == 255
    assert np.array_equal(load(cut)[solid][:, :3], colours()[solid])
    with Image.open(tmp_path / "kind_alpha.png") as picture:
        assert picture.getexif().get(Base.Orientation, 1) == 1


def test_grey_and_palette_pictures_are_matted_as_their_colours(
    matte: RunA2U, trimap: Path, tmp_path: Path
) -> None:
    grey = colours()[..., 0] // 16 * 16  # 16 greys, so that the palette holds them all
    save(tmp_path / "grey.png", grey)
    save(tmp_path / "rgb.png", np.dstack([grey] * 3))
    Image.fromarray(grey).convert("RGB").quantize(16).save(tmp_path / "palette.png")
    mattes = []
    for name in ("rgb", "grey", "palette"):
        assert matte(tmp_path / f"{name}.png", "-t", trimap).code == 0
        mattes.append(load(tmp_path / f"{name}_alpha.png"))
    assert np.array_equal(mattes[0], mattes[1])
    assert np.array_equal(mattes[0], mattes[2])


def test_an_rgba_trimap_means_its_colours(matte: RunA2U, photo: Path, tmp_path: Path) -> None:
    drawn = np.dstack([bands()] * 3 + [np.full(SIZE, 255, np.uint8)])
    run = matte(photo, "-t", save(tmp_path / "rgba.png", drawn))
    assert "background 25.0 %, unknown 50.0 %, foreground 25.0 %" in run.stderr


def test_a_path_with_cyrillic_and_spaces_works(matte: RunA2U, tmp_path: Path) -> None:
    folder = tmp_path / "Моя папка"
    photo, trimap = folder / "фото № 1.png", folder / "маска.png"
    save(photo, colours()), save(trimap, bands())
    run = matte(photo, "-t", trimap, "--cutout", folder / "вырез 1.png")
    assert run.stdout.decode() == f"{folder}/фото № 1_alpha.png\n{folder}/вырез 1.png\n"
    assert load(folder / "фото № 1_alpha.png").shape == SIZE
    assert_refused(matte(folder / "нет.png", "-t", trimap), 2, "нет.png does not exist")


def test_the_colour_profile_goes_to_the_cut_out_and_not_to_the_grey_matte(
    matte: RunA2U, trimap: Path, tmp_path: Path
) -> None:
    photo = save(tmp_path / "photo.jpg", colours(), icc_profile=SRGB, quality=95)
    cut = tmp_path / "cut.png"
    assert matte(photo, "-t", trimap, "--cutout", cut).code == 0
    with Image.open(cut) as picture:
        assert picture.info["icc_profile"] == SRGB
    with Image.open(tmp_path / "photo_alpha.png") as picture:
        assert "icc_profile" not in picture.info


def test_a_flag_wins_over_the_environment(
    matte: RunA2U, run_a2u: RunA2U, photo: Path, trimap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A2U_DEVICE", "tpu")
    monkeypatch.setenv("A2U_WEIGHTS", "nothing")
    assert_refused(run_a2u("matte", photo, "-t", trimap), 2, "'tpu'")
    assert_refused(run_a2u("matte", photo, "-t", trimap, "--device", "cpu"), 3, "'nothing'")
    assert matte(photo, "-t", trimap).code == 0


def huge() -> bytes:
    return png(struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0), b"\0" * 100)


def whole(name: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(colours() if name == "photo.png" else bands()).save(stream, "PNG")
    return stream.getvalue()


BAD_PICTURES: dict[str, tuple[Callable[[str], bytes | None], str]] = {
    "missing": (lambda _: None, "does not exist"),
    "truncated": (lambda name: whole(name)[: len(whole(name)) // 2], "is truncated or damaged"),
    "cut at its end": (lambda name: whole(name)[:-12], "is truncated or damaged"),
    "text": (lambda _: b"this is no picture", "is not a picture that can be read"),
    "empty": (lambda _: b"", "is empty (0 bytes)"),
    "huge": (lambda _: huge(), "is 100000x100000"),
}


@pytest.mark.parametrize("name", ["photo.png", "trimap.png"])
@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_is_refused_in_one_line(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, kind: str, name: str
) -> None:
    make, text = BAD_PICTURES[kind]
    data = make(name)
    (tmp_path / name).unlink()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap, "--cutout", tmp_path / "new" / "cut.png")
    assert_refused(run, 2, f"{tmp_path / name} {text}")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("folder", ["folder", "folder.png", ".", ".."])
def test_a_folder_in_place_of_a_picture_is_refused(
    matte: RunA2U,
    photo: Path,
    trimap: Path,
    tmp_path: Path,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir(exist_ok=True)
    before = contents(tmp_path)
    assert_refused(matte(folder, "-t", trimap), 2, f"{folder} is a folder, expected a picture")
    assert_refused(matte(photo, "-t", folder), 2, f"{folder} is a folder, expected a picture")
    assert contents(tmp_path) == before


def test_a_trimap_of_another_size_is_refused(matte: RunA2U, photo: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other.png", bands(41, 56))
    before = contents(tmp_path)
    run = matte(photo, "-t", other)
    assert_refused(run, 2, f"{other} is 56x41 but {photo} is 56x40; resize one")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("level", [0, 255])
def test_a_trimap_without_unknown_is_refused(
    matte: RunA2U, photo: Path, tmp_path: Path, level: int
) -> None:
    path = save(tmp_path / "known.png", np.full(SIZE, level, np.uint8))
    before = contents(tmp_path)
    assert_refused(matte(photo, "-t", path), 2, "known.png has no unknown pixels")
    assert contents(tmp_path) == before


def test_a_trimap_drawn_on_the_unrotated_picture_is_named_as_that(
    matte: RunA2U, tmp_path: Path
) -> None:
    photo = turned(tmp_path, colours())
    stored = save(tmp_path / "stored.png", np.rot90(bands()).copy())
    before = contents(tmp_path)
    run = matte(photo, "-t", stored)
    assert_refused(run, 2, "40x56", "56x40", "unrotated picture", "by 90 degrees clockwise")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("option", ["--output", "--cutout"])
def test_a_file_where_a_folder_is_needed_is_found_before_the_work(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, option: str
) -> None:
    (tmp_path / "occupied").write_text("a file where a folder is needed")
    before = contents(tmp_path)
    for output in ("occupied/matte.png", "occupied/below/matte.png"):
        run = matte(photo, "-t", trimap, option, tmp_path / output)
        assert_refused(run, 2, f"{output} cannot be written", "occupied is a file")
        assert "trimap: " not in run.stderr
    assert contents(tmp_path) == before


def test_a_folder_or_a_name_too_long_in_place_of_the_output_is_refused(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.png").mkdir()
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap, "-o", tmp_path / "folder.png", "--force")
    assert_refused(run, 2, "folder.png is a folder; give a file name")
    run = matte(photo, "-t", trimap, "-o", tmp_path / f"{'x' * 300}.png")
    assert_refused(run, 2, "cannot be written", os.strerror(errno.ENAMETOOLONG))
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_no_partial_file(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap)
    assert_refused(run, 2, "photo_alpha.png cannot be written", os.strerror(errno.ENOSPC))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-o", "matte.gif"], "matte.gif has extension .gif, expected one of .png"),
        (["-o", "matte"], "matte has no extension"),
        (["-o", "matte.jpg", "--depth", "16"], "JPEG cannot hold 16 bits a channel"),
        (["--cutout", "cut.jpg"], "JPEG cannot hold transparency"),
        (["--depth", "12"], "depth 12 was asked for, expected 8, 16 or 32"),
        (["--depth", "12", "-o", "-"], "depth 12 was asked for, expected 8, 16 or 32"),
        (["--device", "tpu"], "device 'tpu' is unknown; expected auto, cpu, cuda, cuda:N or mps"),
        (["--device", "cuda:99"], "device cuda:99 is not there (found: "),
        (["--dtype", "int8"], "dtype 'int8' is unknown; expected auto, float32, bfloat16, float16"),
        (["-o", "photo.png", "--force"], "photo.png is an input or another output"),
        (["-o", "./trimap.png", "--force"], "trimap.png is an input or another output"),
        (["-o", "x.png", "--cutout", "x.png"], "x.png is an input or another output"),
        (["--cutout", "new/../photo_alpha.png"], "photo_alpha.png is an input or another output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_met_is_refused(
    matte: RunA2U,
    photo: Path,
    trimap: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert_refused(matte("photo.png", "-t", "trimap.png", *options), 2, text)
    assert contents(tmp_path) == before


def test_cuda_without_cuda_is_refused_with_what_was_found(
    matte: RunA2U, photo: Path, trimap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    run = matte(photo, "-t", trimap, "--device", "cuda")
    assert_refused(run, 2, "device cuda is not there (found: 0 CUDA device(s)); use --device auto")


@pytest.mark.parametrize("options", [["--colour"], ["--depth", "deep"], ["--trimap"]])
def test_misuse_of_the_command_line_is_exit_code_2(matte: RunA2U, options: list[str]) -> None:
    run = matte("photo.png", "-t", "trimap.png", *options)
    assert (run.code, run.stdout) == (2, b"")
    assert options[0] in run.stderr
    assert "Traceback" not in run.stderr


def test_a_trimap_is_asked_for(run_a2u: RunA2U, photo: Path) -> None:
    run = run_a2u("matte", photo)
    assert run.code == 2
    assert "--trimap" in run.stderr


class Trap:
    """A pickle of this runs code of the attacker's choice when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_weights_with_an_unknown_name_are_refused(
    run_a2u: RunA2U, photo: Path, trimap: Path, tmp_path: Path
) -> None:
    before = contents(tmp_path)
    run = run_a2u("matte", photo, "-t", trimap, "--weights", "a2u-closed")
    assert_refused(run, 3, "no weights 'a2u-closed'", "a2u-open")
    assert contents(tmp_path) == before


def test_default_weights_that_are_not_here_tell_the_command(
    run_a2u: RunA2U, photo: Path, trimap: Path
) -> None:
    run = run_a2u("matte", photo, "-t", trimap)
    assert_refused(run, 3, "weights a2u-open are not on this machine; run: a2u weights get")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\xff" * 64 + data[64:],
        lambda data: data[:100] + b"\0" * 100 + data[200:],
        lambda data: data[:-1000] + b"\xff" * 1000,  # not finite
        lambda _: b"no weights at all",
        lambda _: b"",
    ],
    ids=["half", "a byte short", "length", "header", "values", "text", "empty"],
)
def test_corrupted_weights_are_refused(
    run_a2u: RunA2U,
    photo: Path,
    trimap: Path,
    weights: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / "corrupted.safetensors"
    path.write_bytes(damage(weights.read_bytes()))
    before = contents(tmp_path)
    run = run_a2u("matte", photo, "-t", trimap, "--weights", path)
    assert_refused(run, 3, str(path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("write", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save])
def test_a_malicious_pickle_is_refused_and_never_runs(
    run_a2u: RunA2U,
    photo: Path,
    trimap: Path,
    tmp_path: Path,
    environment: Path,
    write: Callable[[Any, Path], Any],
) -> None:
    path, marker = tmp_path / "authors.pth", tmp_path / "executed"
    write({"state_dict": Trap(marker)}, path)
    before = contents(tmp_path)
    run = run_a2u("matte", photo, "-t", trimap, "--weights", path)
    assert_refused(run, 3, "a2u weights import")
    assert_refused(run_a2u("weights", "import", path), 3, "more than tensors", "nothing in it was")
    assert contents(tmp_path) == before
    assert not contents(environment)
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.is_dir()  # the trap works


def test_an_unexpected_error_is_one_line_and_exit_code_1(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nothing\nto divide by")

    monkeypatch.setattr(matter, "matte", fail)
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap)
    assert_refused(run, 1, "unexpected ZeroDivisionError: nothing to divide by; set A2U_DEBUG=1")
    assert contents(tmp_path) == before
    monkeypatch.setenv("A2U_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        matte(photo, "-t", trimap)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")]
)
def test_out_of_memory_is_one_line_and_exit_code_4(
    matte: RunA2U,
    photo: Path,
    trimap: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    before = contents(tmp_path)
    monkeypatch.setattr(inference, "raw_alpha", fail)
    assert_refused(matte(photo, "-t", trimap), 4, "56x40 does not fit into the memory of cpu")
    monkeypatch.undo()
    assert contents(tmp_path) == before


def test_memory_that_runs_out_elsewhere_is_exit_code_4_too(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(runtime, "estimate_foreground", fail)
    run = matte(photo, "-t", trimap, "--cutout", tmp_path / "cut.png")
    assert_refused(run, 4, "out of memory")
    assert not (tmp_path / "cut.png").exists()


def test_ctrl_c_while_the_network_runs_is_exit_code_130(weights: Path, tmp_path: Path) -> None:
    photo, trimap = tmp_path / "photo.png", tmp_path / "trimap.png"
    save(photo, colours(640, 640)), save(trimap, bands(640, 640))
    before = contents(tmp_path)
    command = [sys.executable, "-m", "a2u_cli", "matte", photo, "-t", trimap, "--weights", weights]
    with subprocess.Popen(
        [*command, "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert process.stdout
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130, (lines, rest)
        assert lines[2].startswith("device: ")
        assert rest.strip().startswith("interrupted; nothing half-written is left")
        assert len(rest.strip().splitlines()) == 1
        assert process.stdout.read() == ""
    assert contents(tmp_path) == before


def test_ctrl_c_while_a_file_is_written_leaves_nothing_half_written(
    matte: RunA2U, photo: Path, trimap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    before = contents(tmp_path)
    run = matte(photo, "-t", trimap)
    assert (run.code, run.stdout) == (130, b"")
    assert run.stderr.splitlines()[-1].startswith("interrupted; nothing half-written is left")
    assert contents(tmp_path) == before


def test_doctor_shows_versions_device_weights_licence_and_cache(
    run_a2u: RunA2U, environment: Path
) -> None:
    run = run_a2u("doctor", "--json")
    facts = json.loads(run.stdout)
    assert (run.code, run.stderr) == (0, "")
    assert facts["a2u"] == __version__
    assert facts["torch"] == torch.__version__
    assert facts["device"] == devices.describe_device(devices.pick_device())
    assert facts["cache folder"] == str(environment)
    assert facts["weights"] == "none"
    assert facts["licence of default"] == "Apache-2.0"
    assert facts["rasteriser"] == raster.describe()
    assert "a2u weights get a2u-open" in facts["default weights"]
    shown = run_a2u("doctor").stdout.decode().splitlines()
    assert [line[:22].rstrip() for line in shown] == list(facts)
    assert [line[23:] for line in shown] == list(facts.values())


def test_doctor_finds_weights_and_says_what_is_wrong_with_them(
    run_a2u: RunA2U, environment: Path, weights: Path
) -> None:
    default = environment / "a2u-open.safetensors"
    shutil.copyfile(weights, default)
    facts = json.loads(run_a2u("doctor", "--json").stdout)
    assert facts["weights"] == "a2u-open"
    assert facts["default weights"] == f"a2u-open at {default}"
    default.write_bytes(b"damaged")
    run = run_a2u("doctor", "--json")
    assert run.code == 0
    assert "damaged" in json.loads(run.stdout)["default weights"]
