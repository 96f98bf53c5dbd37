"""`a2u eval --sequence` pairs clips' frames by number, scores them, and names what is not there."""

import csv
import io
import json
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import pytest
from metric_cases import moving
from typer.testing import CliRunner, Result

from a2u_cli.cli import app
from a2u_cli.images import write_image
from a2u_cli.scoring.metrics import score
from a2u_cli.scoring.temporal import dtssd_dvm, dtssd_rvm, dtssd_tcvom, messddt_tcvom

CLIPS = {name: moving(seed, 4, 20, 24) for seed, name in enumerate(("a", "b"), 51)}


def put(clip: str, *, out: str, gt: str, trimap: str, flow: str = "", first: int = 1) -> None:
    """Write a clip; each pattern is the name of a kind's files by frame."""
    frames, flows = CLIPS[clip]
    for number, planes in enumerate(frames, first):
        for pattern, plane in zip((out, gt, trimap), planes, strict=True):
            write_image(Path(f"{pattern % number}.png"), plane)
    for number, motion in enumerate(flows if flow else [], first):
        path = Path(f"{flow % number}.flo")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.writeOpticalFlow(str(path), np.nan_to_num(motion, nan=1e10))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips in folders of their own, named as different programs name frames."""
    monkeypatch.chdir(tmp_path)
    for name in CLIPS:
        put(
            name,
            out=f"out/{name}/{name}.%04d",
            gt=f"gt/{name}/%03d",
            trimap=f"keys/{name}/frame_%d_trimap",
            flow=f"flow/{name}/%05d",
        )
    return tmp_path


def run(*arguments: str, out: str = "out", gt: str = "gt") -> Result:
    return CliRunner().invoke(app, ["eval", out, "--gt", gt, "--sequence", *arguments])


def report(*arguments: str, code: int = 0, **folders: str) -> dict[str, Any]:
    result = run(*arguments, "--json", "-", **folders)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refusal(*arguments: str, **folders: str) -> str:
    result = run(*arguments, **folders)
    assert getattr(result.exception, "exit_code", None) == 2, result.output
    return str(result.exception)


def expected(name: str, protocol: str) -> list[float]:
    """Score the pairs of a clip's frames."""
    pairs = list(pairwise(CLIPS[name][0]))
    if protocol == "rvm":
        return [dtssd_rvm(after[:2], frame[:2]) for frame, after in pairs]
    by = {"tcvom": dtssd_tcvom, "dvm": dtssd_dvm}[protocol]
    return [by(frame[:2], after[:2], frame[2]) for frame, after in pairs]


@pytest.mark.parametrize("protocol", ["rvm", "tcvom", "dvm"])
def test_clips_are_scored_by_frame_and_over_time(desk: Path, protocol: str) -> None:
    found = report("--trimaps", "keys", "--protocol", protocol)
    assert found["counts"] == {"scored": 8, "failed": 0, "missing": 0, "extra": 0}
    assert [row["name"] for row in found["rows"]] == ["a", "b"]
    assert found["conventions"]["dtSSD"].startswith(protocol)
    for row in found["rows"]:
        frames, changes = CLIPS[row["name"]][0], expected(row["name"], protocol)
        singles = [score(*frame) for frame in frames]
        for metric in ("sad", "mse", "grad", "conn", "whole_mad", "whole_mse"):
            own = [getattr(scores, metric) for scores in singles]
            assert [frame[metric] for frame in row["frames"]] == pytest.approx(own)
            assert row[metric] == pytest.approx(fmean(own))
        at = [None, *changes] if protocol == "rvm" else [*changes, None]
        assert [frame["dtssd"] for frame in row["frames"]] == at
        assert row["dtssd"] == pytest.approx(sum(changes) / (3 if protocol == "dvm" else 4))
        assert row["messddt"] is None
    assert found["means"]["dtssd"] == pytest.approx(fmean(row["dtssd"] for row in found["rows"]))


def test_a_stored_flow_gives_messddt(desk: Path) -> None:
    found = report("--trimaps", "keys", "--protocol", "tcvom", "--flow", "flow")
    frames, flows = CLIPS["b"]
    values = [
        messddt_tcvom(frame[:2], after[:2], frame[2], flow)
        for (frame, after), flow in zip(pairwise(frames), flows, strict=True)
    ]
    row = found["rows"][1]
    assert [frame["messddt"] for frame in row["frames"]] == pytest.approx([*values, None])
    assert row["messddt"] == pytest.approx(sum(values) / 4)
    assert "where the flow leads" in found["conventions"]["MESSDdt"]
    Path("flow/b/00002.flo").unlink()
    Path("flow/a/00004.flo").touch()  # none is needed from the last frame, nor where no pair is
    Path("flow/a/00003.flo").unlink()
    Path("out/a/a.0004.png").unlink()
    found = report("--trimaps", "keys", "--protocol", "tcvom", "--flow", "flow", code=1)
    assert found["counts"] == {"scored": 6, "failed": 1, "missing": 1, "extra": 0}
    failed = found["rows"][1]["frames"][1]
    assert (failed["name"], failed["state"]) == ("b/002", "failed")
    assert failed["reason"] == "there is no flow from it to the next frame, and others have one"


