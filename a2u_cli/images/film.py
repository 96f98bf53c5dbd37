"""Films through a system's ffmpeg: frames in, ProRes 4444 with alpha out.

Colours are taken and written as a film codes them for a display (BT.709's curve counts as sRGB's,
as players and editing programs have it), by the matrix and the range that the film says.
"""

import json
import re
import shutil
import subprocess  # ffmpeg alone
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from ..units import Levels
from .files import replacing, words
from .reading import Picture

DEEP = re.compile(r"(9|1[0246])(le|be)|48|64|p01[026]")  # pixel formats of more than 8 bits
PRECISE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
HD = 720  # lines from which on a film that does not say its matrix has BT.709's
HDR = ("smpte2084", "arib-std-b67")
FINEST = ("-q:v", "1", "-quant_mat", "default")  # of what ffmpeg's encoder knows
MOST_WORDS = 30  # of what ffmpeg said
MOST_HEAD = 64  # bytes before a frame's pixels


@dataclass(frozen=True)
class Film:
    """What is known of a film; `matrix` is how its colours become RGB, in ffmpeg's words."""

    path: Path
    count: int
    rate: str  # frames a second, as 24000/1001
    deep: bool  # more than 8 bits
    matrix: str
    timecode: str | None
    has_sound: bool
    transfer: str

    @property
    def is_hdr(self) -> bool:
        return self.transfer in HDR


def probe_film(path: Path) -> Film:
    """Ask ffprobe about a film; raises ImageError where it is none, or there is no ffmpeg."""
    fields = ["-show_streams", "-show_format", "-count_packets", "-of", "json"]
    try:
        told = json.loads(_run(["ffprobe", "-v", "error", *fields, str(path)], path))
        streams = told["streams"]
        video = next(s for s in streams if s["codec_type"] == "video")
        tags = [s.get("tags", {}) for s in (*streams, told["format"])]
        lines = int(video["height"])
        matrix = video.get("color_space", "unknown")
        if matrix in ("unknown", "reserved"):
            matrix = "bt709" if lines >= HD else "smpte170m"
        return Film(
            path,
            int(video["nb_read_packets"]),
            str(Fraction(video["avg_frame_rate"])),
            bool(DEEP.search(video["pix_fmt"])),
            matrix,
            next((t["timecode"] for t in tags if "timecode" in t), None),
            any(s["codec_type"] == "audio" for s in streams),
            video.get("color_transfer", ""),
        )
    except (ValueError, KeyError, StopIteration, ZeroDivisionError) as error:
        raise ImageError(
            f"{path} has no film that ffmpeg can read, expected one, or numbered pictures; check "
            "the file"
        ) from error


class FilmReader:
    """Reads frames in their order, from a pipe; a step back begins anew."""

    def __init__(self, film: Film) -> None:
        self.film, self.next = film, 1
        self.process: subprocess.Popen[bytes] | None = None
        self.told: IO[bytes] | None = None

    def read(self, number: int, max_memory: int | None = None) -> Picture:
        """Read a frame by its number from 1 on; raises ImageError where it cannot be decoded."""
        if number < self.next or self.process is None:
            self.close()
            self._start()
        levels: Levels | None = None
        while self.next <= number:
            levels = self._take(number)
            self.next += 1
        assert levels is not None
        image = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
        return Picture(image, None, 8 * levels.itemsize, None, None, 1)

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None
        if self.told:
            self.told.close()
            self.told = None
        self.next = 1

    def _start(self) -> None:
        film = self.film
        scale = f"scale={_by(film.matrix)}"
        shape = "rgb48be" if film.deep else "rgb24"
        command = [
            *(_find("ffmpeg"), "-v", "error", "-nostdin", "-i", str(film.path)),
            *("-map", "0:v:0", "-vf", f"{scale},format={shape}", "-fps_mode", "passthrough"),
            *("-f", "image2pipe", "-c:v", "ppm", "-"),
        ]
        self.told = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.told)

    def _take(self, number: int) -> Levels:
        """Take the next frame from the pipe: a PPM, which says its size."""
        assert self.process is not None and self.process.stdout is not None
        pipe = self.process.stdout
        head = b""
        while head.count(b"\n") < 3 and len(head) < MOST_HEAD and (byte := pipe.read(1)):
            head += byte
        fields = head.split()
        if len(fields) == 4:
            width, height, most = (int(field) for field in fields[1:])
            dtype = np.dtype(">u2" if most > 255 else "u1")
            data = pipe.read(3 * width * height * dtype.itemsize)
            if len(data) == 3 * width * height * dtype.itemsize:
                levels = np.frombuffer(data, dtype).reshape(height, width, 3)
                return levels.astype(np.uint16) if most > 255 else levels.astype(np.uint8)
        said = _said(self.told)
        why = f" ({said})" if said else ""
        raise ImageError(
            f"{self.film.path}: frame {number} cannot be decoded{why}, expected "
            f"{self.film.count} frames; export the film again"
        )


