"""Files of every kind that we read, and the ways in which a campaign damages them."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from PIL import Image

Rng = np.random.Generator


@cache
def pictures() -> dict[str, bytes]:
    """Make a small picture in every format and depth that is read."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (23, 31, 3), np.uint8)
    files = {}
    for name, mode, options in (
        ("png", "RGB", {}),
        ("png", "RGBA", {}),
        ("png", "L", {}),
        ("png", "P", {}),
        ("png", "1", {}),
        (
            "jpg",
            "RGB",
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        ),
        ("jpg", "CMYK", {}),
        ("tif", "RGB", {}),
        ("tif", "RGBA", {"compression": "tiff_lzw"}),
        ("tif", "RGB", {"compression": "tiff_adobe_deflate"}),
        ("webp", "RGBA", {"lossless": True}),
        ("avif", "RGB", {}),
        ("bmp", "RGB", {}),
        ("gif", "P", {}),
    ):
        buffer = io.BytesIO()
        kind = {"jpg": "jpeg", "tif": "tiff"}.get(name, name)
        Image.fromarray(colour).convert(mode).save(buffer, kind, **options)
        files[f"{len(files):02}-{mode}.{name}"] = buffer.getvalue()
    for suffix in ("png", "tiff"):
        deep = cv2.imencode(f".{suffix}", colour.astype(np.uint16) * 257)[1]
        files[f"{len(files):02}-16.{suffix}"] = deep.tobytes()
    return files


@cache
def weight_files() -> dict[str, bytes]:
    """Make files of weights: ours, cut down to a few tensors, and pickles as the authors write."""
    import torch
    from safetensors.torch import save

    tensors = {"stem.conv.weight": torch.zeros(4, 4), "head.norm.bias": torch.ones(3)}
    metadata = {"format": "a2u", "version": "1", "variant": "share", "sizes": "{}"}
    files = {"a.safetensors": save(tensors, metadata)}
    state = {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    for name, zipped in (("b.pth", True), ("c.pth", False)):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        files[name] = buffer.getvalue()
    from a2u_cli.weights import registry

    files["d.safetensors"] = registry.locate(registry.DEFAULT).read_bytes()
    return files


@cache
def texts() -> dict[str, bytes]:
    """Make a journal and a report."""
    entry = {
        "name": "a",
        "state": "done",
        "inputs": "x",
        "options": "y",
        "outputs": ["alpha/a.png"],
    }
    row = {"name": "a", "state": "scored", "sad": 1.0, "mse": 0.1, "grad": 2.0, "conn": 1.0}
    report = {
        "conventions": {"SAD": "x"},
        "counts": {"scored": 1},
        "rows": [row],
        "means": {"sad": 1.0},
    }
    return {
        "journal.jsonl": b"".join(json.dumps(entry | {"name": n}).encode() + b"\n" for n in "abc"),
        "report.json": json.dumps(report).encode(),
    }


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def head_flipped(data: bytes, rng: Rng) -> bytes:
    head = min(len(data), 64)
    return flipped(data[:head], rng) + data[head:]


def spliced(data: bytes, rng: Rng) -> bytes:
    """Begin as one file and go on as another."""
    others = [*pictures().values(), *weight_files().values(), *texts().values()]
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(1, 80))] + other[int(rng.integers(len(other))) :]


def blanked(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 200))
    return data[:start] + bytes([int(rng.choice([0, 255]))]) * length + data[start + length :]


def repeated(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    part = data[start : start + int(rng.integers(1, 100))]
    return data[:start] + part * int(rng.integers(2, 50)) + data[start:]


def random_bytes(data: bytes, rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(0, 300)))


def absurd(data: bytes, rng: Rng) -> bytes:
    """Claim an enormous size, with right check sums where the format has any."""
    side = int(rng.choice([0, 1, 60_000, 2**16 - 1, 2**31 - 1, 2**32 - 1]))
    other = int(rng.choice([1, 60_000, 2**31 - 1]))
    if data.startswith(b"\x89PNG"):
        head = struct.pack(">II", side, other) + data[24:29]
        return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<II", side, other) + data[26:]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", side & 0xFFFF, other & 0xFFFF) + data[10:]
    at = data.find(b"\xff\xc0")
    if at >= 0:
        size = struct.pack(">HH", side & 0xFFFF, other & 0xFFFF)
        return data[: at + 5] + size + data[at + 9 :]
    if data[:1].isalnum() or len(data) < 16:
        return blanked(data, rng)
    return struct.pack("<Q", side * other) + data[8:]  # safetensors: the header's length


def nested(data: bytes, rng: Rng) -> bytes:
    """JSON of a depth that no parser's stack takes, or of a number that none can hold."""
    deep = int(rng.choice([100, 5_000, 200_000]))
    return bytes(rng.choice([b"[", b'{"a":'])) * deep if rng.random() < 0.7 else b"9" * deep


DAMAGES: dict[str, Callable[[bytes, Rng], bytes]] = {
    "whole": lambda data, rng: data,
    "truncated": truncated,
    "flipped": flipped,
    "head flipped": head_flipped,
    "spliced": spliced,
    "blanked": blanked,
    "repeated": repeated,
    "random": random_bytes,
    "absurd size": absurd,
}