def test_the_table_has_clips_or_frames(desk: Path) -> None:
    table = run("--trimaps", "keys").stdout
    rows = [line.split()[1] for line in table.splitlines() if line.startswith("│")]
    assert rows == ["a", "b", "mean"] and "mean of 2 clips" in table
    table = run("--trimaps", "keys", "--per-frame").stdout
    rows = [line.split()[1] for line in table.splitlines() if line.startswith("│")]
    assert rows[:-1] == [f"{clip}/00{number}" for clip in "ab" for number in (1, 2, 3, 4)]
    assert "mean of a: SAD" in table
    sheet = list(csv.DictReader(io.StringIO(run("--trimaps", "keys", "--csv", "-").stdout)))
    assert [row["name"] for row in sheet] == ["a", "b"]
    flat = run("--trimaps", "keys", "--csv", "-", "--per-frame").stdout
    frames = list(csv.DictReader(io.StringIO(flat)))
    assert [row["dtssd"] == "" for row in frames] == 2 * [True, False, False, False]


def test_frames_that_are_not_there_are_named_and_their_pairs_not_compared(desk: Path) -> None:
    Path("out/a/a.0002.png").unlink()
    Path("out/b/b.0004.png").write_bytes(b"no picture")
    Path("keys/b/frame_1_trimap.png").unlink()
    write_image(Path("out/b/b.0009.png"), CLIPS["b"][0][0][0])
    Path("gt/b/notes.png").write_bytes(Path("gt/b/001.png").read_bytes())
    result = run("--trimaps", "keys", "--protocol", "tcvom")
    assert result.exit_code == 1
    for line in (
        "missing: a/002: there is no prediction",
        "failed: b/001: there is no trimap for it, and others have one",
        "extra: b/0009: there is no truth for it",
        "left out: gt/b/notes.png: its name has no number of a frame",
        "note: 3 of 4 frames are in the mean (a)",
        "note: 1 of 3 pairs of frames are compared (a, b)",
        "5 scored, 2 failed, 1 missing, 1 extra, 1 left out",
    ):
        assert line in result.stdout, result.stdout
    assert "failed: b/004: out/b/b.0004.png" in result.stdout
    row = report("--trimaps", "keys", "--protocol", "tcvom", code=1)["rows"][0]
    pairs = [frame.get("dtssd") for frame in row["frames"]]
    assert pairs == [None, None, expected("a", "tcvom")[2], None]
    assert row["dtssd"] == pytest.approx(pairs[2] / 2)


@pytest.mark.parametrize("protocol", ["rvm", "tcvom", "dvm"])
def test_a_frame_that_the_object_has_left_is_no_failure(desk: Path, protocol: str) -> None:
    prediction, truth, trimap = CLIPS["a"][0][1]
    write_image(Path("keys/a/frame_2_trimap.png"), np.zeros_like(trimap))
    found = report("--trimaps", "keys", "--protocol", protocol)["rows"][0]
    frame = found["frames"][1]
    assert [frame[name] for name in ("sad", "mse", "grad", "conn", "pixels")] == [0, 0, 0, 0, 0]
    whole = np.abs(prediction.astype(int) - truth).mean() / 255
    assert frame["whole_mad"] == pytest.approx(whole)  # what is wrong there is seen here
    pairs = expected("a", protocol)
    if protocol != "rvm":
        pairs[1] = 0
        assert frame["dtssd"] == 0
    assert found["dtssd"] == pytest.approx(sum(pairs) / (3 if protocol == "dvm" else 4))
    assert found["sad"] == pytest.approx(fmean(f["sad"] for f in found["frames"]))
    assert "1 frames have nothing unknown and count as 0" in found["notes"]
    assert frame["notes"] == ["trimap: nothing is unknown, so errors over it count as 0"]


def test_a_gap_is_named_and_nothing_compared_across_it(desk: Path) -> None:
    Path("gt/a/003.png").unlink()
    Path("out/a/a.0003.png").unlink()
    result = run("--trimaps", "keys")
    assert result.exit_code == 0
    assert "note: the truth has a gap: there is no frame 3 (a)" in result.stdout
    assert "note: 1 of 2 pairs of frames are compared (a)" in result.stdout


