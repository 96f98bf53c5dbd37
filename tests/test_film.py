"""Films come in and go out through the system's ffmpeg, colours, clock and sound kept."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from moving import Frame, moving, put

from a2u_cli.errors import ImageError, Interrupted
from a2u_cli.images import read_image, write_image
from a2u_cli.images.film import FilmReader, probe_film, write_film
from a2u_cli.images.frames import FilmFrames, find_frames
from a2u_cli.units import Levels
from benchmarks import film, read_records

pytestmark = pytest.mark.requires_ffmpeg
COUNT = 5
PRECISE = "flags=accurate_rnd+full_chroma_int+full_chroma_inp"


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return moving(COUNT)


def ffmpeg(*words: str | Path, data: bytes = b"") -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def shoot(
    path: Path, frames: list[Frame], *options: str, pixels: str = "yuv420p", sound: bool = False
) -> Path:
    """Write a film as a camera would: the frames' pictures, coded by ffmpeg."""
    height, width = frames[0].alpha.shape
    raw = b"".join(np.rint(f.image * 65535).astype("<u2").tobytes() for f in frames)
    span = "pc" if "pc" in options else "tv"
    scale = f"scale=in_color_matrix=bt709:out_color_matrix=bt709:out_range={span}:{PRECISE}"
    tags = f"setparams=colorspace=bt709:range={span}"  # ProRes takes them from its frames alone
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.2"] if sound else []
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{width}x{height}"),
        *("-framerate", "24000/1001", "-i", "-", *tone),
        *("-vf", f"{scale},format={pixels}" + f",{tags}" * ("prores_ks" in options)),
        *("-colorspace", "bt709", "-color_range", span, *options, path),
        data=raw,
    )
    return path


