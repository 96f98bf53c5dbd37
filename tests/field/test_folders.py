"""Folders as people have them: nothing overwritten, nothing skipped wrongly."""

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunA2U
from small_folders import held, last, mask, photo, put, trimap

from a2u_cli.errors import A2UError
from a2u_cli.images import read_image, write_image
from a2u_cli.images.files import locked, replacing
from a2u_cli.jobs.folder import run
from a2u_cli.jobs.journal import JOURNAL, Journal, JournalError, find_results
from a2u_cli.jobs.options import Options
from a2u_cli.pairing import Pairs, find_pairs

pytestmark = pytest.mark.usefixtures("environment")


def mean(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.where(known == 128, image.mean(2), known / np.float32(255)).astype(np.float32)


def work(folder: Path, out: Path, options: Options | None = None, journal: str = JOURNAL) -> str:
    """Run in this process, with a mean in place of the network; say what became of all."""
    pairs = find_pairs(folder, skip=out).found
    out.mkdir(exist_ok=True)
    kept = Journal(out, journal)
    return " ".join(o.state for o in run(pairs, out, mean, options or Options(), journal=kept))


# Outputs never destroy


def test_masks_in_the_output_folder_are_not_replaced(a2u: RunA2U, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    photo(shots / "images" / "x.png")
    mask(shots / "alpha" / "x.png")
    before = held(shots)
    for extra in ([], ["--force"]):
        found = a2u("batch", shots / "images", "--masks", shots / "alpha", "-o", shots, *extra)
        assert found.code == 2
        assert "x.png is an input of this run and would be an output" in last(found)
        assert held(shots) == before


def test_trimaps_in_the_output_folder_are_not_replaced(a2u: RunA2U, tmp_path: Path) -> None:
    photo(tmp_path / "images" / "x.png")
    trimap(tmp_path / "alpha" / "x.png")
    before = held(tmp_path)
    found = a2u("batch", tmp_path / "images", "--trimaps", tmp_path / "alpha", "-o", tmp_path)
    assert found.code == 2
    assert held(tmp_path) == before


def test_a_link_to_an_input_is_no_place_for_an_output(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    (tmp_path / "out" / "alpha").mkdir(parents=True)
    (tmp_path / "out" / "alpha" / "x.png").symlink_to(tmp_path / "in" / "x.png")
    before = held(tmp_path / "in")
    found = a2u("batch", tmp_path / "in", "-o", tmp_path / "out", "--force")
    assert found.code == 2 and "is an input of this run" in last(found)
    assert held(tmp_path / "in") == before


def test_a_background_is_not_replaced_by_a_composite(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    photo(tmp_path / "composite" / "x.png", 9)
    before = held(tmp_path)
    options = ("--save", "composite", "-b", tmp_path / "composite", "-o", tmp_path, "--force")
    found = a2u("batch", tmp_path / "in", *options)
    assert found.code == 2 and "is an input of this run" in last(found)
    assert held(tmp_path) == before


def test_what_the_journal_does_not_know_is_kept_unless_forced(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path / "in", "x", "y")
    mask(tmp_path / "out" / "alpha" / "x.png")  # made by hand
    before = held(tmp_path / "out")
    found = a2u("batch", tmp_path / "in", "-o", tmp_path / "out")
    assert (found.code, last(found)) == (1, "1 done, 0 skipped, 1 failed, 0 without a trimap")
    assert "x.png is there and is no result of a run" in found.stderr
    assert before.items() <= held(tmp_path / "out").items()
    found = a2u("batch", tmp_path / "in", "-o", tmp_path / "out", "--force")
    assert (found.code, last(found)) == (0, "1 done, 1 skipped, 0 failed, 0 without a trimap")


def test_a_matte_mended_by_hand_is_kept(tmp_path: Path) -> None:
    put(tmp_path / "in", "x", "y")
    out = tmp_path / "out"
    assert work(tmp_path / "in", out) == "done done"
    mask(out / "alpha" / "x.png")
    mended = held(out)
    for options in (Options(), Options(depth=16), Options(save=("alpha", "cutout"))):
        assert work(tmp_path / "in", out, options).startswith("failed ")
        assert held(out)["alpha/x.png"] == mended["alpha/x.png"]


def test_a_picture_that_cannot_have_all_its_results_keeps_what_was_there(
    a2u: RunA2U, tmp_path: Path
) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    for kind in ("cutout", "alpha"):  # a mask of somebody else, and a folder that none can replace
        mask(out / kind / "x.png")
    (out / "composite" / "x.png").mkdir(parents=True)
    before = {path: path.read_bytes() for path in out.rglob("*.png") if path.is_file()}
    words = ("--save", "composite,cutout,alpha", "-o", out, "--force")
    ended = a2u("batch", tmp_path / "in", *words)
    assert (ended.code, "x.png is a folder where a file has to go" in ended.stderr) == (1, True)
    assert {path: path.read_bytes() for path in before} == before


def test_what_else_is_saved_makes_only_that(tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    work(tmp_path / "in", out)
    os.utime(out / "alpha" / "x.png", (5, 5))
    assert work(tmp_path / "in", out, Options(save=("alpha", "cutout"))) == "done"
    assert (out / "alpha" / "x.png").stat().st_mtime == 5
    assert (out / "cutout" / "x.png").is_file()


def test_a_forced_output_keeps_its_mode_and_its_link(a2u: RunA2U, tmp_path: Path) -> None:
    photo(tmp_path / "p.png")
    mask(tmp_path / "m.png")
    real, link = tmp_path / "store" / "result.png", tmp_path / "result.png"
    mask(real)
    real.chmod(0o640)
    link.symlink_to("store/result.png")
    before = real.read_bytes()
    found = a2u("composite", tmp_path / "p.png", "-a", tmp_path / "m.png", "-o", link, "--force")
    assert found.code == 0, found.stderr
    assert link.is_symlink() and real.read_bytes() != before
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_link_to_nothing_is_there(a2u: RunA2U, tmp_path: Path) -> None:
    photo(tmp_path / "p.png")
    mask(tmp_path / "m.png")
    (tmp_path / "o.png").symlink_to("nowhere.png")
    found = a2u("cutout", tmp_path / "p.png", "-a", tmp_path / "m.png", "-o", tmp_path / "o.png")
    assert (found.code, "o.png exists" in found.stderr) == (2, True)
    assert not (tmp_path / "nowhere.png").exists()


@pytest.mark.parametrize("option", ["--json", "--csv", "--html"])
def test_a_report_replaces_nothing_unless_forced(a2u: RunA2U, tmp_path: Path, option: str) -> None:
    for folder in ("mattes", "truth"):
        mask(tmp_path / folder / "x.png")
    arguments = ("eval", tmp_path / "mattes", "--gt", tmp_path / "truth")
    report = tmp_path / "before.json"
    report.write_text('{"rows": []}')
    found = a2u(*arguments, option, report)
    assert (found.code, "before.json exists" in last(found)) == (2, True)
    found = a2u(*arguments, "--against", report, option, report, "--force")
    assert (found.code, "before.json is an input" in last(found)) == (2, True)
    found = a2u(*arguments, option, tmp_path / "truth" / "x.png", "--force")
    assert (found.code, "x.png is an input" in last(found)) == (2, True)
    assert report.read_text() == '{"rows": []}'
    assert a2u(*arguments, option, report, "--force").code == 0


@pytest.mark.parametrize("command", ["cutout", "composite", "trimap"])
def test_folders_of_results_go_on_as_a_batch_does(
    a2u: RunA2U, tmp_path: Path, command: str
) -> None:
    photos, mattes, out = tmp_path / "photos", tmp_path / "mattes", tmp_path / "out"
    for name in ("x", "y"):
        photo(photos / f"{name}.png")
        mask(mattes / f"{name}.png")
    mask(out / "y.png")  # made by hand
    by_hand = held(out)["y.png"]
    own = ("trimap", mattes, "--band", "2")
    arguments = own if command == "trimap" else (command, photos, "-a", mattes)
    found = a2u(*arguments, "-o", out)
    assert (found.code, last(found)) == (1, "1 done, 1 failed")
    assert held(out)["y.png"] == by_hand
    (out / "y.png").unlink()
    assert last(a2u(*arguments, "-o", out)) == "1 done, 1 skipped, 0 failed"
    before = held(out)
    other = np.where(np.arange(16) < 12, 0, 255).astype(np.uint8)[None].repeat(12, 0)
    write_image(mattes / "x.png", other)
    assert last(a2u(*arguments, "-o", out)) == "1 done, 1 skipped, 0 failed"
    assert held(out)["y.png"] == before["y.png"] and held(out)["x.png"] != before["x.png"]
    found = a2u(*arguments, "-o", mattes, "--force")
    assert (found.code, "is an input of this run" in last(found)) == (2, True)


def test_results_in_the_folder_of_the_pictures_are_no_pictures(a2u: RunA2U, tmp_path: Path) -> None:
    """B15"""
    shots, photos, mattes = (tmp_path / name for name in ("shots", "photos", "mattes"))
    put(shots, "x")
    for name in ("x", "y"):
        photo(photos / f"{name}.png"), mask(mattes / f"{name}.png")
    batch = ("batch", shots, "-o", shots, "--save", "alpha,cutout,composite")
    cutout = ("cutout", photos, "-a", mattes, "-o", photos / "cutouts")
    assert last(a2u(*batch)) == "1 done, 0 skipped, 0 failed, 0 without a trimap"
    assert last(a2u(*batch)) == "0 done, 1 skipped, 0 failed, 0 without a trimap"
    for end in ("2 done, 0 failed", "2 skipped, 0 failed"):
        found = a2u(*cutout)
        assert found.code == 0 and last(found).endswith(end)


def test_a_render_replaces_nothing_that_it_did_not_write(a2u: RunA2U, tmp_path: Path) -> None:
    arguments = ("render", tmp_path, "--count", "1", "--kinds", "hard", "--size", "64")
    assert a2u(*arguments).code == 0
    (made,) = tmp_path.glob("*.webp")
    journal = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").unlink()
    assert a2u(*arguments).code == 0  # the same bytes, as a kill leaves them without their line
    assert (tmp_path / "journal.jsonl").read_bytes() == journal
    (tmp_path / "journal.jsonl").unlink()
    made.write_bytes(b"mine")
    found = a2u(*arguments)
    assert (found.code, "was not rendered by a run in this folder" in last(found)) == (2, True)
    assert made.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["weights.safetensors", "preview.png", "curve.jsonl"])
def test_a_training_replaces_no_file_of_others(a2u: RunA2U, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    found = a2u("train", tmp_path, "--steps", "1", "--size", "32", "--batch", "2")
    assert (found.code, "no training has begun in" in last(found)) == (2, True)
    assert (tmp_path / name).read_bytes() == b"mine"


# The journal tells the truth


def test_what_lies_there_decides_and_not_the_order_of_journals(tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    deep = Options(depth=16)
    assert work(tmp_path / "in", out) == "done"
    assert work(tmp_path / "in", out, deep, "journal-1-of-1.jsonl") == "done"
    assert work(tmp_path / "in", out) == "done"  # not skipped: what was there had 16 bits
    assert read_image(out / "alpha" / "x.png").depth == 8
    assert work(tmp_path / "in", out) == "skipped"


def test_a_kill_between_line_and_files_is_seen(tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    work(tmp_path / "in", out)
    before = held(out)
    work(tmp_path / "in", out, Options(depth=16))
    (out / "alpha" / "x.png").write_bytes(before["alpha/x.png"])  # the new file was never there
    assert work(tmp_path / "in", out, Options(depth=16)) == "done"
    assert read_image(out / "alpha" / "x.png").depth == 16


def test_another_background_picture_makes_the_composite_anew(tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    behind = tmp_path / "b.png"
    photo(behind, 3)
    options = Options(save=("alpha", "composite"), background=str(behind))
    assert work(tmp_path / "in", tmp_path / "out", options) == "done"
    assert work(tmp_path / "in", tmp_path / "out", options) == "skipped"
    photo(behind, 4)
    assert work(tmp_path / "in", tmp_path / "out", options) == "done"


def test_a_trimap_that_becomes_a_mask_is_something_else(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "x.png")
    trimap(tmp_path / "in" / "x_trimap.png")
    assert work(tmp_path / "in", tmp_path / "out") == "done"
    (tmp_path / "in" / "x_trimap.png").rename(tmp_path / "in" / "x_mask.png")
    assert work(tmp_path / "in", tmp_path / "out") == "done"


def test_an_emptied_output_is_made_again(tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    work(tmp_path / "in", out)
    before = held(out)
    (out / "alpha" / "x.png").write_bytes(b"")
    assert work(tmp_path / "in", out) == "done"
    assert held(out) == before


@pytest.mark.parametrize(
    ("there", "coming", "together"),
    [
        ((1, 1), (1, 1), False),
        ((1, 1), (1, 2), False),
        ((1, 2), (1, 1), False),
        ((1, 2), (2, 3), False),
        ((1, 2), (1, 2), False),
        ((1, 2), (2, 2), True),
    ],
)
def test_only_parts_of_one_whole_work_side_by_side(
    tmp_path: Path, there: tuple[int, int], coming: tuple[int, int], together: bool
) -> None:
    from a2u_cli.commands.batch import _Work

    first, second = (_Work(tmp_path, *part, force=False, no_lock=False) for part in (there, coming))
    with locked(tmp_path, first.journal, beside=first.beside):
        part = tmp_path / "alpha" / ".a2u-1-0123456789abcdef.part"
        part.parent.mkdir()
        part.touch()
        if together:
            with locked(tmp_path, second.journal, beside=second.beside):
                assert part.exists()
        else:
            with (
                pytest.raises(A2UError, match="another run is at work"),
                locked(tmp_path, second.journal, beside=second.beside),
            ):
                pass
            assert part.exists()
    with locked(tmp_path, second.journal, beside=second.beside):
        assert not part.exists()


@pytest.mark.parametrize("link", ["out/alpha/x.png", "out/alpha"])
def test_what_a_kill_leaves_behind_a_link_is_swept_by_the_same_folders_next_run(
    tmp_path: Path, link: str
) -> None:
    far, place = tmp_path / "far" / "in" / "x.png", tmp_path / "out" / "alpha" / "x.png"
    mask(far), (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(far if link.endswith(".png") else far.parent)
    writing = replacing(place, root=tmp_path / "out")
    writing.__enter__().write_bytes(b"half of it")  # and there the kill comes
    for folder in (tmp_path / "far", far.parent):
        with locked(folder, JOURNAL):
            pass  # a run of somebody else
    assert len([*far.parent.glob(".a2u-*.part")]) == 1
    with locked(tmp_path / "out", JOURNAL):
        assert not list(tmp_path.rglob("*.part")) and place.samefile(far)


def test_a_sweep_follows_no_link_to_a_file_of_another_name(tmp_path: Path) -> None:
    mask(tmp_path / "mine.png")
    (tmp_path / "out").mkdir()
    link = tmp_path / "out" / ".a2u-0-0123456789abcdef.part"
    link.symlink_to(tmp_path / "mine.png")
    with locked(tmp_path / "out", JOURNAL):
        assert not link.is_symlink() and (tmp_path / "mine.png").exists()


def test_only_what_this_folders_runs_left_is_swept(tmp_path: Path) -> None:
    kept = [".x.part", ".0123.part", "alpha/.download.part", "alpha/.a2u-0-0123456789abcdef.part"]
    kept += [".a2u-1-0123456789abcdef.part", "alpha/.a2u-0123456789abcdef.part"]
    swept = ["alpha/.a2u-1-0123456789abcdef.part", "alpha/deep/.a2u-2-0123456789abcdef.part"]
    for name in (*kept, *swept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with locked(tmp_path, JOURNAL), replacing(tmp_path / "alpha" / "x", root=tmp_path) as place:
        assert place.name.startswith(".a2u-1-")
        place.touch()
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in swept)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks_is_told_and_gone_on_with(
    a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path / "in", "x")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    found = a2u("batch", tmp_path / "in")
    assert (found.code, "without file locks" in last(found)) == (2, True)
    assert "--no-lock" in last(found) and "Warning" not in found.stderr
    assert a2u("batch", tmp_path / "in", "--no-lock").code == 0


def test_a_folder_or_a_link_at_the_place_of_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "one" / ".a2u.lock").mkdir(parents=True)
    (tmp_path / "two").mkdir(), (tmp_path / "two" / ".journal.jsonl.lock").symlink_to("../diary")
    for name in ("one/.a2u.lock", "two/.journal.jsonl.lock"):
        place = tmp_path / name
        with (
            pytest.raises(A2UError, match=f"{place} cannot be written"),
            locked(place.parent, JOURNAL),
        ):
            pass
    assert not (tmp_path / "diary").exists()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["a folder", "a link", "a pipe"])
@pytest.mark.parametrize("name", [JOURNAL, "journal-1-of-2.jsonl"])
def test_a_journal_that_is_no_file_is_one_line(tmp_path: Path, kind: str, name: str) -> None:
    make = {
        "a folder": Path.mkdir,
        "a link": lambda path: path.symlink_to(tmp_path / "diary"),
        "a pipe": os.mkfifo,
    }
    (tmp_path / "diary").write_text("mine")
    make[kind](tmp_path / name)
    with pytest.raises(A2UError, match=f"{name} is {kind}, expected a file, the journal"):
        Journal(tmp_path)
    assert (tmp_path / "diary").read_text() == "mine"


OTHERS = {
    "lines of JSON": b'{"name": "root", "level": "INFO"}\n{"name": "x", "state": 3}\n',
    "a diary": b"Monday: shot 200 pictures\n",
    "a number": b"7",
    "a render": b'{"name": "hair_000001", "files": [], "order": {}, "record": {}}\n',
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_journal_of_another_program_is_never_changed(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "in", "x")
    out = tmp_path / "out"
    out.mkdir()
    (out / JOURNAL).write_bytes(OTHERS[kind])
    with pytest.raises(
        JournalError, match=r"journal\.jsonl is no journal of a2u, expected none or"
    ):
        work(tmp_path / "in", out)
    assert (out / JOURNAL).read_bytes() == OTHERS[kind] and not held(out)
    assert work(tmp_path / "in", out, journal="journal-1-of-1.jsonl") == "done"


def test_no_command_changes_a_journal_of_another_program(a2u: RunA2U, tmp_path: Path) -> None:
    put(tmp_path / "in", "x")
    mask(tmp_path / "mattes" / "x.png")
    commands = {
        "batch": (tmp_path / "in", "--force", "-o"),
        "cutout": (tmp_path / "in", "-a", tmp_path / "mattes", "--force", "-o"),
        "trimap": (tmp_path / "mattes", "--force", "-o"),
        "render": ("--count", "1"),
    }
    text = OTHERS["a diary"]
    (tmp_path / JOURNAL).write_bytes(text)
    for command, arguments in commands.items():
        found = a2u(command, *arguments, tmp_path)
        whose = "a render" if command == "render" else "a2u"
        assert (found.code, f"is no journal of {whose}" in last(found)) == (2, True)
        assert (tmp_path / JOURNAL).read_bytes() == text


@pytest.mark.parametrize("text", [b"", b'{"na', b'{"name": "x", "state": "do', b"\0" * 50, b"\n"])
def test_a_first_line_that_a_kill_tore_is_gone_on_from(tmp_path: Path, text: bytes) -> None:
    put(tmp_path / "in", "x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_bytes(text)
    assert work(tmp_path / "in", tmp_path / "out") == "done"
    assert work(tmp_path / "in", tmp_path / "out") == "skipped"


@pytest.mark.parametrize("place", ["../in/y.png", "/x", "alpha/../../in/y.png"])
def test_a_journal_names_nothing_outside_its_folder(tmp_path: Path, place: str) -> None:
    put(tmp_path / "in", "x", "y")
    (tmp_path / "in" / "out").mkdir()
    line = {"name": "x", "state": "done", "outputs": [place.replace("/in", "")]}
    (tmp_path / "in" / "out" / JOURNAL).write_text(json.dumps(line) + "\n")
    assert find_results(tmp_path / "in") == frozenset()


@pytest.mark.parametrize("kind", ["pictures", "masks"])
def test_own_results_beside_what_they_were_made_of_are_nothing_to_begin_with(
    a2u: RunA2U, tmp_path: Path, kind: str
) -> None:
    """As `shots/alpha/x.jpg`, the mask, and `shots/alpha/x.png`, what was made with it."""
    photo(tmp_path / "images" / "x.jpg"), photo(tmp_path / "images" / "y.jpg")
    mask(tmp_path / "alpha" / "x.jpg"), trimap(tmp_path / "images" / "y_trimap.png")
    arguments = ["batch", tmp_path / "images", "--masks", tmp_path / "alpha", "--band", "2"]
    if kind == "pictures":
        (tmp_path / "images").rename(tmp_path / "composite")
        arguments[1] = tmp_path / "composite"
        arguments += ["--save", "alpha,composite"]
    for end in ("2 done, 0 skipped", "0 done, 2 skipped"):
        found = a2u(*arguments, "-o", tmp_path)
        assert (found.code, last(found)) == (0, f"{end}, 0 failed, 0 without a trimap")
    (Path(arguments[1]) / "y_trimap.png").unlink()
    found = a2u(*arguments, "-o", tmp_path)  # its own matte is no mask for it
    assert (found.code, last(found)) == (1, "0 done, 1 skipped, 0 failed, 1 without a trimap")


@pytest.mark.parametrize("command", ["cutout", "trimap"])
def test_own_results_beside_mattes_are_no_mattes(a2u: RunA2U, tmp_path: Path, command: str) -> None:
    photo(tmp_path / "photos" / "x.jpg"), mask(tmp_path / "mattes" / "x.jpg")
    mattes = tmp_path / "mattes"
    cutout, made = ("cutout", tmp_path / "photos", "-a", mattes), ("trimap", mattes, "--band", "2")
    for end in ("1 done, 0 failed", "0 done, 1 skipped, 0 failed"):
        found = a2u(*(made if command == "trimap" else cutout), "-o", mattes)
        assert (found.code, last(found)) == (0, end)


def test_what_another_part_writes_meanwhile_is_no_picture(
    a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "x", "y")
    words = ("batch", tmp_path, "-o", tmp_path / "out")

    def find_late(folder: Path, **known: Any) -> Pairs:
        part = work(tmp_path, tmp_path / "out", journal="journal-2-of-2.jsonl")
        assert part == "done done"
        return find_pairs(folder, **known)

    monkeypatch.setattr("a2u_cli.pairing.find_pairs", find_late)
    found = a2u(*words, "--shard", "1/2", "--dry-run")
    assert (found.code, "0 without a trimap" in found.stderr) == (0, True), found.stderr


def test_no_part_begins_where_an_output_of_another_is_an_input(a2u: RunA2U, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    photo(shots / "images" / "x.png")
    mask(shots / "alpha" / "x.png")
    put(shots / "images", "y")
    before = held(shots)
    for part in ("1/2", "2/2"):
        words = ("batch", shots / "images", "--masks", shots / "alpha", "-o", shots)
        ended = a2u(*words, "--shard", part)
        assert (ended.code, "is an input of this run" in last(ended)) == (2, True)
    assert held(shots) == before