def test_every_second_frame_is_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (prediction, truth, _) in enumerate(CLIPS["a"][0]):
        write_image(Path(f"out/x.{2 * number:04}.png"), prediction)
        write_image(Path(f"gt/y_{2 * number}.png"), truth)
    found = report()
    assert "notes" not in found["rows"][0]
    assert found["rows"][0]["name"] == "gt"
    assert found["rows"][0]["dtssd"] == pytest.approx(sum(expected("a", "rvm")) / 4)


@pytest.mark.parametrize(
    ("layout", "folders", "trimaps"),
    [
        # As RVM's evaluation has them.
        (("pred/v/0000/pha/%04d", "true/v/0000/pha/%04d", "true/v/0000/trimap/%04d"), (), ()),
        # As TCVOM writes them, beside their trimaps.
        (("pred/v/%05d_pred", "true/v/%05d", "pred/v/%05d_tri"), (), ("--trimap", "pred")),
        # One clip: its own name and the folder's.
        (("pred/%03d", "true/v/alpha/%03d", "true/v/trimap/%03d"), (), ()),
        (("pred/shot.%03d", "true/%03d_alpha", "true/%03d_trimap"), (), ()),
        (("pred/shot.%03d", "set/true/%03d", "set/trimaps/%03d"), ("set/true",), ()),
        (("pred/v/%03d", "true/gt/v/%03d", "true/trimap/v/%03d"), (), ()),
        # As `a2u render --clips` has them.
        (("pred/v/%d", "true/v/alpha/%d", "true/v/trimap/%d"), (), ()),
        # A clip may be called like a role where nothing else says that it is one.
        (("pred/input/%03d", "true/input/%03d", "set/trimaps/input/%03d"), (), ("--trimap", "set")),
    ],
)
def test_clips_are_found_as_they_are_laid_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: tuple[str, str, str],
    folders: tuple[str, ...],
    trimaps: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    out, gt, trimap = layout
    put("a", out=out, gt=gt, trimap=trimap)
    if "/pha/" in gt:  # the colours beside it are no mattes
        put("b", out="pred/v/0000/fgr/%04d", gt="true/v/0000/fgr/%04d", trimap="true/v/0000/com/%d")
        put("b", out="true/v/0000/mask/%04d", gt="true/v/0000/%04d", trimap="true/v/0000/flow/%d")
    if "v/alpha" in gt:
        put("b", out="true/v/foreground/%d", gt="true/v/background/%d", trimap="true/v/image/%d")
    found = report("--protocol", "tcvom", *trimaps, out="pred", gt=(folders or ("true",))[0])
    assert found["counts"] == {"scored": 4, "failed": 0, "missing": 0, "extra": 0}
    assert found["means"]["dtssd"] == pytest.approx(sum(expected("a", "tcvom")) / 4)
    passed = "what lies in 0000, com, fgr, flow, mask, trimap beside mattes"
    if "/pha/" in gt:
        assert found["conventions"]["passed"] == passed


def test_without_trimaps_the_whole_picture_counts_and_dvm_takes_the_soft_truth(desk: Path) -> None:
    found = report("--protocol", "dvm")
    assert found["conventions"]["region"] == "the whole picture"
    pairs = [dtssd_dvm(a[:2], b[:2]) for a, b in pairwise(CLIPS["a"][0])]
    assert found["rows"][0]["dtssd"] == pytest.approx(fmean(pairs))
    assert report("--protocol", "dvm", "--region", "whole")["rows"] == found["rows"]


def test_of_a_nearly_empty_frame_the_levels_are_what_they_are(desk: Path) -> None:
    """Alone such a file would be taken for labels, or for 8 bits in 16."""
    faint = np.zeros((20, 24), np.uint8)
    faint[3:5] = 1
    write_image(Path("out/a/a.0003.png"), faint)
    write_image(Path("out/a/a.0004.png"), faint.astype(np.uint16) * np.uint16(207), depth=16)
    for number in (3, 4):
        write_image(Path(f"gt/a/00{number}.png"), np.zeros((20, 24), np.uint8))
    frames = report("--protocol", "dvm")["rows"][0]["frames"]
    assert frames[2]["sad"] == pytest.approx(48 / 255 / 1000)
    assert frames[3]["sad"] == pytest.approx(48 / 255 / 1000)
    assert frames[2]["dtssd"] == 0
    assert "its greys go up to 1 of 255" in frames[2]["notes"][0]
    assert "its greys go up to 207 of 65535" in frames[3]["notes"][0]


