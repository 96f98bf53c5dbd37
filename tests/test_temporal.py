"""dtSSD and MESSDdt are what each protocol's public code computes."""

from itertools import pairwise
from math import sqrt
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from metric_cases import GOLDEN_CLIPS, RECORDED_CLIPS, Clip, Grey, flat, moving, recorded

from a2u_cli.errors import A2UError, ImageError, TrimapError
from a2u_cli.images import write_image
from a2u_cli.scoring.flow import read_flow
from a2u_cli.scoring.temporal import (
    Flow,
    Pair,
    average_changes,
    dtssd_dvm,
    dtssd_rvm,
    dtssd_tcvom,
    messddt_tcvom,
)

STILL: Flow = np.zeros((2, 2, 2), np.float32)


def shifted(right: float, down: float) -> Flow:
    return STILL + np.array([right, down], np.float32)


def grey(*rows: list[int]) -> Grey:
    return np.array(rows, np.uint8)


# In levels of 51, a fifth of alpha. The changes' differences are [[1, 2], [0, -1]] fifths.
NOW: Pair = grey([51, 0], [255, 102]), grey([0, 0], [255, 51])
NEXT: Pair = grey([102, 102], [204, 51]), grey([0, 0], [204, 51])
TRIMAP = grey([128, 255], [77, 128])  # the unknown of the first of the two frames


def measure(clip: Clip) -> dict[str, float | None]:
    """Score a clip by every protocol."""
    frames, flows = clip
    steps = list(pairwise(frames))
    rvm = [dtssd_rvm(after[:2], before[:2]) for before, after in steps]
    tcvom = [dtssd_tcvom(frame[:2], after[:2], frame[2]) for frame, after in steps]
    dvm = [dtssd_dvm(frame[:2], after[:2], frame[2]) for frame, after in steps]
    soft = [dtssd_dvm(frame[:2], after[:2]) for frame, after in steps]
    along = [
        messddt_tcvom(frame[:2], after[:2], frame[2], flow)
        for (frame, after), flow in zip(steps, flows, strict=True)
    ]
    return {
        "rvm": average_changes("rvm", rvm),
        "tcvom": average_changes("tcvom", tcvom),
        "dvm": average_changes("dvm", dvm),
        "dvm_soft": average_changes("dvm", soft),
        "messddt": average_changes("tcvom", along),
    }


@pytest.mark.parametrize("name", GOLDEN_CLIPS)
def test_changes_over_time_agree_with_octave(name: str) -> None:
    found = measure(GOLDEN_CLIPS[name])
    assert found == pytest.approx(recorded(RECORDED_CLIPS)[name], rel=1e-9)
    assert all(found.values())


def test_a_case_by_hand_by_every_protocol() -> None:
    assert dtssd_rvm(NEXT, NOW) == pytest.approx(100 * sqrt((1 + 4 + 0 + 1) / 4) / 5)
    # The second pixel is known in the trimap; 77 is unknown to TCVOM and has no change.
    assert dtssd_tcvom(NOW, NEXT, TRIMAP) == pytest.approx(sqrt(1 + 0 + 1) / 5)
    assert dtssd_dvm(NOW, NEXT, TRIMAP) == pytest.approx(sqrt(1 + 1) / 5)
    # Without trimaps only the last pixel's truth is soft in the first frame.
    assert dtssd_dvm(NOW, NEXT) == pytest.approx(sqrt(1) / 5)
    # Errors of 1, 0, 0, 1 fifths before and 2, 2, 0, 0 after: |1 - 4| + |0 - 0| + |1 - 0|.
    assert messddt_tcvom(NOW, NEXT, TRIMAP, STILL) == pytest.approx((3 + 0 + 1) / 25 / 1000)
    # One pixel to the right: the first meets the error of the second, the others leave the picture.
    assert messddt_tcvom(NOW, NEXT, TRIMAP, shifted(1, 0)) == pytest.approx(
        ((4 - 1) + 0 + 1) / 25 / 1000
    )
    # Half a pixel down: the first's error is (2 + 0) / 2, the last's is half outside.
    assert messddt_tcvom(NOW, NEXT, TRIMAP, shifted(0, 0.5)) == pytest.approx(
        ((1 - 1) + 0 + 1) / 25 / 1000
    )