def probe(path: Path) -> dict[str, list[dict[str, str]]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    found: dict[str, list[dict[str, str]]] = json.loads(subprocess.check_output(command))
    return found


@pytest.mark.parametrize(
    ("profile", "pixels", "worst", "usual"),
    [("4444", "yuv444p10le", 8, 2), ("hq", "yuv422p10le", 80, 10)],  # half of its colours' width
)
def test_a_prores_plate_comes_in_at_16_bits_with_its_rate_and_timecode(
    tmp_path: Path, profile: str, pixels: str, worst: float, usual: float
) -> None:
    clean = moving(3, noise=0)
    options = ("-c:v", "prores_ks", "-profile:v", profile, "-q:v", "1", "-timecode", "01:02:03:04")
    found = find_frames(shoot(tmp_path / "plate.mov", clean, *options, pixels=pixels))
    assert isinstance(found, FilmFrames)
    assert (found.numbers, found.film.rate) == ((1, 2, 3), "24000/1001")
    assert (found.film.timecode, found.film.matrix) == ("01:02:03:04", "bt709")
    with found.reading() as reader:
        pictures = [reader.read(number) for number in found.numbers]
    assert {picture.depth for picture in pictures} == {16}
    errors = [np.abs(p.image - f.image) * 1023 for p, f in zip(pictures, clean, strict=True)]
    assert np.max(errors) <= worst
    assert np.percentile(errors, 95) <= usual


@pytest.mark.parametrize(
    ("options", "depth", "largest"),
    [
        (("yuv444p10le",), 16, 3 / 1023),
        (("yuv444p",), 8, 5 / 255),
        (("yuv444p10le", "-color_range", "pc"), 16, 3 / 1023),
        (("bgr0",), 8, 2 / 255),
    ],
)
def test_frames_come_in_at_8_or_16_bits_by_the_film_s_own_matrix_and_range(
    tmp_path: Path, frames: list[Frame], options: tuple[str, ...], depth: int, largest: float
) -> None:
    pixels, *others = options
    film = probe_film(shoot(tmp_path / "film.mkv", frames, "-c:v", "ffv1", *others, pixels=pixels))
    assert film.count == COUNT
    reader = FilmReader(film)
    for number in (1, 2, 5, 3):  # and a step back
        picture = reader.read(number)
        assert picture.depth == depth
        assert np.abs(picture.image - frames[number - 1].image).max() <= largest
    reader.close()


def test_what_a_film_says_is_found(tmp_path: Path, frames: list[Frame]) -> None:
    options = ("-c:v", "libx264", "-timecode", "01:02:03:04")
    film = probe_film(shoot(tmp_path / "film.mov", frames, *options, sound=True))
    assert (film.count, film.rate, film.matrix) == (COUNT, "24000/1001", "bt709")
    assert (film.timecode, film.has_sound, film.deep) == ("01:02:03:04", True, False)


def test_a_film_is_turned_upright(tmp_path: Path, frames: list[Frame]) -> None:
    wide = [Frame(f.image[:96], f.alpha[:96], f.trimap[:96]) for f in frames]
    lying = shoot(tmp_path / "lying.mp4", wide, "-c:v", "libx264")
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", lying, "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    reader = FilmReader(probe_film(turned))
    assert reader.read(1).size == (128, 96)
    reader.close()


def test_a_film_that_breaks_off_fails_from_there_on(tmp_path: Path, frames: list[Frame]) -> None:
    film = shoot(tmp_path / "film.mkv", frames, "-c:v", "ffv1", "-g", "1", pixels="bgr0")
    whole = probe_film(film)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    reader = FilmReader(whole)
    assert reader.read(1).size == (128, 128)
    with pytest.raises(ImageError, match=r"frame 5 cannot be decoded.*expected 5 frames"):
        reader.read(5)
    reader.close()


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mov").write_bytes(b"no film")
    with pytest.raises(ImageError, match=r"film\.mov is neither a picture nor a film"):
        find_frames(tmp_path / "film.mov")


def test_prores_returns_alpha_within_a_1023rd_and_colour_within_two(tmp_path: Path) -> None:
    clean = moving(3, noise=0)
    sent = [
        np.dstack([np.rint(plane * 65535).astype(np.uint16) for plane in (f.image, f.alpha)])
        for f in clean
    ]
    path = tmp_path / "out.mov"
    write_film(path, iter(sent), rate="25")
    planes = ffmpeg("-i", path, "-pix_fmt", "yuva444p10le", "-f", "rawvideo", "-")
    alphas = np.frombuffer(planes, "<u2").reshape(3, 4, *clean[0].alpha.shape)[:, 3]
    truth = np.stack([f.alpha for f in clean])
    assert np.abs(alphas / 1023 - truth).max() <= 1 / 1023
    reader = FilmReader(probe_film(path))
    errors = [np.abs(reader.read(n + 1).image - f.image) * 1023 for n, f in enumerate(clean)]
    reader.close()
    assert np.mean(errors) <= 1
    assert np.percentile(errors, 95) <= 2  # the codec is lossy: its finest quantiser keeps to that
    stream = probe(path)["streams"][0]
    assert (stream["codec_name"], stream["profile"]) == ("prores", "4444")
    assert stream["pix_fmt"].startswith("yuva444p")
    assert stream["r_frame_rate"] == "25/1"
    assert (stream["color_space"], stream["color_range"]) == ("bt709", "tv")


def test_a_film_in_is_a_film_out_with_its_rate_timecode_and_sound(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame]
) -> None:
    options = ("-c:v", "libx264", "-timecode", "01:02:03:04")
    film = shoot(tmp_path / "shot.mov", frames, *options, sound=True)
    shot = put(tmp_path, frames, keys=(1,))
    (shot / "keys/plate.0001.png").rename(shot / "keys/shot.000001.png")
    out, made = tmp_path / "out", tmp_path / "cutout.mov"
    words = ("sequence", film, "--trimaps", shot / "keys", "-o", out)
    run = a2u(*words, "--save", "alpha,cutout", "--film", made)
    assert run.code == 0, run.stderr
    names = [f"shot.{number:06}.png" for number in range(1, COUNT + 1)]
    assert sorted(path.name for path in (out / "alpha").iterdir()) == names
    found = probe_film(made)
    assert (found.count, found.rate) == (COUNT, "24000/1001")
    assert (found.timecode, found.has_sound) == ("01:02:03:04", True)
    read = read_image(out / "cutout" / names[2])
    assert read.alpha is not None
    run = a2u(*words, "--save", "alpha,cutout")
    assert "5 skipped" in run.stderr