def write_film(
    path: Path, frames: Iterable[Levels], *, rate: str, like: Film | None = None
) -> None:
    """Write ProRes 4444 from frames, uint16 (H, W, 4), straight colours and alpha.

    Sound and timecode are those of the film `like`, if any. The file is whole, or not there at all.
    Raises ImageError where ffmpeg is missing or fails.
    """
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    matrix = like.matrix if like and like.matrix in ("bt709", "smpte170m") else "bt709"
    tags = f"colorspace={matrix}:color_primaries=bt709:color_trc=bt709:range=tv"
    shape = f"scale={_by(matrix)}:out_range=tv,format=yuva444p10le,setparams={tags}"
    sound = ["-i", str(like.path), "-map", "1:a?", "-c:a", "copy"] if like else []
    clock = ["-timecode", like.timecode] if like and like.timecode else []
    try:
        with replacing(path) as temporary, tempfile.TemporaryFile() as told:
            command = [
                *(_find("ffmpeg"), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba64le"),
                *("-s", f"{width}x{height}", "-framerate", rate, "-i", "pipe:0", *sound),
                *("-map", "0:v", "-vf", shape),
                *("-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16"),
                *(*FINEST, "-vendor", "apl0", "-movflags", "+write_colr"),
                *(*clock, "-f", "mov", str(temporary)),
            ]
            sent = _feed(command, chain([first], frames), told)
            if not _holds(temporary, sent):
                raise ImageError(
                    f"{path} cannot be written by ffmpeg ({_said(told)}); check the room there, "
                    "and its version"
                )
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({words(error)}), expected a folder with room and "
            "permission to write; choose another output"
        ) from error


def _feed(command: list[str], frames: Iterable[Levels], told: IO[bytes]) -> int:
    """Send frames to ffmpeg, as far as it takes them; gives how many there were, 0 if it failed."""
    sent = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=told) as process:
        assert process.stdin is not None
        try:
            for frame in frames:
                sent += 1
                process.stdin.write(_rounded(frame).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg says why
        except BaseException:
            process.kill()
            with suppress(BrokenPipeError):  # of what was not sent yet
                process.stdin.close()
            raise
    return 0 if process.returncode else sent


def _holds(path: Path, count: int) -> bool:
    """Tell whether a film is whole: ffmpeg is content with one whose end found no room."""
    try:
        return probe_film(path).count == count
    except ImageError:
        return False


def _by(matrix: str) -> str:
    """Give the options of ffmpeg's `scale` for this matrix, both ways: RGB goes through YUV too."""
    return f"in_color_matrix={matrix}:out_color_matrix={matrix}:{PRECISE}"


def _rounded(frame: Levels) -> npt.NDArray[np.uint16]:
    """Round alpha to the 10 bits that ffmpeg hands to its encoder; it would cut them off."""
    rounded = np.array(frame, "<u2")
    tenths = np.rint(rounded[..., 3] * np.float32(1023 / 65535)).astype(np.uint16)
    rounded[..., 3] = tenths << 6
    return rounded


def _said(told: IO[bytes] | None) -> str:
    """Give the end of what ffmpeg said, in one line."""
    assert told is not None
    told.seek(0)
    return " ".join(told.read().decode(errors="replace").split()[-MOST_WORDS:])


def _run(command: list[str], path: Path) -> bytes:
    command[0] = _find(command[0])
    done: Any = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise ImageError(
            f"{path} is neither a picture nor a film ({said}), expected a sequence; check the file"
        )
    return bytes(done.stdout)


def require_ffmpeg() -> None:
    """Raise ImageError where ffmpeg or ffprobe is not installed."""
    for program in ("ffmpeg", "ffprobe"):
        _find(program)


def _find(program: str) -> str:
    """Find ffmpeg or ffprobe; raises ImageError where it is not installed."""
    if found := shutil.which(program):
        return found
    raise ImageError(
        f"films need {program}, which is not installed, expected it on the PATH; install ffmpeg, "
        "or export the film as numbered pictures"
    )
