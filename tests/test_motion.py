"""Trimaps are carried along by motion, never across a cut, and mattes steadied by neighbours."""

from itertools import pairwise

import numpy as np
import pytest
from moving import SIDE, moving, texture

from a2u_cli.matting.motion import is_cut, measure, reduce, warp
from a2u_cli.matting.propagation import propagate
from a2u_cli.matting.steadying import measure_step, steady


def test_motion_leads_from_each_pixel_to_its_place_in_the_other_picture() -> None:
    wide = texture(1, 2 * SIDE)
    first, second = wide[20:148, 20:148], wide[18:146, 23:151]  # 3 to the right, 2 up
    there, back = measure(reduce(first), reduce(second))
    inner = slice(12, -12), slice(12, -12)
    assert np.abs(there.flow[inner] - [-3, 2]).mean() < 0.2
    assert np.abs(back.flow[inner] - [3, -2]).mean() < 0.2
    assert there.error[inner].mean() < 0.2
    assert np.abs(warp(second, there.flow) - first)[inner].mean() < 0.01


def test_the_way_through_two_motions_is_their_sum() -> None:
    wide = texture(1, 2 * SIDE)
    pictures = [reduce(wide[20:148, at : at + 128]) for at in (10, 12, 14)]
    steps = [measure(*pair)[0] for pair in pairwise(pictures)]
    inner = slice(12, -12), slice(12, -12)
    assert np.abs(steps[0].then(steps[1]).flow[inner] - [-4, 0]).mean() < 0.3


def test_large_pictures_are_measured_small_and_motion_is_given_at_their_size() -> None:
    assert reduce(np.zeros((3000, 2000), np.float32)).shape == (1000, 666)
    there, _ = measure(*(np.zeros((20, 30), np.uint8),) * 2)
    assert there.at((60, 60)).flow.shape == (60, 60, 2)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (13, 13)])
def test_pictures_of_any_size_have_a_motion(size: tuple[int, int]) -> None:
    there, back = measure(*(np.zeros(size, np.uint8),) * 2)
    assert there.flow.shape == (*size, 2)
    assert not there.flow.any()
    assert not back.error.any()


def test_a_cut_is_told_from_motion_noise_and_a_flash() -> None:
    frames = [reduce(frame.image) for frame in moving(4, noise=0.04)]
    other = reduce(moving(1, seed=5)[0].image)
    assert not is_cut(frames[0], frames[1])
    assert not is_cut(frames[0], frames[3])
    assert not is_cut(frames[0], (0.6 * frames[1]).astype(np.uint8))
    assert is_cut(frames[0], other)
    grey = np.random.default_rng(0).normal(128, 3, (2, 90, 90)).clip(0, 255).astype(np.uint8)
    assert not is_cut(*grey)
    assert is_cut(frames[0], frames[1][:, :-1])  # another size


@pytest.mark.parametrize("keys", [(True, True), (True, False), (False, True)])
def test_made_trimaps_cover_what_is_soft_and_little_more(keys: tuple[bool, bool]) -> None:
    frames = moving(9)
    greys = [reduce(frame.image) for frame in frames]
    first, last = (
        f.trimap if k else None for f, k in zip((frames[0], frames[-1]), keys, strict=True)
    )
    made = list(propagate(greys, first, last, (SIDE, SIDE)))
    soft = [(frame.alpha > 0.01) & (frame.alpha < 0.99) for frame in frames]
    covered = sum((t[s] == 128).sum() for t, s in zip(made, soft, strict=True))
    assert covered >= 0.99 * sum(s.sum() for s in soft)
    area = sum((t == 128).sum() for t in made)
    assert area <= 1.6 * sum((f.trimap == 128).sum() for f in frames)
    for frame, trimap in zip(frames, made, strict=True):
        assert not ((trimap == 255) & (frame.alpha < 0.5)).any()
        assert not ((trimap == 0) & (frame.alpha > 0.5)).any()


def test_a_key_is_handed_on_unchanged_and_alone() -> None:
    frames = moving(3)
    greys = [reduce(frame.image) for frame in frames]
    made = list(propagate(greys, frames[0].trimap, frames[2].trimap, (SIDE, SIDE)))
    assert (made[0] == frames[0].trimap).all()
    assert (made[2] == frames[2].trimap).all()
    assert (next(propagate(greys[:1], None, frames[0].trimap, (SIDE, SIDE))) == made[0]).all()


@pytest.mark.parametrize("value", [0, 255])
def test_a_key_without_anything_unknown_is_carried_as_it_is(value: int) -> None:
    greys = [reduce(frame.image) for frame in moving(3)]
    key = np.full((SIDE, SIDE), value, np.uint8)
    assert all((trimap == value).all() for trimap in propagate(greys, key, None, key.shape))


def test_where_two_keys_contradict_each_other_it_is_unknown() -> None:
    greys = [reduce(moving(1)[0].image)] * 3
    first = np.zeros((SIDE, SIDE), np.uint8)
    first[:, 40:48] = 128
    last = first.copy()
    first[:, 48:], last[:, 48:] = 255, 0
    middle = list(propagate(greys, first, last, first.shape))[1]
    assert (middle[:, 60:100] == 128).all()
    assert (middle[:, :30] == 0).all()


def test_beside_a_key_what_it_calls_unknown_is_unknown_whatever_one_far_off_says() -> None:
    greys = [reduce(moving(1)[0].image)] * 12
    first, last = np.zeros((2, SIDE, SIDE), np.uint8)
    first[:, 30:40] = last[:, 64:72] = 128
    made = list(propagate(greys, first, last, first.shape))
    assert (made[1][:, 30:40] == 128).all()
    assert (made[10][:, 64:72] == 128).all()


def test_steadied_mattes_are_nearer_to_the_truth_and_flicker_less() -> None:
    frames, rng = moving(7), np.random.default_rng(3)
    mattes = [
        np.clip(f.alpha + 0.1 * rng.standard_normal(f.alpha.shape), 0, 1).astype(np.float32)
        for f in frames
    ]
    mattes = [
        np.where(f.trimap == 128, m, f.trimap / np.float32(255)).astype(np.float32)
        for f, m in zip(frames, mattes, strict=True)
    ]
    steps = [measure_step(*pair) for pair in pairwise(mattes)]
    steadied = [steady(mattes, steps, at, f.trimap) for at, f in enumerate(frames)]

    def flicker(found: list[np.ndarray]) -> float:
        errors = [m - f.alpha for m, f in zip(found, frames, strict=True)]
        return float(np.mean([np.square(b - a).mean() for a, b in pairwise(errors)]))

    assert flicker(steadied) < 0.5 * flicker(mattes)
    for frame, before, after in zip(frames, mattes, steadied, strict=True):
        assert np.abs(after - frame.alpha).mean() < np.abs(before - frame.alpha).mean()
        known = frame.trimap != 128
        assert (after[known] == before[known]).all()


def test_a_matte_alone_stays_as_it_is() -> None:
    frame = moving(1)[0]
    assert steady([frame.alpha], [], 0, frame.trimap) is frame.alpha
