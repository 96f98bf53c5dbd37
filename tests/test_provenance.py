"""What results say of their making, and that it makes them again: docs/provenance.md."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from conftest import RunA2U, sane_network
from PIL import Image

from a2u_cli.errors import A2UError
from a2u_cli.images import encode_for, read_image, write_image
from a2u_cli.images.provenance import MOST, SIDECAR, find_note
from a2u_cli.images.reading import read_levels
from a2u_cli.jobs.options import Options
from a2u_cli.jobs.provenance import Input, Note, parse_note, read_note, sidecar_text
from a2u_cli.matting import matter
from a2u_cli.weights import save_weights

pytest.importorskip("OpenEXR")
oiio = pytest.importorskip("OpenImageIO")

SIDE = 32
SUFFIXES = (".png", ".tif", ".jpg", ".exr", ".webp", ".avif")


LOAD, FOLD = cache(matter.load_model), cache(matter.fold_norms)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load and fold the same weights once: most of what a command costs here."""
    monkeypatch.setattr(matter, "load_model", LOAD)
    monkeypatch.setattr(matter, "fold_norms", FOLD)


def known(edge: int) -> np.ndarray:
    trimap = np.full((SIDE, SIDE), 128, np.uint8)
    trimap[:edge], trimap[-edge:] = 0, 255
    return trimap


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two pictures, one with a trimap and one with a mask, and a background."""
    rng = np.random.default_rng(7)
    colours = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    for name in ("photos/a", "photos/more/b", "wall"):
        write_image(f"{tmp_path}/{name}.png", (colours + rng.random((SIDE, SIDE, 3))) / 2)
    write_image(tmp_path / "photos/a_trimap.png", known(8))
    write_image(tmp_path / "photos/more/b_mask.png", known(12) / np.float32(255))  # soft
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(a2u: RunA2U, words: str) -> None:
    run = a2u(*words.split())
    assert run.code == 0, run.stderr


def note_in(path: str | Path) -> Note:
    return read_note(Path(path))[0]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MATTE = "matte photos/a.png -t photos/a_trimap.png"
MADE = (
    f"{MATTE} -o alpha.png --cutout cut.tif",
    f"{MATTE} -o a16.png --depth 16 --cutout c16.png --levels 5%,95% --choke 0.5 --feather 1",
    f"{MATTE} -o alpha.jpg --cutout cut.webp",
    f"{MATTE} -o alpha.tif --depth 32 --quality refined",
    f"{MATTE} -o plate.exr --for nuke --cutout plate_cut.exr",
    "matte photos/more/b.png --mask photos/more/b_mask.png --inside 3 --outside 5 -o m.png",
    "composite photos/a.png -a alpha.png -b wall.png --fit tile --feather 1 -o comp.png",
    "composite photos/a.png -a alpha.png -b checker --canvas 40x50 --scale 80% -o comp.jpg",
    "composite cut.tif --linear -o comp.exr",
    "cutout photos/a.png -a alpha.png --crop 2 --colours blur-fusion -o cutout.png",
    "cutout photos/a.png -a alpha.png --premultiplied --depth 16 -o cutout.tif",
    "trimap photos/more/b_mask.png --inside 2 --outside 4 --invert -o t.png",
    "batch photos --save alpha,cutout,foreground,composite -b wall.png --workers 1",
)


def test_results_of_every_kind_come_out_again_bit_for_bit(place: Path, a2u: RunA2U) -> None:
    for words in MADE:
        make(a2u, words)
    given = {*place.glob("photos/*.png"), *place.glob("photos/more/*"), place / "wall.png"}
    before = contents(place)
    results = [path for path in before if path not in given and path.suffix in SUFFIXES]
    assert len(results) >= 20
    for path in results:
        run = a2u("replay", path, "--input", "photos")
        assert (run.code, run.stderr.count("error")) == (0, 0), (path, run)
        assert run.stdout.decode().strip() == f"{path}: made again, the same in every bit"
    assert contents(place) == before  # nothing was written


def test_a_note_tells_what_was_used_and_no_place_or_time(
    place: Path, a2u: RunA2U, weights: Path
) -> None:
    make(a2u, f"{MATTE} -o alpha.png")
    shutil.copytree("photos", "elsewhere/sub")
    make(a2u, "matte elsewhere/sub/a.png -t elsewhere/sub/a_trimap.png -o elsewhere/x.png")
    data = Path("alpha.png").read_bytes()
    assert Path("elsewhere/x.png").read_bytes() == data
    text = find_note(data, "alpha.png")
    assert text and len(text) < 600 and "/" not in text.replace("a2u/", "")
    run = a2u("provenance", "alpha.png")
    told = run.stdout.decode()
    assert "made by a2u 0.1.0: matte, alpha\n" in told and "licence CC0, sha256 " in told
    assert "picture: a.png, sha256 " in told and "trimap: a_trimap.png, sha256 " in told
    assert json.loads(a2u("provenance", "alpha.png", "--json").stdout) == json.loads(text)


def test_a_batch_and_matte_write_the_same_bytes(place: Path, a2u: RunA2U) -> None:
    make(a2u, f"{MATTE} -o alpha.png --cutout cut.png")
    make(a2u, "batch photos --save alpha,cutout --workers 1")
    for kind, path in (("alpha", "alpha.png"), ("cutout", "cut.png")):
        assert Path(f"photos/a2u_output/{kind}/a.png").read_bytes() == Path(path).read_bytes()


def test_what_a_page_saves_comes_out_again(place: Path, a2u: RunA2U, weights: Path) -> None:
    pytest.importorskip("starlette")
    from serving import serving

    from a2u_cli.matting.matter import Matter

    with serving(place / "photos", Matter(weights)) as server:
        painted = encode_for(Path("x.png"), known(6))
        server.ask("PUT", "/api/jobs/p1/trimap", painted)
        for job in ("p1", "p2"):
            saved = server.ask("POST", f"/api/jobs/{job}/save", {"kinds": ["alpha", "composite"]})
            assert saved.status == 200, saved.body
            for path in saved.json["paths"][:2]:
                assert a2u("replay", path).code == 0, path
        asked = server.ask("GET", "/api/jobs/p2/alpha").body
        assert asked == (place / "photos/a2u_output/alpha/more/b.png").read_bytes()


def test_what_changed_is_named(
    place: Path, a2u: RunA2U, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make(a2u, f"{MATTE} -o alpha.png")
    other, folder = tmp_path_factory.mktemp("other") / "other.safetensors", place / "photos"
    save_weights(sane_network(), other, licence="CC0", source="another", quality="fast")
    run = a2u("replay", "alpha.png", "--weights", other)
    assert run.code == 1 and b"changed: made with weights of sha256 " in run.stdout
    run = a2u("replay", "alpha.png", "--weights", "a2u-open")
    assert run.code == 3 and "not on this machine; give them by --weights" in run.stderr
    (folder / "a.png").rename(folder / "new.jpg")
    run = a2u("replay", "alpha.png")
    assert run.code == 2 and "not found beside alpha.png or here: the picture, a.png" in run.stderr
    for given in ("a.png=photos/new.jpg", "picture=photos/new.jpg"):
        assert a2u("replay", "alpha.png", "--input", given).code == 0
    assert a2u("replay", "alpha.png", "--input", "new=x").code == 2
    write_image(folder / "a.png", np.zeros((SIDE, SIDE, 3), np.float32))
    run = a2u("replay", "alpha.png", "--json")
    facts = json.loads(run.stdout)
    assert run.code == 1 and not facts["same"]
    assert facts["differences"][0].startswith("changed: the picture, a.png, sha256 ")
    assert "photos/a.png has sha256 " in facts["differences"][0]


def test_other_pixels_and_another_version_are_named(place: Path, a2u: RunA2U) -> None:
    make(a2u, f"{MATTE} -o alpha.png")
    text = find_note(Path("alpha.png").read_bytes(), "alpha.png")
    assert text
    levels = read_levels("alpha.png")[..., 0].copy()
    levels[0, 0] ^= 3
    older = text.replace('"a2u":"0.1.0"', '"a2u":"0.0.9"')
    write_image("alpha.png", levels, note=older)
    run = a2u("replay", "alpha.png")
    assert run.code == 1
    assert run.stdout.decode().splitlines() == [
        "alpha.png: version: made by a2u 0.0.9, this is 0.1.0",
        "alpha.png: pixels: 0.098 % differ, by at most 3 of 255 levels",
    ]
    levels[0, 0] ^= 3
    write_image("free.png", levels, note=text.replace("CC0", "none"))
    run = a2u("replay", "free.png")
    assert run.code == 1 and b"the note's weights: it says " in run.stdout


GREY = np.zeros((4, 4), np.uint8)
SUM = "0" * 64
PLAIN: dict[str, Any] = {
    "a2u": "0.1.0",
    "command": "matte",
    "output": "alpha",
    "options": {"depth": 8, "dtype": "float32", "quality": "fast"},
    "weights": {"sha256": SUM, "licence": "CC0"},
    "inputs": [
        {"role": "picture", "name": "a.png", "sha256": SUM},
        {"role": "trimap", "name": "a_trimap.png", "sha256": SUM},
    ],
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "carries a note that cannot be read"),
        ("[]", "carries a note that cannot be read"),
        ("[" * 9000, "carries a note that cannot be read"),
        ("x" * (MOST + 1), f"carries a note of {MOST + 1} bytes, expected at most {MOST}"),
        ({"inputs": [PLAIN["inputs"][0] | {"name": "../../etc/passwd"}]}, "no name of a file"),
        ({"inputs": [PLAIN["inputs"][0] | {"name": "/etc/passwd"}]}, "no name of a file"),
        ({"inputs": [PLAIN["inputs"][0] | {"sha256": "A"}]}, "no sha256"),
        ({"inputs": PLAIN["inputs"] * 2}, "two inputs of one role"),
        ({"command": "train"}, "no command 'train'"),
        ({"a2u": 1}, "numbers where words belong"),
        ({"options": 3}, "numbers where words belong"),
        ({"weights": {"sha256": SUM}}, "cannot be read"),
        ({"weights": {"sha256": "hf://me/x", "licence": ""}}, "no sha256"),
    ],
)
def test_a_note_of_anybody_is_refused_in_a_line(
    place: Path, a2u: RunA2U, text: str | dict[str, Any], told: str
) -> None:
    note = text if isinstance(text, str) else json.dumps(PLAIN | text)
    for suffix in (".png", ".exr"):
        write_image(f"x{suffix}", GREY / np.float32(255), note=note)
        for command in ("provenance", "replay"):
            run = a2u(command, f"x{suffix}")
            assert (run.code, run.stdout) == (2, b"")
            assert told in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quality": "finest"}, "quality 'finest'"),
        ({"background": "/etc/passwd"}, "neither a file nor a colour"),
        ({"background": "picture"}, "without 'background'"),
        ({"output": "/x"}, "output '/x'"),
        ({"depth": "8"}, "depth '8'"),
        ({"depth": 9}, "depth 9"),
        ({"levels": [0, 1]}, "levels [0, 1]"),
        ({"feather": 1e9}, "a feather of 1e+09 pixels"),
        ({"weights": "hf://me/x"}, "weights 'hf://me/x'"),
    ],
)
@pytest.mark.parametrize("command", ["matte", "composite"])
def test_a_note_leads_nowhere_else(
    place: Path, a2u: RunA2U, change: dict[str, Any], told: str, command: str
) -> None:
    make(a2u, f"{MATTE} -o alpha.png")
    if command == "composite":
        if {*change} & {"quality", "depth", "levels", "feather"}:
            change, told = {"levels": [0, 1], "place": "x"}, "levels [0, 1]"
        make(a2u, "composite photos/a.png -a alpha.png -o x.png")
    note = note_in("x.png" if command == "composite" else "alpha.png")
    crafted = replace(note, options=dict(note.options) | change)
    write_image("crafted.png", GREY, note=crafted.text)
    run = a2u("replay", "crafted.png")
    assert run.code == 2 and run.stdout == b""
    assert told in run.stderr.splitlines()[-1], run.stderr
    assert "Traceback" not in run.stderr


def test_without_a_note_a_line_says_so(place: Path, a2u: RunA2U) -> None:
    for path in ("photos/a.png", "photos/a_trimap.png"):
        run = a2u("provenance", path)
        assert run.code == 2 and f"{path} carries no note of a2u, expected" in run.stderr
    Path("text.png").write_text("no picture")
    assert "is not a picture" in a2u("replay", "text.png").stderr
    assert a2u("provenance", "missing.png").code == 2


def test_no_provenance_leaves_nothing(place: Path, a2u: RunA2U) -> None:
    for words in MADE:
        make(a2u, f"{words} --no-provenance")
    for path, data in contents(place).items():
        if path.suffix in SUFFIXES:
            assert find_note(data, str(path)) is None
            assert b"sha256" not in data and b"a2u" not in data


def test_no_provenance_is_another_recipe_and_nothing_old_is(place: Path, a2u: RunA2U) -> None:
    words = ("batch", "photos", "--workers", "1")
    assert "2 done, 0 skipped" in a2u(*words).stderr
    assert "0 done, 2 skipped" in a2u(*words).stderr
    assert "2 done, 0 skipped" in a2u(*words, "--no-provenance").stderr
    assert find_note(Path("photos/a2u_output/alpha/a.png").read_bytes(), "a") is None
    assert Options().digest == "98aa9c726ea871ea"  # as before there were notes
    assert Options(licence="CC0").digest == Options().digest
    assert Options(provenance=False).digest != Options().digest


def by_oiio(path: Path) -> np.ndarray:
    file = oiio.ImageInput.open(str(path))
    assert file, oiio.geterror()
    pixels = file.read_image()
    file.close()
    assert oiio.geterror() == ""
    return np.asarray(pixels)


def opened(path: Path) -> Image.Image:
    return Image.open(BytesIO(path.read_bytes()))


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "Pillow": lambda path: np.asarray(opened(path)),
    "OpenCV": lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
    "OpenImageIO": by_oiio,
    "tifffile": tifffile.imread,
    "a2u": lambda path: read_image(path).image,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_reader_sees_the_same_pixels_and_metadata(
    tmp_path: Path, rng: np.random.Generator, suffix: str, channels: int
) -> None:
    if suffix == ".jpg" and channels == 4:
        return
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    described = Image.Exif()
    described[0x010F] = "A camera"
    exif = None if suffix == ".exr" else described.tobytes()
    array = rng.random((16, 24, channels)[: 3 if channels > 1 else 2], np.float32)
    without, within = tmp_path / f"without{suffix}", tmp_path / f"within{suffix}"
    text = json.dumps(PLAIN)
    write_image(without, array, icc=icc, exif=exif)
    write_image(within, array, icc=icc, exif=exif, note=text)
    assert within.stat().st_size - without.stat().st_size < len(text) * 1.6 + 600
    assert find_note(within.read_bytes(), "x") == text
    assert find_note(without.read_bytes(), "x") is None
    for name, see in READERS.items():
        lacks = {
            "tifffile": suffix != ".tif",
            "Pillow": suffix == ".exr",
            "OpenCV": suffix == ".exr",
        }
        lacks["OpenImageIO"] = suffix == ".avif"
        if not lacks.get(name):
            np.testing.assert_array_equal(see(without), see(within), err_msg=name)
    if suffix != ".exr":
        before, after = opened(without), opened(within)
        assert before.info.get("icc_profile") == after.info.get("icc_profile")
        places = {273: 0, 700: 0}  # of the strips, and of the note, in a TIFF
        assert dict(before.getexif()) | places == dict(after.getexif()) | places


def test_a_note_is_not_handed_on_from_a_plate(place: Path, a2u: RunA2U) -> None:
    write_image("plate.exr", np.ones((SIDE, SIDE, 3), np.float32) / 2, light=True, note="{}")
    make(a2u, "matte plate.exr -t photos/a_trimap.png -o m.exr --no-provenance")
    assert find_note(Path("m.exr").read_bytes(), "m.exr") is None


def test_a_sidecar_tells_of_its_file_alone(tmp_path: Path) -> None:
    film, note = tmp_path / "x.mov", Note("sequence", "film", {}, (Input("frames", "f", SUM),))
    film.write_bytes(b"film")
    beside = film.with_name(film.name + SIDECAR)
    digest = "a0aea2a27ab78deb5f0a3b1bcbb1e7a1a3a5a9a4"
    beside.write_bytes(sidecar_text(note, digest))
    with pytest.raises(A2UError, match="is the note of another file"):
        read_note(film)
    from a2u_cli.jobs.journal import hash_content

    beside.write_bytes(sidecar_text(note, hash_content(film).sha256))
    assert read_note(film)[0] == note
    beside.write_bytes(b"{" * (MOST + 1))
    with pytest.raises(A2UError, match="longer than"):
        read_note(film)
    beside.write_bytes(b"[]")
    with pytest.raises(A2UError, match="is no note of a2u"):
        read_note(film)


def test_frames_of_a_sequence_name_the_command_that_makes_them(place: Path, a2u: RunA2U) -> None:
    for number in (1, 2):
        shutil.copy("photos/a.png", f"f.{number:04}.png")
    Path("keys").mkdir()
    shutil.copy("photos/a_trimap.png", "keys/k.0001.png")
    make(a2u, "sequence f.####.png --trimaps keys -o out --save-trimaps")
    for path in ("out/alpha/f.0002.png", "out/trimap/f.0002.png"):
        assert "picture: f.000" in a2u("provenance", path).stdout.decode()
        run = a2u("replay", path)
        assert run.code == 2 and "a2u sequence FRAMES --trimaps KEYS" in run.stderr


@pytest.mark.requires_ffmpeg
def test_a_film_has_its_note_beside_it(place: Path, a2u: RunA2U) -> None:
    shutil.copy("photos/a.png", "f.0001.png")
    shutil.copy("photos/a_trimap.png", "k.0001.png")
    words = "sequence f.####.png --trimaps k.0001.png -o out --save cutout --film x.mov"
    make(a2u, words)
    told = a2u("provenance", "x.mov").stdout.decode()
    assert "sequence, film" in told and "frames: f.0001.png, sha256 " in told
    assert "a2u sequence FRAMES" in a2u("replay", "x.mov").stderr
    Path("x.mov").unlink()
    again = a2u(*words.split())
    assert again.code == 2 and f"x.mov{SIDECAR} exists" in again.stderr
    make(a2u, f"{words} --force")
    Path("x.mov").write_bytes(b"another")
    assert "is the note of another file" in a2u("provenance", "x.mov").stderr


def test_a_server_may_leave_notes_out(place: Path, weights: Path) -> None:
    pytest.importorskip("starlette")
    from a2u_cli.serve.gallery import open_gallery
    from a2u_cli.serve.wishes import read_wish
    from a2u_cli.serve.workshop import open_workshop

    loaded = matter.Matter(weights)
    for provenance in (True, False):
        shop = open_workshop(
            open_gallery(place / "photos", None), lambda _: loaded, provenance=provenance
        )
        job, wish = shop.bench.get("p1"), read_wish({}, ("alpha",))
        data = shop.desk.result(job, "alpha", wish, lambda *_: None)
        assert (find_note(data, "x") is not None) == provenance
        shop.close()


def test_names_of_any_letters_are_kept(place: Path, a2u: RunA2U) -> None:
    Path("photos/a.png").rename("photos/кот <&\"'>.png")
    name = "photos/кот <&\"'>.png"
    for alpha, cutout in (("x.png", "x.tif"), ("x.jpg", "x.webp")):
        words = ("matte", name, "-t", "photos/a_trimap.png", "-o", alpha, "--cutout", cutout)
        assert a2u(*words).code == 0
        assert note_in(alpha).inputs[0].name == note_in(cutout).inputs[0].name == Path(name).name
    assert a2u("replay", "x.tif").code == 0
    assert parse_note(note_in("x.png").text, "x") == note_in("x.png")
    assert BytesIO(Path("x.png").read_bytes()).getvalue().count(b"iTXt") == 1