def test_a_film_is_whole_or_not_there(
    tmp_path: Path, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> object:
        yield np.zeros((8, 8, 4), np.uint16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "out.mov", breaks(), rate="24")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImageError, match=r"out\.mov cannot be written by ffmpeg \(.*\); check"):
        write_film(tmp_path / "out.mov", iter([np.zeros((8, 8, 4), np.uint16)]), rate="0")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_film_and_is_one_line(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame], small_disk: Path
) -> None:
    shot = put(tmp_path, frames, keys=(1,))
    filler, made = small_disk / "filler", small_disk / "cutout.mov"
    filler.write_bytes(bytes(28 << 10))
    words = ("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", tmp_path / "out")
    run = a2u(*words, "--save", "cutout", "--film", made)
    assert run.code == 2
    *_, done, error = run.stderr.splitlines()
    assert done == "5 done, 0 skipped, 0 failed"
    assert error.startswith(f"error: {made} cannot be written by ffmpeg (")
    assert "No space left on device" in error
    assert error.endswith("check the room there, and its version")
    assert list(small_disk.iterdir()) == [filler]
    run = a2u(*words, "--save", "cutout", "--film", tmp_path / "cutout.mov")
    assert run.stderr.splitlines()[-1] == "0 done, 5 skipped, 0 failed"
    assert probe_film(tmp_path / "cutout.mov").count == COUNT


def test_an_interrupt_while_a_film_is_written_leaves_none_and_is_one_line(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    from a2u_cli.jobs import sequence

    cutouts = sequence.cutouts

    def interrupt(making: sequence.Making) -> Iterator[Levels]:
        yield from islice(cutouts(making), 2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    shot = put(tmp_path, frames, keys=(1,))
    made = tmp_path / "films/cutout.mov"
    words = ("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(sequence, "cutouts", interrupt)
        run = a2u(*words, "--save", "cutout", "--film", made)
    assert run.code == 130
    *_, done, empty, stopped = run.stderr.splitlines()  # behind a terminal's ^C
    assert (done, empty) == ("5 done, 0 skipped, 0 failed", "")
    assert stopped == "interrupted; nothing half-written is left, run the command again to go on"
    assert list(made.parent.iterdir()) == []
    run = a2u(*words, "--save", "cutout", "--film", made)
    assert run.code == 0
    assert probe_film(made).count == COUNT


def test_an_interrupt_that_ended_ffmpeg_first_stays_one(tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to both."""

    def breaks() -> Iterator[Levels]:
        yield np.zeros((8, 8, 4), np.uint16)
        time.sleep(1)  # ffmpeg has ended: it refuses the rate
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        write_film(tmp_path / "out.mov", breaks(), rate="0")
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_cut_outs_of_all_frames_is_not_written(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame]
) -> None:
    shot = put(tmp_path, frames, keys=(1,))
    (shot / "frames/plate.0004.png").write_bytes(b"")
    made = tmp_path / "cutout.mov"
    words = ("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", tmp_path / "out")
    run = a2u(*words, "--save", "cutout", "--film", made)
    assert run.code == 1
    assert run.stderr.splitlines()[-1] == f"{made} is not written: 1 frames are missing"
    assert not made.exists()


def test_a_film_s_frames_are_told_by_the_film(tmp_path: Path, frames: list[Frame]) -> None:
    film = shoot(tmp_path / "film.mkv", frames, "-c:v", "ffv1", pixels="bgr0")
    found = find_frames(film)
    assert isinstance(found, FilmFrames)
    assert found.numbers == (1, 2, 3, 4, 5)
    assert found.files == (film,)
    assert found.digest(1) != found.digest(2)


def test_what_prores_loses_is_measured_beside_rounding_alone(tmp_path: Path) -> None:
    clip = tmp_path / "clips" / "moving"
    for number, frame in enumerate(moving(3, noise=0), 1001):
        write_image(clip / "image" / f"{number}.png", frame.image)
        write_image(clip / "alpha" / f"{number}.png", frame.alpha)
    (clip / "clip.json").write_text("{}")
    film.run([tmp_path / "clips"], tmp_path / "film.csv")
    [row] = read_records(tmp_path / "film.csv", film.Row)
    assert (row.folder, row.frames) == ("clips", 3)
    assert row.rounding_mean < row.mean < 1 and row.rounding_largest < 2 and row.within_two > 90
