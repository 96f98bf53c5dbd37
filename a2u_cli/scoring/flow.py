"""Read the motion from a frame to the next from the files in which it is stored."""

import io
from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..images.reading import read_bytes, read_levels
from .temporal import Flow

FLOW_SUFFIXES = (".flo", ".npy", ".png")
TAG = b"PIEH"  # of Middlebury's files; as a little-endian float it is 202021.25
HEAD = np.dtype([("tag", "S4"), ("width", "<i4"), ("height", "<i4")])
UNKNOWN_FROM = 1e9  # Middlebury: larger components say that the motion is not known
HUNDREDTHS = 100  # of a pixel: the unit of VideoMatting108's files


def read_flow(path: Path) -> Flow:
    """Read how far each pixel moves to the next frame: float32 (H, W, 2), right and down.

    Where that is not known it is NaN. Read are Middlebury's .flo
    (https://vision.middlebury.edu/flow/code/flow-code/README.txt), .npy of floats of that shape,
    and VideoMatting108's .png: 16 bits, in blue and green signed hundredths of a pixel to the right
    and down, in red 0 where the motion is not known.

    Raises ImageError where it is none of these.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        flow = _from_png(path)
    else:
        data = read_bytes(path, str(path))
        flow = _from_npy(data, path) if suffix == ".npy" else _from_flo(data, path)
    flow[~(np.abs(flow) <= UNKNOWN_FROM).all(axis=2)] = np.nan  # also where it is NaN already
    return flow


def _from_flo(data: bytes, path: Path) -> Flow:
    if len(data) >= HEAD.itemsize and data[:4] == TAG:
        head = np.frombuffer(data, HEAD, 1)[0]
        height, width = int(head["height"]), int(head["width"])
        if min(height, width) > 0 and len(data) == HEAD.itemsize + 8 * height * width:
            values = np.frombuffer(data, "<f4", offset=HEAD.itemsize)
            return values.reshape(height, width, 2).astype(np.float32)  # (H, W, 2)
    raise ImageError(
        f"{path} is no whole .flo file of Middlebury's form ({len(data)} bytes); write it anew"
    )


def _from_npy(data: bytes, path: Path) -> Flow:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        old = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        found = f"{dtype} of shape {shape}"
        if len(shape) == 3 and shape[2] == 2 and min(shape) > 0 and dtype.kind == "f":
            stream.seek(0)
            values = np.lib.format.read_array(stream, allow_pickle=False)
            with np.errstate(over="ignore"):  # to infinity, which is not known either
                flow: Flow = values.astype(np.float32)
            return flow
    except (ValueError, EOFError, OverflowError, MemoryError) as error:  # a head may claim anything
        found = " ".join(str(error).split())
    raise ImageError(f"{path} holds no flow: found {found}, expected floats of shape (H, W, 2)")


def _from_png(path: Path) -> Flow:
    levels = read_levels(path)  # (H, W, C)
    if levels.dtype != np.uint16 or levels.shape[2] != 3:
        raise ImageError(
            f"{path} holds no flow: found {8 * levels.dtype.itemsize} bits in {levels.shape[2]} "
            "channels, expected 16 in 3 as VideoMatting108 has; give .flo or .npy"
        )
    flow = levels[..., [2, 1]].astype(np.int16).astype(np.float32)  # (H, W, 2)
    flow /= HUNDREDTHS
    flow[levels[..., 0] == 0] = np.nan
    return flow
