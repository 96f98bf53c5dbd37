"""Manifests, rows in place of a folder: a bad row fails alone, a bad manifest is refused."""

import csv
import json
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.errors import A2UError
from a2u_cli.images import write_image
from a2u_cli.jobs.folder import shard
from a2u_cli.jobs.manifest import Manifest, read_manifest
from a2u_cli.jobs.rows import COLUMNS
from a2u_cli.pairing import Pair

GOOD = "photos/a.png,photos/a_trimap.png,,"


@pytest.fixture(autouse=True)
def photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Path, weights: Path
) -> Path:
    """Three pictures with trimaps, one with a mask; the working folder is the one above."""
    rng = np.random.default_rng(3)
    trimap = np.full((24, 40), 128, np.uint8)
    trimap[:, :8], trimap[:, -8:] = 0, 255
    for name in ("a", "b", "deep/ü, 1"):
        write_image(tmp_path / f"photos/{name}.png", rng.random((24, 40, 3), np.float32))
        write_image(tmp_path / f"photos/{name}_trimap.png", trimap)
    mask = np.where((np.arange(96) < 50) & (np.arange(72)[:, None] > 30), 255, 0).astype(np.uint8)
    write_image(tmp_path / "photos/m.png", rng.random((72, 96, 3), np.float32))
    write_image(tmp_path / "photos/m_mask.png", mask)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    return tmp_path / "photos"


def write(*rows: str, columns: str = "picture,trimap,mask,name", name: str = "m.csv") -> Path:
    """Write a manifest into the working folder."""
    path = Path(name)
    path.write_text("\n".join((columns, *rows)) + "\n", encoding="utf-8")
    return path


def contents(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.png")}


def reasons(manifest: Manifest) -> list[str]:
    return [f"{row.name}: {row.reason}" for row in manifest.failed]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_manifest_gives_what_its_folder_gives(a2u: RunA2U, tmp_path: Path, kind: str) -> None:
    words = ("plan", "photos", *(["--json"] if kind == "jsonl" else []))
    planned = a2u(*words)
    assert (planned.code, planned.stderr.count("trimaps beside the pictures")) == (0, 1)
    path = tmp_path / f"m.{'csv' if kind == 'parquet' else kind}"
    path.write_bytes(planned.stdout)
    if kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = [*csv.DictReader(planned.stdout.decode().splitlines())]
        rows = [{key: value or None for key, value in row.items()} for row in rows]
        parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "m.parquet")
        path = tmp_path / "m.parquet"
    assert a2u("batch", "photos", "-o", "folder", "--save", "alpha,cutout").code == 0
    run = ("batch", "--manifest", path, "-o", "rows", "--save", "alpha,cutout")
    first, again = a2u(*run), a2u(*run)
    assert (first.code, again.code) == (0, 0), first.stderr
    assert "4 skipped" in again.stderr and f"trimaps from {path}: 3" in first.stderr
    assert contents(Path("rows")) == contents(Path("folder")) and len(contents(Path("rows"))) == 8


def test_a_bad_row_fails_by_its_line_and_the_others_go_on(a2u: RunA2U) -> None:
    columns = "picture,trimap,mask,name,band,strict"
    bad = {
        "photos/none.png,photos/a_trimap.png,,,,": "photos/none.png cannot be read (No such file",
        "photos,photos/a_trimap.png,,../a,,": "name '../a' is no place below the output folder",
        "photos/a.png,photos/a_trimap.png,,/a,,": "name '/a' is no place below the output folder",
        "../a.png,photos/a_trimap.png,,,,": "is no place below the output folder",
        "/tmp/a.png,photos/a_trimap.png,,,,": "is not below ., expected a name for it",
        "photos/a.png,photos/a_trimap.png,photos/m_mask.png,,,": "has both trimap and mask",
        "photos/a.png,,,,,": "has neither trimap nor mask",
        ",photos/a_trimap.png,,,,": "has no picture",
        "photos/m.png,,photos/m_mask.png,,wide,": "band: band 'wide' is no width",
        "photos/a.png,photos/a_trimap.png,,,3,": "band would do nothing for a trimap",
        "photos/m.png,,photos/m_mask.png,,,yes": "strict would do nothing for a mask",
        "photos/a.png,photos/a_trimap.png,,,,maybe": "strict: 'maybe' is neither true nor false",
        "photos/a.png,photos/a_trimap.png": "it has 2 cells, expected 6",
        "photos/b.png,photos/b_trimap.png,,X,,": "line 2 has this name, too",
    }
    write("photos/a.png,photos/a_trimap.png,,x,,", *bad, columns=columns)
    found = a2u("batch", "--manifest", "m.csv", "-o", "out", "--json")
    assert (found.code, [*contents(Path("out"))]) == (1, ["alpha/x.png"])
    assert f"1 done, 0 skipped, {len(bad)} failed" in found.stderr
    for number, why in enumerate(bad.values(), 3):
        assert [line for line in found.stderr.splitlines() if f"m.csv line {number}:" in line]
        assert why in found.stderr
    states = [json.loads(line)["state"] for line in found.stdout.splitlines()]
    assert states.count("failed") == len(bad)


