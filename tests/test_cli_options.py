"""Every option acts or is refused in words, before any work is done."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.images import write_image


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Path, weights: Path
) -> Path:
    """A picture with a trimap, a mask, a matte; a cut-out; a folder of one; truth to score with."""
    image = np.random.default_rng(3).random((12, 16, 3), np.float32)
    trimap = np.full((12, 16), 128, np.uint8)
    trimap[:, :4], trimap[:, 12:] = 0, 255
    mask = np.where(np.arange(16) < 8, 0, 255).astype(np.uint8)[None].repeat(12, 0)
    for name, array in (
        *(("p.png", image), ("t.png", trimap), ("m.png", mask), ("photos/p.png", image)),
        *(("photos/p_trimap.png", trimap), ("truth/p.png", mask), ("mattes/p.png", mask)),
        ("cut.png", np.dstack([image, mask / np.float32(255)])),
    ):
        write_image(tmp_path / name, array)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    return tmp_path


MATTE = "matte p.png -t t.png"
MASKED = "matte p.png --mask m.png"
LAID = "composite p.png -a m.png"
CASES = {  # a command, options that it cannot follow, what it says
    (MATTE, "--band 3"): "--band would do nothing: a drawn trimap is taken as it is",
    (MATTE, "--inside 3 --outside 4"): "--inside, --outside would do nothing",
    (MATTE, "--mask m.png"): "either --trimap, or --mask",
    (MATTE, "--quality good"): "expected auto, fast, refined or best",
    (MATTE, "--depth 16 -o x.jpg"): "JPEG cannot hold 16 bits",
    (MATTE, "--depth 9 -o -"): "depth 9 was asked for, expected 8, 16 or 32",
    (MATTE, "--cutout x.jpg"): "JPEG cannot hold transparency",
    (MASKED, "--strict"): "--strict would do nothing: it is about the greys of a drawn --trimap",
    (MASKED, "--band 3 --inside 1 --outside 2"): "--inside and --outside say it all",
    (MASKED, "--band wide"): "is no width",
    ("matte - --mask -", ""): "stdin holds one",
    ("trimap m.png", "--band 3 --inside 1 --outside 2"): "--inside and --outside say it all",
    ("trimap check t.png", "--image m.png --strict"): "No such option: --strict",
    ("trimap check mattes", "--image p.png"): "--image would do nothing",
    (LAID, "--fit cover"): "--fit would do nothing: it is how a background picture fills",
    (LAID, "--fit wide"): "fit 'wide' is unknown; expected cover, contain, stretch or tile",
    (LAID, "-b p.png --fit wide"): "fit 'wide' is unknown",
    (LAID, "-b gradient --fit tile"): "'gradient' is none",
    (LAID, "--colours fast"): "expected multilevel or blur-fusion",
    (LAID, "--depth 16 -o x.jpg"): "JPEG cannot hold 16 bits",
    ("composite cut.png", "--colours multilevel"): "--colours would do nothing: a cut-out's own",
    ("cutout cut.png", "--colours blur-fusion"): "--colours would do nothing",
    ("composite photos", "--alpha m.png"): "m.png is no folder",
    ("cutout p.png", "--alpha mattes"): "mattes is a folder, expected a picture",
    ("batch photos", "--background red"): "--background would do nothing: no composite is saved",
    ("batch photos", "--save alpha,cutout --fit tile --linear"): "--fit, --linear would do nothing",
    ("batch photos", "--colours multilevel"): "--colours would do nothing: an alpha has no colours",
    ("batch photos", "--save composite --fit tile"): "--fit would do nothing",
    ("batch photos", "--save composite --fit wide"): "fit 'wide' is unknown",
    ("batch photos", "--save cutout --colours fast"): "expected multilevel or blur-fusion",
    (
        LAID,
        "--place top --scale 50%",
    ): "--place, --scale would do nothing: it is how a cut-out lies",
    (LAID, "--choke nan"): "a choke of nan pixels, expected from -50 (spread) to 50",
    ("cutout cut.png", "--crop 50%"): "padding '50%' cannot be had",
    (LAID, "--canvas 2000"): "canvas '2000' is no size; expected pixels as 2000x1500",
    (LAID, "--canvas 9x9 --place middle"): "place 'middle' is unknown; expected X,Y in pixels",
    (LAID, "--canvas 9x9 --scale 2"): "scale '2' cannot be had",
    (MATTE, "--levels 10,240"): "expected 0 <= black < white <= 1",
    (MATTE, "--feather -1"): "a feather of -1 pixels, expected from 0",
    ("batch photos", "--crop 5%"): "--crop would do nothing: mattes and foregrounds keep",
    ("batch photos", "--save foreground --choke 1"): "--choke would do nothing: foregrounds are",
    ("batch photos", "--dry-run --fail-fast"): "--fail-fast would do nothing",
    ("batch photos", "--shard 0/0"): "shard 0/0 does not exist; expected I/N, such as 2/8",
    ("batch photos", "--shard -1/-2"): "expected I/N",
    ("batch photos", "--shard 3/2"): "expected 1/2 to 2/2",
    ("batch photos", "--depth 9"): "depth 9",
    ("batch photos", "--band wide"): "is no width",
    ("batch photos", "--save composite -b nowhere.png"): "neither a file nor a colour",
    ("eval mattes --gt truth", "--images photos"): "--images would do nothing",
    ("eval mattes --gt truth", "--protocol dim2"): "expected dim or a2u",
    ("eval mattes --gt truth", "--csv - --json -"): "would mix on stdout",
    ("eval mattes --gt truth", "--html -"): "--html - is no file",
    ("train run", "--picture-share 0.3"): "--picture-share would do nothing",
    ("train run", "--grow-at 0.5 --grow-at 0.6 --grow-at 0.7"): "one share of training fewer",
    ("explain p.png -t t.png", "-o x.gif"): "expected one of .png",
}


@pytest.mark.parametrize(("case", "text"), CASES.items(), ids=[" ".join(case) for case in CASES])
def test_an_option_that_cannot_act_is_refused(
    run_a2u: RunA2U, folder: Path, case: tuple[str, str], text: str
) -> None:
    before = sorted(folder.rglob("*"))
    run = run_a2u(*" ".join(case).split())
    assert (run.code, run.stdout) == (2, b""), run.stderr
    assert text in run.stderr.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_a_band_without_masks_is_told_and_the_folder_done(run_a2u: RunA2U) -> None:
    run = run_a2u("batch", "photos", "--band", "3")
    assert run.code == 0
    assert "warning: --band does nothing here: no picture has a mask" in run.stderr
    assert "--band does nothing" not in run_a2u("batch", "photos").stderr


def test_a_mask_may_come_in_on_stdin(run_a2u: RunA2U, folder: Path) -> None:
    run = run_a2u(*MASKED.split(), "-o", "file.png", "--inside", "3", "--no-provenance")
    assert run.code == 0, run.stderr
    piped = run_a2u(
        *("matte", "p.png", "--mask", "-", "-o", "piped.png", "--inside", "3", "--no-provenance"),
        stdin=(folder / "m.png").read_bytes(),
    )
    assert piped.code == 0, piped.stderr
    assert (folder / "piped.png").read_bytes() == (folder / "file.png").read_bytes()


def test_the_plan_of_a_batch_is_there_for_machines(run_a2u: RunA2U) -> None:
    run = run_a2u("batch", "photos", "--dry-run", "--json")
    plan = json.loads(run.stdout)
    assert (plan["pictures"], plan["pixels"], plan["largest"]) == (1, 192, [12, 16])
    assert plan["unknown"] == 0.5
    assert plan["hours"] > 0 and plan["memory"] > 0


def test_a_comparison_is_told_beside_a_report_on_stdout(run_a2u: RunA2U) -> None:
    scored = ("eval", "mattes", "--gt", "truth", "--trimap", "photos")
    assert run_a2u(*scored, "--json", "r.json").code == 0
    run = run_a2u(*scored, "--json", "-", "--against", "r.json")
    assert json.loads(run.stdout)["counts"]["scored"] == 1
    assert "against: SAD 0.00 here, 0.00 there" in run.stderr