def test_a_constant_error_does_not_flicker_and_one_that_comes_and_goes_does() -> None:
    truth, unknown = flat(100), flat(128)
    steady, other = (flat(120), truth), (flat(80), truth)
    still = np.zeros((*truth.shape, 2), np.float32)
    for value in (
        dtssd_rvm(steady, steady),
        dtssd_tcvom(steady, steady, unknown),
        dtssd_dvm(steady, steady, unknown),
        messddt_tcvom(steady, steady, unknown, still),
    ):
        assert value == 0
    assert dtssd_rvm(steady, other) == pytest.approx(100 * 40 / 255)
    assert dtssd_tcvom(steady, other, unknown) == pytest.approx(40 / 255 * sqrt(truth.size))
    assert messddt_tcvom(steady, other, unknown, still) == 0  # squared, they are alike


def test_the_unknown_of_the_first_of_two_frames_counts() -> None:
    frames, _ = moving(31, 2, 20, 24)
    (now, later), pairs = (frames[0][2], frames[1][2]), [frame[:2] for frame in frames]
    forward = dtssd_tcvom(pairs[0], pairs[1], now)
    assert (now != later).any()
    assert dtssd_tcvom(pairs[0], pairs[1], later) != pytest.approx(forward)
    assert dtssd_dvm(pairs[0], pairs[1], now) == pytest.approx(forward)  # of 0, 128 and 255 alone
    known = flat(0, now.shape)
    assert dtssd_tcvom(pairs[0], pairs[1], known) == dtssd_dvm(pairs[0], pairs[1], known) == 0
    assert dtssd_rvm(pairs[1], pairs[0]) > 0  # it has no mask


def test_greys_beside_128_are_unknown_to_tcvom_and_known_to_dvm() -> None:
    greys = np.where(TRIMAP == 128, 127, TRIMAP).astype(np.uint8)
    assert dtssd_tcvom(NOW, NEXT, greys) == dtssd_tcvom(NOW, NEXT, TRIMAP)
    assert dtssd_dvm(NOW, NEXT, greys) == 0


def test_only_rvm_is_the_same_whatever_the_size_of_the_picture() -> None:
    now, later = [(np.tile(p, (2, 2)), np.tile(t, (2, 2))) for p, t in (NOW, NEXT)]
    trimap = np.tile(TRIMAP, (2, 2))
    assert dtssd_rvm(later, now) == pytest.approx(dtssd_rvm(NEXT, NOW))
    assert dtssd_tcvom(now, later, trimap) == pytest.approx(2 * dtssd_tcvom(NOW, NEXT, TRIMAP))
    assert dtssd_dvm(now, later, trimap) == pytest.approx(2 * dtssd_dvm(NOW, NEXT, TRIMAP))


def test_a_frame_without_a_pair_counts_as_no_error_but_by_dvm() -> None:
    assert average_changes("rvm", [3.0, 6.0]) == average_changes("tcvom", [3.0, 6.0]) == 3
    assert average_changes("dvm", [3.0, 6.0]) == 4.5
    assert average_changes("rvm", []) is None


def test_where_the_motion_is_not_known_nothing_is_compared() -> None:
    flow = STILL.copy()
    flow[0, 0] = np.nan
    assert messddt_tcvom(NOW, NEXT, TRIMAP, flow) == pytest.approx(1 / 25 / 1000)
    assert messddt_tcvom(NOW, NEXT, TRIMAP, STILL * np.nan) == 0


def test_mattes_are_read_between_pixels_as_torch_does() -> None:
    """TCVOM's code takes grid_sample with aligned corners and zeros around the picture."""
    (frame, after), flows = moving(32, 2, 18, 23)
    height, width = frame[0].shape
    flow = np.nan_to_num(4 * flows[0], nan=0)
    y, x = np.mgrid[:height, :width]
    at = np.stack([2 * (x + flow[..., 0]) / (width - 1), 2 * (y + flow[..., 1]) / (height - 1)], -1)
    errors = [(matte[0].astype(float) - matte[1])[None, None] / 255 for matte in (frame, after)]
    moved = torch.nn.functional.grid_sample(
        torch.from_numpy(errors[1]), torch.from_numpy(at - 1)[None], align_corners=True
    ).numpy()
    expected = np.abs(errors[0] ** 2 - moved**2)[0, 0][(frame[2] > 0) & (frame[2] < 255)].sum()
    found = messddt_tcvom(frame[:2], after[:2], frame[2], flow)
    assert found == pytest.approx(expected / 1000, rel=1e-6)