def test_lines_are_counted_where_a_cell_holds_a_new_line() -> None:
    write('photos/a.png,photos/a_trimap.png,,"x\ny"', "", "photos/none.png,,,")
    manifest = read_manifest(Path("m.csv"))
    assert [pair.name for pair in manifest.found] == ["x\ny"]
    assert reasons(manifest) == [
        "photos/none.png: m.csv line 5: it has neither trimap nor mask, expected one of them"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("picture,trimap,colour\n", "m.csv has the column 'colour', expected picture, trimap"),
        ("picture;trimap\n", "has the column 'picture;trimap', expected"),
        ("trimap,mask\n", "has no column 'picture'"),
        ("picture,trimap,trimap\n", "has the column 'trimap' twice"),
        ("picture,trimap,mask,name\n", "m.csv has no rows"),
        ("", "has no column 'picture'"),
        (f'picture,trimap,mask,name\n{GOOD}"x\n', "m.csv cannot be read (unexpected end of data)"),
        (f"picture,trimap,background,name\n{GOOD}\n", ""),
        ("picture,trimap,background\nphotos/a.png,photos/a_trimap.png,red\n", "no composite is"),
    ],
)
def test_a_bad_manifest_is_one_line(a2u: RunA2U, text: str, says: str) -> None:
    Path("m.csv").write_text(text)
    found = a2u("batch", "--manifest", "m.csv", "-o", "out")
    if says:
        assert (found.code, len(found.stderr.splitlines())) == (2, 1), found.stderr
        assert says in found.stderr and not Path("out").exists()
    else:
        assert found.code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("photos --manifest m.csv", "photos and --manifest m.csv were given; choose one"),
        ("", "expected a folder, or --manifest"),
        ("--manifest m.csv --masks photos", "--masks would do nothing: a manifest names them"),
        ("--manifest none.csv", "none.csv cannot be read (No such file"),
        ("--manifest photos/a.png", "a.png is no manifest, expected .csv, .jsonl, .parquet"),
        ("--manifest no.parquet", "no.parquet cannot be read"),
        ("--manifest no.jsonl", "line 1 of no.jsonl has the column 'file'"),
    ],
)
def test_what_is_no_manifest_is_refused(a2u: RunA2U, words: str, says: str) -> None:
    write(GOOD)
    Path("no.parquet").write_bytes(b"PAR1 or so")
    Path("no.jsonl").write_text('{"file": "photos/a.png"}\n')
    found = a2u("batch", *words.split())
    assert (found.code, says in found.stderr) == (2, True), found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_parquet_without_its_extra_says_what_to_install(
    a2u: RunA2U, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    Path("m.parquet").write_bytes(b"")
    found = a2u("batch", "--manifest", "m.parquet")
    assert (found.code, "pip install 'a2u-cli[parquet]'" in found.stderr) == (2, True)


def test_lines_of_json_may_hold_numbers_and_truths() -> None:
    rows: list[object] = [
        {"picture": "photos/m.png", "mask": "photos/m_mask.png", "band": 3, "invert": True},
        {"picture": "photos/a.png", "trimap": "photos/a_trimap.png", "strict": False, "mask": None},
        {"picture": 3, "trimap": "photos/a_trimap.png"},
        ["photos/a.png"],
    ]
    Path("m.jsonl").write_text("\n".join([*map(json.dumps, rows), "", "{torn"]))
    manifest = read_manifest(Path("m.jsonl"))
    assert [pair.own for pair in manifest.found] == [
        (("band", "3"), ("invert", True)),
        (("strict", False),),
    ]
    assert [reason.split(":")[0] for reason in reasons(manifest)] == [
        "3",
        "m.jsonl line 4",
        "m.jsonl line 6",
    ]


def test_a_row_is_made_with_its_own_options(a2u: RunA2U) -> None:
    """As a run with these options makes it, and it is done for them alone."""
    masked = "photos/m.png,photos/m_mask.png"
    write(f"{masked},x,2,red", f"{masked},y,,", columns="picture,mask,name,band,background")
    run = ("batch", "--manifest", "m.csv", "-o", "out", "--save", "alpha,composite")
    assert a2u(*run).code == 0
    assert "2 skipped" in a2u(*run).stderr
    alone = ("batch", "photos", "--save", "alpha,composite", "-o")
    assert a2u(*alone, "coloured", "--band", "2", "--background", "red").code == 0
    assert a2u(*alone, "plain").code == 0
    made = contents(Path("out"))
    for kind in ("alpha", "composite"):
        assert made[f"{kind}/x.png"] == contents(Path("coloured"))[f"{kind}/m.png"]
        assert made[f"{kind}/y.png"] == contents(Path("plain"))[f"{kind}/m.png"]
        assert made[f"{kind}/x.png"] != made[f"{kind}/y.png"]
    write(f"{masked},x,2,blue", f"{masked},y,,", columns="picture,mask,name,band,background")
    assert "1 done, 1 skipped" in a2u(*run).stderr


def test_paths_are_relative_to_the_manifest(a2u: RunA2U) -> None:
    write("a.png,a_trimap.png,,", name="photos/list.csv")
    found = a2u("batch", "--manifest", "photos/list.csv")
    assert (found.code, Path("photos/a2u_output/alpha/a.png").is_file()) == (0, True)


def test_an_input_is_never_an_output(a2u: RunA2U) -> None:
    Path("alpha").mkdir()
    Path("alpha/a.png").hardlink_to("photos/b_trimap.png")
    write(GOOD + "a", "photos/b.png,photos/b_trimap.png,,b")
    found = a2u("batch", "--manifest", "m.csv", "-o", ".", "--force")
    assert (found.code, "is an input of this run" in found.stderr) == (2, True)


def test_parts_share_a_manifest_and_one_of_them_tells_of_its_bad_rows(a2u: RunA2U) -> None:
    planned = a2u("plan", "photos").stdout.decode()
    Path("m.csv").write_text(planned + "photos/none.png,photos/a_trimap.png,,\n")
    run = ("batch", "--manifest", "m.csv", "-o", "out")
    codes = [a2u(*run, "--shard", f"{part}/2").code for part in (1, 2)]
    assert (codes, len(contents(Path("out")))) == ([1, 0], 4)
    assert "4 skipped, 1 failed" in a2u(*run).stderr


def test_a_dry_run_tells_of_bad_rows_and_fail_fast_stops_at_them(a2u: RunA2U) -> None:
    write(GOOD, "photos/none.png,photos/a_trimap.png,,")
    dry = a2u("batch", "--manifest", "m.csv", "-o", "out", "--dry-run", "--json")
    (row,) = json.loads(dry.stdout)["not_matted"]
    assert row["state"] == "failed" and "m.csv line 3" in row["reason"]
    fast = a2u("batch", "--manifest", "m.csv", "-o", "out", "--fail-fast")
    assert fast.code == 1 and not contents(Path("out"))


def test_a_plan_names_what_has_no_trimap(a2u: RunA2U) -> None:
    Path("photos/m_mask.png").unlink()
    found = a2u("plan", "photos")
    assert (found.code, found.stdout.count(b"\n")) == (1, 4)
    assert "no trimap or mask: photos/m.png" in found.stderr


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text_comes_through_a_plan(a2u: RunA2U) -> None:
    strange = os.fsdecode(b"photos/\xff")
    Path("photos/a.png").rename(f"{strange}.png")
    Path("photos/a_trimap.png").rename(f"{strange}_trimap.png")
    Path("m.csv").write_bytes(a2u("plan", "photos").stdout)
    pairs = read_manifest(Path("m.csv")).found
    assert Path(f"{strange}.png") in [pair.image for pair in pairs] and len(pairs) == 4


def test_rows_are_kept_as_text_and_become_pairs_one_at_a_time() -> None:
    count = 3000
    write(*(f"{GOOD}set{n % 7}/{n}" for n in range(count)))
    read_manifest(Path("m.csv"))  # what is imported for it is no part of it
    tracemalloc.start()
    found = read_manifest(Path("m.csv")).found
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * count, f"{held / count:.0f} bytes a row"
    pair = Pair("set2/2998", Path("photos/a.png"), Path("photos/a_trimap.png"), source="from m.csv")
    assert found[-2] == pair and pair in found and len(found) == count
    assert [p.name for p in shard(found, 3, 2000)] == ["set2/2", "set0/2002"]


def test_every_column_is_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs/scale.md").read_text(encoding="utf-8")
    assert all(f"`{column}`" in page for column in COLUMNS)


def test_a_manifest_that_is_a_pipe_is_refused() -> None:
    os.mkfifo("m.csv")
    with pytest.raises(A2UError, match="a pipe or a device, no file"):
        read_manifest(Path("m.csv"))
