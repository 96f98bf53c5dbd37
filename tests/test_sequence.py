"""A sequence ends with every frame matted or explained, as if nothing had happened on the way."""

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from moving import SIDE, Frame, moving, put

from a2u_cli.errors import Interrupted, OutOfMemory
from a2u_cli.images import read_grey, write_image
from a2u_cli.images.files import locked
from a2u_cli.images.frames import find_frames, find_keys
from a2u_cli.jobs.journal import JOURNAL, Journal, Outcome
from a2u_cli.jobs.options import Options
from a2u_cli.jobs.places import Places
from a2u_cli.jobs.scouting import Scout, Scouted
from a2u_cli.jobs.sequence import Making, run_sequence
from a2u_cli.matting.steadying import REACH
from a2u_cli.trimap import read_trimap

Matte = Callable[[np.ndarray, np.ndarray], np.ndarray]
COUNT = 9


def rough_matte(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """Stand in for the network: brightness where it is unknown."""
    return np.where(trimap == 128, image.mean(2), trimap / np.float32(255)).astype(np.float32)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return moving(COUNT)


@pytest.fixture
def shot(tmp_path: Path, frames: list[Frame]) -> Path:
    return put(tmp_path, frames, keys=(1, COUNT))


def scout(shot: Path, memory: int = 10**9) -> list[Scouted]:
    keys = find_keys(shot / "keys")
    frames = find_frames(shot / "frames")
    return list(
        Scout(
            frames,
            frozenset(keys.numbers),
            lambda number: read_trimap(keys.file(number)),
            memory=memory,
        ).walk()
    )


def work(
    shot: Path,
    *,
    out: str = "out",
    matte: Matte = rough_matte,
    stop_after: int = 10**6,
    **making: bool,
) -> list[Outcome]:
    folder, frames = shot / out, find_frames(shot / "frames")
    options = Options(save=("alpha", "cutout"), depth=16)
    found: list[Outcome] = []
    with locked(folder, JOURNAL):
        places = Places(Journal(folder), frames.files)
        run = run_sequence(scout(shot), Making(frames, folder, matte, options, places, **making))
        for outcome in run:
            found.append(outcome)
            if len(found) == stop_after:
                run.close()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def states(outcomes: list[Outcome]) -> str:
    return "".join(outcome.state[0] for outcome in outcomes)


def test_frames_keep_their_names_and_numbers(shot: Path) -> None:
    outcomes = work(shot, saves_trimaps=True)
    names = [f"plate.{number:04}" for number in range(1, COUNT + 1)]
    assert [outcome.name for outcome in outcomes] == names
    written = contents(shot / "out")
    assert sorted(written) == sorted(
        [f"{kind}/{name}.png" for kind in ("alpha", "cutout") for name in names]
        + [f"trimap/{name}.png" for name in names[1:-1]]
    )
    assert states(work(shot, saves_trimaps=True)) == "s" * COUNT
    assert contents(shot / "out") == written


def test_off_it_is_what_matting_each_frame_gives(shot: Path) -> None:
    work(shot, steadied=False)
    for known in scout(shot):
        assert known.trimap is not None
        image = shot / "frames" / f"plate.{known.number:04}.png"
        expected = shot / "alone.png"
        with find_frames(shot / "frames").reading() as reader:
            write_image(
                expected, rough_matte(reader.read(known.number).image, known.trimap), depth=16
            )
        assert expected.read_bytes() == (shot / "out/alpha" / image.name).read_bytes()


def test_steadied_mattes_flicker_less(shot: Path) -> None:
    rng = np.random.default_rng(1)

    def noisy(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        alpha = rough_matte(image, trimap)
        noise = np.where(trimap == 128, 0.1 * rng.standard_normal(alpha.shape), 0)
        return np.clip(alpha + noise, 0, 1).astype(np.float32)

    def flicker(out: str) -> float:
        mattes = [read_grey(path) for path in sorted((shot / out / "alpha").iterdir())]
        return float(np.mean([np.square(b - a).mean() for a, b in itertools.pairwise(mattes)]))

    work(shot, out="alone", matte=noisy, steadied=False)
    work(shot, out="steady", matte=noisy)
    assert flicker("steady") < 0.7 * flicker("alone")


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_run_that_was_stopped_ends_in_the_same_bytes(shot: Path, stop_after: int) -> None:
    work(shot, out="whole", saves_trimaps=True)
    work(shot, stop_after=stop_after, saves_trimaps=True)
    assert len(contents(shot / "out")) < len(contents(shot / "whole"))
    (shot / "out/alpha/plate.0001.png").unlink()
    outcomes = work(shot, saves_trimaps=True)
    assert "s" in states(outcomes) or stop_after == 1
    assert "d" in states(outcomes)
    assert contents(shot / "out") == contents(shot / "whole")


def test_only_what_a_changed_frame_reaches_is_made_again(shot: Path, frames: list[Frame]) -> None:
    put(shot, frames, keys=tuple(range(1, COUNT + 1)))  # so that no trimap depends on it
    work(shot)
    write_image(shot / "frames/plate.0005.png", frames[3].image)
    kept = "s" * (4 - REACH)
    assert states(work(shot)) == kept + "d" * (2 * REACH + 1) + kept


def test_a_frame_that_cannot_be_read_is_named_and_isolated(shot: Path) -> None:
    broken = shot / "frames/plate.0005.png"
    broken.write_bytes(broken.read_bytes()[:200])
    outcomes = work(shot)
    assert states(outcomes) == "ddddfdddd"
    assert "plate.0005.png is truncated or damaged" in outcomes[4].reason
    runs = [known.run for known in scout(shot)]
    assert runs[3] < runs[4] < runs[5] == runs[6]  # nothing is averaged across it


def test_nothing_is_averaged_across_a_gap(shot: Path) -> None:
    (shot / "frames/plate.0005.png").unlink()
    assert states(work(shot)) == "d" * (COUNT - 1)
    runs = [known.run for known in scout(shot)]
    assert runs[3] < runs[4]


def test_a_cut_is_found_and_never_crossed(tmp_path: Path, frames: list[Frame]) -> None:
    shot = put(tmp_path, frames[:4], keys=(1,))
    put(tmp_path, moving(4, seed=5), first=5)
    outcomes = work(shot)
    assert states(outcomes) == "ddddffff"
    assert outcomes[4].reason == (
        "no frame of its shot, from 5 on, has a trimap; draw one for any of them"
    )
    put(tmp_path, moving(4, seed=5), first=5, keys=(7,))
    assert states(work(shot)) == "ssssdddd"
    runs = [known.run for known in scout(shot)]
    assert runs[3] < runs[4] == runs[7]


def test_a_key_that_does_not_fit_fails_alone(shot: Path) -> None:
    write_image(shot / "keys/plate.0004.png", np.full((5, 5), 128, np.uint8))
    outcomes = work(shot)
    assert states(outcomes) == "dddfddddd"
    assert (
        "the trimap of frame 4 is 5x5 but plate.0004 is 128x128; resize one" in outcomes[3].reason
    )


def test_a_frame_without_anything_unknown_is_its_trimap(shot: Path, frames: list[Frame]) -> None:
    write_image(shot / "keys/plate.0001.png", np.zeros(frames[0].trimap.shape, np.uint8))

    def strict(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        assert (trimap == 128).any()
        return rough_matte(image, trimap)

    assert states(work(shot, matte=strict)) == "d" * COUNT
    assert not read_grey(shot / "out/alpha/plate.0001.png").any()


def test_a_frame_that_fails_leaves_the_others(shot: Path) -> None:
    count = iter(range(COUNT))

    def short(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        if next(count) == 3:
            raise OutOfMemory("too large")
        return rough_matte(image, trimap)

    outcomes = work(shot, matte=short, steadied=False)
    assert states(outcomes) == "dddfddddd"
    assert outcomes[3].reason == "too large"


def test_too_many_frames_between_two_keys_are_refused(shot: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"wait for a trimap and take .* give more key frames"):
        scout(shot, memory=400_000)


def test_the_command_makes_what_it_is_asked_for(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame]
) -> None:
    shot = put(tmp_path, frames[:3], keys=(1, 3))
    command = (shot / "frames/plate.####.png", "--trimaps", shot / "keys", "-o", shot / "out")
    run = a2u("sequence", *command, "--save", "alpha,composite", "--save-trimaps")
    assert run.code == 0
    assert "3 frames, 1 to 3, 2 trimaps" in run.stderr
    assert "3 done, 0 skipped, 0 failed" in run.stderr
    assert len(contents(shot / "out")) == 3 + 3 + 1
    assert "3 skipped" in a2u("sequence", *command, "--save", "alpha").stderr
    made = shot / "out/trimap"
    run = a2u("sequence", *command[:1], "--trimaps", made, "-o", shot / "fed back")
    assert run.code == 0
    assert "3 frames, 1 to 3, 1 trimaps" in run.stderr


def test_masks_stand_in_for_trimaps(a2u: RunA2U, tmp_path: Path, frames: list[Frame]) -> None:
    shot = put(tmp_path, frames[:2])
    write_image(shot / "masks/plate.0001.png", (frames[0].alpha > 0.5).astype(np.float32))
    run = a2u("sequence", shot / "frames", "--masks", shot / "masks", "-o", shot / "out")
    assert run.code == 0, run.stderr
    assert "2 frames, 1 to 2, 1 masks" in run.stderr


def test_keys_mean_the_same_in_every_frame(
    a2u: RunA2U, tmp_path: Path, frames: list[Frame]
) -> None:
    """Of the frame that the object has nearly left alone, its levels would be labels."""
    shot = put(tmp_path, frames[:3])
    for number, levels in enumerate(([0, 1, 2], [0, 1, 1], [0, 0, 0]), 1):
        columns = np.repeat(np.array(levels, np.uint8), [64, 10, SIDE - 74])
        write_image(shot / f"keys/p.{number}.png", np.tile(columns, (SIDE, 1)))
        faint = np.where(columns == 2, 255, 5 * columns).astype(np.uint8)
        write_image(shot / f"masks/p.{number}.png", np.tile(faint, (SIDE, 1)))
    words = ("sequence", shot / "frames", "--no-steady", "-o")
    run = a2u(*words, shot / "out", "--trimaps", shot / "keys")
    assert run.code == 0, run.stderr
    alphas = [read_grey(path) for path in sorted((shot / "out/alpha").iterdir())]
    assert (alphas[0][:, 74:] == 1).all()
    assert "p.2.png: its levels are taken as labels: 0 as 0, 1 as 0.5, 2 as 1" in run.stderr
    assert not alphas[2].any()
    run = a2u(*words, shot / "masked", "--masks", shot / "masks", "--band", "2px")
    assert run.code == 0, run.stderr
    alphas = [read_grey(path) for path in sorted((shot / "masked/alpha").iterdir())]
    assert (alphas[0][:, 80:] == 1).all()
    assert not alphas[1].any()  # 5 of 255 is no object
    assert not alphas[2].any()


def test_gaps_and_strange_keys_are_named(a2u: RunA2U, shot: Path, frames: list[Frame]) -> None:
    for number in range(2, COUNT):
        (shot / f"frames/plate.{number:04}.png").unlink()
    write_image(shot / "keys/plate.0999.png", frames[0].trimap)
    run = a2u("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", shot / "out")
    assert run.code == 0
    assert "no frame 2-8: the numbers leave it out" in run.stderr
    assert f"no frame of this number: {shot / 'keys/plate.0999.png'}" in run.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": "plate.###.png"}, "matches no file, expected numbered pictures"),
        ({"frames": "nothing"}, "does not exist, expected a folder of numbered pictures"),
        ({"--trimaps": None}, "give what is known of some frames: either --trimaps, or --masks"),
        ({"--masks": "keys"}, "either --trimaps, or --masks"),
        ({"--trimaps": "elsewhere"}, "has no frame of the sequence, expected numbers from 1 to 9"),
        ({"--film": "out.mov"}, "made of the cut-outs, which are not saved; add cutout"),
        ({"--film": "out.mp4", "--save": "cutout"}, "is not named .mov"),
        ({"--film": "out.mov", "--rate": "x"}, "rate 'x' cannot be read"),
        ({"--rate": "24"}, "--rate would do nothing: it is a film's; give its name by --film"),
        ({"--band": "3"}, "--band would do nothing: drawn trimaps are taken as they are"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    a2u: RunA2U, shot: Path, frames: list[Frame], change: dict[str, str | None], words: str
) -> None:
    write_image(shot / "elsewhere/plate.0099.png", frames[0].trimap)
    options = {"--trimaps": "keys", "-o": "out"} | change
    source = shot / str(options.pop("frames", "frames"))
    paths = {"--trimaps", "--masks", "-o", "--film"}
    given = [
        part
        for name, value in options.items()
        if value is not None
        for part in (name, shot / value if name in paths else value)
    ]
    run = a2u("sequence", source, *given)
    assert run.code == 2
    assert words in run.stderr.splitlines()[-1]
    assert not (shot / "out").exists()


def test_without_ffmpeg_a_film_is_refused_in_one_line(
    a2u: RunA2U, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    film = shot / "film.mov"
    film.write_bytes(b"a film")
    options = ("--trimaps", shot / "keys", "-o", shot / "out")
    for words in (
        (film, *options),
        (shot / "frames", *options, "--save", "cutout", "--film", "x.mov"),
    ):
        run = a2u("sequence", *words)
        assert run.code == 2
        assert "which is not installed, expected it on the PATH; install ffmpeg" in run.stderr
        assert len(run.stderr.splitlines()) == 1


def test_a_full_disk_fails_frames_and_leaves_nothing_half_written(
    a2u: RunA2U, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    run = a2u("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", shot / "out")
    assert run.code != 0
    assert os.strerror(errno.ENOSPC) in run.stderr
    assert "Traceback" not in run.stderr
    assert contents(shot / "out") == {}


def test_an_interrupt_ends_in_one_line_and_the_command_goes_on(
    a2u: RunA2U, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a2u_cli.jobs import sequence

    count = iter(range(COUNT))
    make = sequence._make

    def stop(*arguments: object) -> object:
        if next(count) == 5:
            raise Interrupted("stopped")
        return make(*arguments)  # type: ignore[arg-type]

    command = ("sequence", shot / "frames", "--trimaps", shot / "keys", "-o", shot / "out")
    with monkeypatch.context() as patch:
        patch.setattr(sequence, "_make", stop)
        run = a2u(*command)
    assert run.code == 130
    last = run.stderr.splitlines()[-1]
    assert last.endswith("of 9 frames; the same command goes on from there")
    run = a2u(*command)
    assert run.code == 0
    assert "0 failed" in run.stderr
    assert len(contents(shot / "out")) == COUNT
