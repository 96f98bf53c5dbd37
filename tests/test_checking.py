"""Which mattes of a folder need a human: checked along with a run, and from its files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT, RunA2U

from a2u_cli import Matter
from a2u_cli.images import write_image
from a2u_cli.jobs.checking import Mattes, check_files
from a2u_cli.jobs.findings import Findings
from a2u_cli.jobs.options import Options
from a2u_cli.pairing import find_pairs
from a2u_cli.scoring.contact_sheet import Entry
from a2u_cli.scoring.suspicion import Reason
from a2u_cli.trimap import make_trimap

Array = np.ndarray
SIDE = 96


def soft_disk(shift: int = 0) -> Array:
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(y - SIDE / 2, x - SIDE / 2 - shift)
    return np.clip((36 - distance) / 12, 0, 1).astype(np.float32)


def put(folder: Path, name: str, trimap: Array | None, alpha: Array | None = None) -> None:
    """Put a soft disk there, over stripes, with a trimap, and the matte that a run has made."""
    truth = soft_disk()
    stripes = np.broadcast_to((np.arange(SIDE) % 16 < 8)[:, None, None], (SIDE, SIDE, 3))
    behind = np.where(stripes, np.float32([0.2, 0.4, 0.8]), np.float32([0.3, 0.7, 0.9]))
    image = behind + (np.float32([0.9, 0.2, 0.1]) - behind) * truth[..., None]
    write_image(folder / f"{name}.png", image.astype(np.float32))
    if trimap is not None:
        write_image(folder / f"{name}_trimap.png", trimap)
    if alpha is not None:
        write_image(folder / "a2u_output/alpha" / f"{name}.png", alpha)


def right_trimap() -> Array:
    return make_trimap(soft_disk(), inside=4, outside=4)


def fill(folder: Path) -> None:
    """Put three pictures there, each with the matte of the weights that ship."""
    matter = Matter(ROOT / "weights" / "a2u-open.safetensors", device="cpu")
    solid = np.asarray(soft_disk() > 0.5, np.float32)
    trimaps = {
        "good": right_trimap(),
        "tight": make_trimap(solid, inside=1, outside=1),
        "wrong": np.roll(right_trimap(), 30, 1),
    }
    for name, trimap in trimaps.items():
        put(folder, name, trimap)
        image = cv2.imread(str(folder / f"{name}.png"))[..., ::-1] / np.float32(255)
        put(folder, name, trimap, matter.matte(np.ascontiguousarray(image), trimap))


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def kinds(entry: dict[str, Any]) -> list[str]:
    return [reason["kind"] for reason in entry["reasons"]]


def test_a_wrong_trimap_and_a_tight_one_come_before_a_good_one(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    fill(tmp_path)
    run = run_a2u("check", tmp_path / "a2u_output", "--json")
    assert run.code == 0, run.stderr
    entries = lines(run.stdout)
    assert entries[2]["name"] == "good" and entries[2]["score"] < entries[1]["score"] * 2 / 3
    found = {entry["name"]: kinds(entry) for entry in entries}
    assert "wrong trimap" in found["wrong"]
    assert "tight trimap" in found["tight"]
    assert not {"wrong trimap", "tight trimap", "another trimap"} & {*found["good"]}
    assert run_a2u("check", tmp_path / "a2u_output", "--fail-above", "1").code == 0
    worst = run_a2u("check", tmp_path / "a2u_output", "--fail-above", "0.1", "--top", "1")
    assert worst.code == 5
    assert worst.stdout.decode().split()[1] == entries[0]["name"]
    assert len(worst.stdout.splitlines()) == 1
    assert "... and 2 more" in worst.stderr


def test_what_cannot_be_checked_is_a_named_row_before_all_others(
    a2u: RunA2U, tmp_path: Path
) -> None:
    put(tmp_path, "good", right_trimap(), soft_disk())
    put(tmp_path, "unmatted", right_trimap())
    put(tmp_path, "broken", right_trimap(), soft_disk())
    (tmp_path / "a2u_output/alpha/broken.png").write_bytes(b"no picture")
    put(tmp_path, "twice", right_trimap(), soft_disk())
    write_image(tmp_path / "a2u_output/alpha/twice.tif", soft_disk())
    put(tmp_path, "small", right_trimap(), soft_disk()[:50])
    put(tmp_path, "alone", None, soft_disk())
    write_image(tmp_path / "a2u_output/alpha/gone.png", soft_disk())
    run = a2u("check", tmp_path / "a2u_output", "--json")
    assert run.code == 1
    entries = {entry["name"]: entry for entry in lines(run.stdout)}
    assert [*entries][-1] == "good" and entries["good"]["score"] is not None
    words = {name: entry["reasons"][0]["text"] for name, entry in entries.items()}
    assert entries["alone"]["reasons"][0]["kind"] == "no trimap"
    assert "its picture is not in" in words["gone"]
    assert "has no matte" in words["unmatted"]
    assert "more than one matte" in words["twice"]
    assert "the matte is 96x50, its picture 96x96" in words["small"]
    assert "broken.png" in words["broken"]
    assert "1 checked, 6 not checked" in run.stderr


def test_a_folder_without_mattes_says_what_is_expected(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "good", right_trimap())
    (tmp_path / "a2u_output/cutout").mkdir(parents=True)
    run = a2u("check", tmp_path / "a2u_output")
    assert run.code == 2
    assert "has no mattes" in run.stderr and "--save alpha,cutout" in run.stderr


def test_a_folder_of_another_name_asks_for_its_pictures(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "good", right_trimap(), soft_disk())
    (tmp_path / "a2u_output").rename(tmp_path.parent / "mattes")
    run = a2u("check", tmp_path.parent / "mattes")
    assert run.code == 2 and "--images DIR" in run.stderr
    assert a2u("check", tmp_path.parent / "mattes", "--images", tmp_path).code == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_reports_what_a_check_of_its_files_says(
    a2u: RunA2U, tmp_path: Path, workers: int
) -> None:
    put(tmp_path, "b", right_trimap())
    put(tmp_path, "a", np.roll(right_trimap(), 9, 1))
    report, words = tmp_path / "run.html", ("--workers", workers, "--levels", "5%,95%")
    assert a2u("batch", tmp_path, *words, "--report", report).code == 0
    of_run = report.read_text()
    assert a2u("check", tmp_path / "a2u_output", "--report", report).code == 0
    assert report.read_text() == of_run


def test_a_run_that_goes_on_reports_what_was_done_before_and_what_failed(
    a2u: RunA2U, tmp_path: Path
) -> None:
    put(tmp_path, "b", right_trimap())
    assert a2u("batch", tmp_path).code == 0
    put(tmp_path, "c", right_trimap())
    (tmp_path / "d.png").write_bytes(b"")
    write_image(tmp_path / "d_trimap.png", right_trimap())
    run = a2u("batch", tmp_path, "--report", tmp_path / "run.html")
    assert run.code == 1
    assert "1 done, 1 skipped, 1 failed" in run.stderr
    page = (tmp_path / "run.html").read_text()
    assert [page.count(f'["{name}", ') for name in "bcd"] == [1, 1, 1]
    assert page.index('["d", null') < min(page.index('["b", 0'), page.index('["c", 0'))


def test_a_report_replaces_one_of_ours_and_nothing_else(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "good", right_trimap(), soft_disk())
    report = tmp_path / "report.html"
    report.write_text("<h1>my notes</h1>")
    words = ("check", tmp_path / "a2u_output", "--report", report)
    refused = a2u(*words)
    assert refused.code == 2 and "exists" in refused.stderr
    assert report.read_text() == "<h1>my notes</h1>"
    assert a2u(*words, "--force").code == 0
    assert a2u(*words).code == 0
    assert a2u(*words[:3], tmp_path / "good.png", "--force").code == 2  # an input
    assert a2u("batch", tmp_path, "--report", tmp_path / "x.html", "--save", "cutout").code == 2
    assert a2u("batch", tmp_path, "--report", tmp_path / "x.html", "--dry-run").code == 2


def test_a_picture_that_cannot_be_checked_does_not_end_its_run(
    a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("a2u_cli.jobs.checking.look_again", short)
    put(tmp_path, "good", right_trimap())
    run = a2u("batch", tmp_path, "--report", tmp_path / "report.html")
    assert run.code == 0 and "1 done" in run.stderr
    assert "out of memory" in (tmp_path / "report.html").read_text()


def test_findings_come_back_as_they_were_the_worst_first() -> None:
    findings = Findings()
    entries = [
        Entry("b", 0.2, (Reason("undecided", "much"),), {"border": 0.1}, ("b.png",), ("data:",)),
        Entry.unchecked("z\udcff", "it is broken"),
        Entry("a", 0.2),
        Entry("c", 0.3),
    ]
    for entry in [Entry("c", 0.1), *entries]:  # the last of a name counts
        findings.add(entry)
    assert list(findings) == [entries[1], entries[3], entries[2], entries[0]]
    assert findings.summary == (4, 1, 0.3)
    assert "a" in findings and "x" not in findings


def test_checking_leaves_no_file_and_changes_none(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "good", right_trimap(), soft_disk())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert a2u("check", tmp_path / "a2u_output").code == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_manifest_says_which_pictures_a_run_was_of(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path, "good", right_trimap(), soft_disk())
    put(tmp_path, "other", None, soft_disk())
    write_image(tmp_path / "inside.png", np.asarray(soft_disk() < 0.5, np.float32))
    manifest = tmp_path / "rows.csv"
    manifest.write_text(
        "picture,trimap,mask,name,invert\n"
        "good.png,good_trimap.png,,good,\n"
        "good.png,,inside.png,other,yes\n"
        "gone.png,good_trimap.png,,gone,\n"
    )
    run = a2u("check", tmp_path / "a2u_output", "--manifest", manifest, "--json")
    entries = {entry["name"]: entry for entry in lines(run.stdout)}
    assert next(iter(entries)) == "gone" and kinds(entries["gone"]) == ["failed"]
    assert entries["good"]["score"] is not None
    assert entries["other"]["measures"]["strays"] == 0, "its row inverts its mask"
    assert run.code == 1 and "2 checked, 1 not checked" in run.stderr
    both = a2u("check", tmp_path / "a2u_output", "--manifest", manifest, "--images", tmp_path)
    assert both.code == 2 and "a manifest names them itself" in both.stderr


def test_masks_are_read_as_the_run_read_them(weights: Path, tmp_path: Path) -> None:
    put(tmp_path, "x", None, soft_disk())
    write_image(tmp_path / "x_mask.png", np.asarray(soft_disk() < 0.5, np.float32))
    pair = find_pairs(tmp_path, skip=tmp_path / "a2u_output").found[0]
    matter, mattes = Matter(weights, device="cpu"), Mattes(tmp_path / "a2u_output")
    turned = check_files(pair, mattes, matter, Options(invert=True, band="8px"))
    assert turned.measures["strays"] == 0
    assert check_files(pair, mattes, matter, Options(band="8px")).measures["strays"] > 0.5