def test_trimaps_of_a_clip_mean_the_same(desk: Path) -> None:
    """Of the frame in which nothing is foreground alone, its label would be that."""
    expected = report("--trimaps", "keys")["rows"][0]["frames"]
    for number, planes in enumerate(CLIPS["a"][0], 1):
        labels = planes[2] // 127  # 0, 1 and 2
        if number == 3:
            labels = np.minimum(labels, 1)
        write_image(Path(f"keys/a/frame_{number}_trimap.png"), labels.astype(np.uint8))
    found = report("--trimaps", "keys")["rows"][0]["frames"]
    for number in (0, 1, 3):
        assert found[number]["sad"] == expected[number]["sad"]
    unknown = CLIPS["a"][0][2][2] > 0
    assert found[2]["pixels"] == np.count_nonzero(unknown)


def test_two_runs_of_clips_are_compared_and_gates_hold_of_changes(desk: Path) -> None:
    assert run("--json", "before.json").exit_code == 0
    for path in Path("out/a").iterdir():
        write_image(path, np.zeros((20, 24), np.uint8))
    result = run("--against", "before.json", "--fail-if", "dtssd>+1%", "--fail-if", "dtssd<1")
    assert result.exit_code == 5, result.output
    assert "over 2 clips that both scored; 1 worse, 0 better" in result.stdout
    assert "condition holds: dtssd>+1%" in result.output
    assert "condition holds: dtssd<1" not in result.output
    document = json.loads(Path("before.json").read_text())
    document["rows"][0]["dtssd"] = None
    Path("before.json").write_text(json.dumps(document))
    assert "the dtssd of a is null, expected a number" in refusal("--against", "before.json")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--protocol", "dim"), "protocol 'dim' is unknown; expected rvm, tcvom or dvm"),
        (("--flow", "flow"), "--flow would do nothing: MESSDdt is of --protocol tcvom"),
        (("--protocol", "tcvom"), "--protocol tcvom needs trimaps"),
        (("--html", "r.html"), "--html would do nothing"),
        (("--fail-if", "messddt>1"), "expected a metric (sad, mse, grad, conn, whole_mad, "),
        (("--trimaps", "nowhere"), "nowhere is no folder, expected the trimaps"),
        (("--trimaps", "flow"), "flow has no trimap of these clips"),
        (
            ("--protocol", "tcvom", "--trimaps", "keys", "--flow", "empty"),
            "empty has no flow of these clips, expected .flo, .npy, .png",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    desk: Path, arguments: tuple[str, ...], text: str
) -> None:
    Path("empty").mkdir()
    before = sorted(desk.rglob("*"))
    assert text in refusal(*arguments)
    assert sorted(desk.rglob("*")) == before


def test_mattes_among_the_truth_are_no_truth(desk: Path) -> None:
    Path("out").rename("gt/out")
    found = report("--trimaps", "keys", out="gt/out")
    assert [row["name"] for row in found["rows"]] == ["a", "b"]


def test_clips_that_cannot_be_told_apart_are_refused(desk: Path) -> None:
    assert "is both predictions and truth" in refusal(out="gt")
    Path("empty").mkdir()
    assert "empty has no numbered frames, expected true alphas" in refusal(gt="empty")
    (desk / "gt/a/001.jpg").write_bytes(Path("gt/a/001.png").read_bytes())
    assert "gt/a has frame 1 twice (001.jpg and 001.png); keep one" in refusal()
    Path("gt/a/001.jpg").rename("gt/a/other.1.jpg")
    assert "gt/a holds the sequences #, other.#, expected one" in refusal()
    put("a", out="gt/b/alpha/%d", gt="gt/pha/b/%d", trimap="keys/c/%d")
    assert "gt/b/alpha, gt/pha/b are both the clip b" in refusal()


def test_only_clips_take_what_only_clips_have(desk: Path) -> None:
    for option in (("--flow", "flow"), ("--per-frame",)):
        result = CliRunner().invoke(app, ["eval", "out", "--gt", "gt", *option])
        assert f"{option[0]} would do nothing: only --sequence" in str(result.exception)


def test_no_report_replaces_a_flow(desk: Path) -> None:
    arguments = ("--trimaps", "keys", "--protocol", "tcvom", "--flow", "flow", "--force")
    before = Path("flow/a/00001.flo").read_bytes()
    assert "flow/a/00001.flo" in refusal(*arguments, "--json", "flow/a/00001.flo")
    assert Path("flow/a/00001.flo").read_bytes() == before