def test_a_large_picture_is_followed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, flows = moving(33, 2, 40, 50)
    arguments = (frames[0][:2], frames[1][:2], frames[0][2], flows[0] * 1e8)
    whole = messddt_tcvom(*arguments)
    monkeypatch.setattr("a2u_cli.scoring.temporal.CHUNK", 7)
    assert messddt_tcvom(*arguments) == pytest.approx(whole)


def test_mattes_that_cannot_be_compared_are_refused() -> None:
    small = (flat(0, (2, 1)), flat(0, (2, 1)))
    with pytest.raises(ImageError, match="neighbouring frame's prediction is 1 x 2 but"):
        dtssd_rvm(NOW, small)
    with pytest.raises(ImageError, match="the prediction is float64, expected uint8"):
        dtssd_rvm((NOW[0] / 255, NOW[1]), NEXT)  # type: ignore[arg-type]
    with pytest.raises(TrimapError, match="the trimap is 1 x 2"):
        dtssd_tcvom(NOW, NEXT, small[0])
    with pytest.raises(TrimapError, match="the trimap is 1 x 2"):
        dtssd_dvm(NOW, NEXT, small[0])
    with pytest.raises(ImageError, match=r"shape \(2, 1, 2\), expected \(2, 2, 2\)"):
        messddt_tcvom(NOW, NEXT, TRIMAP, STILL[:, :1])


# ---------------------------------------------------------------- files


def stored(folder: Path, flow: Flow) -> list[Path]:
    """Store a flow in every form; Middlebury's is written by OpenCV."""
    paths = [folder / f"flow.{end}" for end in ("flo", "npy", "png")]
    cv2.writeOpticalFlow(str(paths[0]), np.nan_to_num(flow, nan=1e10))
    np.save(paths[1], flow.astype(np.float64))
    known = np.isfinite(flow).all(axis=2)
    hundredths = np.rint(100 * np.nan_to_num(flow)).astype(np.int16)
    # As VideoMatting108 has it, by OpenCV: blue is to the right, green is down, red is known.
    cv2.imwrite(str(paths[2]), np.dstack([hundredths.view(np.uint16), known.astype(np.uint16)]))
    return paths


def test_a_flow_is_the_same_in_every_kind_of_file(tmp_path: Path) -> None:
    flow = np.round(moving(35, 2, 11, 13)[1][0], 2)
    for path in stored(tmp_path, flow):
        found = read_flow(path)
        assert found.dtype == np.float32
        assert np.isnan(found).any()
        np.testing.assert_allclose(found, flow, atol=1e-6, err_msg=path.suffix)


def test_a_file_that_holds_no_flow_is_one_line(tmp_path: Path) -> None:
    flo, npy, _ = stored(tmp_path, STILL)
    whole = flo.read_bytes()
    head = npy.read_bytes().replace(b"(2, 2, 2)", b"(2 << 60)")
    write_image(tmp_path / "grey.png", flat(3))
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "whole.npy", np.zeros((4, 4, 2), np.int32))
    np.save(tmp_path / "objects.npy", np.array([[[{}, {}]]]), allow_pickle=True)
    for name, data in {
        "short.flo": whole[:-1],
        "empty.flo": b"",
        "vast.flo": whole[:4] + b"\xff\xff\xff\x7f" * 2 + whole[12:],
        "text.flo": b"no flow" * 10,
        "empty.npy": b"",
        "cut.npy": npy.read_bytes()[:-3],
        "odd.npy": head,
        "zip.npy": b"PK\x03\x04" + bytes(40),
    }.items():
        (tmp_path / name).write_bytes(data)
    names = {path.name for path in tmp_path.iterdir()} - {"flow.flo", "flow.npy", "flow.png"}
    assert len(names) == 12
    for name in names:
        with pytest.raises(A2UError, match=r"expected|write it anew") as caught:
            read_flow(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"gone\.flo does not exist"):
        read_flow(tmp_path / "gone.flo")
