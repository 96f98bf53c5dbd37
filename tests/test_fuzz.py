"""A part of the campaign of damaged inputs (tests/campaign.py), and every bug that it has found."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from campaign import GOOD, PLACES, campaign, pictures, summary

from a2u_cli import images, weights
from a2u_cli.errors import A2UError, ImageError, WeightsError
from a2u_cli.jobs.journal import Journal
from a2u_cli.scoring.comparison import read_other


@pytest.mark.timeout(240)
def test_damaged_inputs_end_as_a_result_or_as_one_line(tmp_path: Path) -> None:
    outcomes = campaign(300, 2, tmp_path)
    assert all(outcome.state in GOOD for outcome in outcomes), summary(outcomes)
    assert {outcome.state for outcome in outcomes} == set(GOOD)
    assert {outcome.damage for outcome in outcomes} & set(PLACES)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    return path


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_waited_for(pipe: Path) -> None:
    with pytest.raises(ImageError, match="a pipe or a device, no file"):
        images.read_image(pipe)
    assert images.picture_size(pipe) is None
    with pytest.raises(A2UError, match="no report"):
        read_other(pipe)
    for read in (weights.load_model, weights.read_checkpoint):
        with pytest.raises(WeightsError):
            read(pipe)
    with pytest.raises(WeightsError, match="a pipe or a device"):
        weights.import_file(pipe, name="piped")


@pytest.mark.timeout(20)
def test_a_file_without_end_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ImageError, match="a pipe or a device, no file"):
        images.read_image(Path("/dev/zero"))
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(200 << 20)  # sparse
    monkeypatch.setenv("A2U_MAX_PIXELS", "1000000")
    with pytest.raises(ImageError, match=r"0\.2 GB, more than 0\.1 GB"):
        images.read_image(large)


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000])
def test_deep_json_is_a_torn_line_or_no_report(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(text + b"\n")
    assert Journal(tmp_path).state(tmp_path / "a", "x") == "free"
    with pytest.raises(A2UError, match="is no report"):
        read_other(path)


def test_a_checkpoint_that_unpacks_to_far_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data/0", "w", force_zip64=True) as record,
    ):
        for _ in range(33):
            record.write(bytes(32 << 20))
    assert path.stat().st_size < 4 << 20
    with pytest.raises(WeightsError, match=r"holds 1\.1 GB, expected at most 1\.1"):
        weights.read_checkpoint(path)


def test_a_damaged_avif_is_refused_in_one_line(tmp_path: Path) -> None:
    """Its decoder raises RuntimeError where others raise OSError."""
    data = next(data for name, data in pictures().items() if name.endswith(".avif"))
    at = data.index(b"mdat")
    broken = tmp_path / "broken.avif"
    refused = 0
    for shift in range(8, 60, 4):
        broken.write_bytes(data[: at + shift] + bytes(30) + data[at + shift + 30 :])
        images.picture_size(broken)
        try:
            images.read_image(broken)
        except ImageError:
            refused += 1
    assert refused


def test_a_png_of_absurd_size_is_not_decoded_for_its_exif(tmp_path: Path) -> None:
    data = pictures()["00-RGB.png"]
    head = struct.pack(">II", 2**31 - 1, 2**31 - 1) + data[24:29]
    path = tmp_path / "bomb.png"
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    path.write_bytes(data[:16] + head + crc + data[33:])
    assert images.picture_size(path) == (2**31 - 1, 2**31 - 1)


def test_the_limit_of_pixels_is_a_number(tmp_path: Path, monkeypatch) -> None:
    images.write_image(tmp_path / "p.png", np.zeros((20, 30), np.uint8))
    monkeypatch.setenv("A2U_MAX_PIXELS", "many")
    with pytest.raises(ImageError, match="A2U_MAX_PIXELS is 'many', expected a number"):
        images.read_image(tmp_path / "p.png")
    monkeypatch.setenv("A2U_MAX_PIXELS", "599")
    with pytest.raises(ImageError, match=r"raise the limit with a2u --max-pixels 600"):
        images.read_image(tmp_path / "p.png")
