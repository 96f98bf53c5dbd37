"""The data engine: batches pure in seed and step, mostly well-posed, from an atlas that turns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from a2u_cli import images
from a2u_cli.errors import A2UError, ImageError
from a2u_cli.training.data import atlas as atlases
from a2u_cli.training.data.atlas import Atlas, Picture, Placement, Source
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.drawn_trimaps import UNKNOWN
from a2u_cli.training.data.engine import LEAST, MOST_UNKNOWN, DataEngine, Recipe, Request, rank
from a2u_cli.training.losses import Batch

SIZE = 64


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def engine(cache: Path) -> DataEngine:
    return build_engine(drawn=12, scenes=4, drawn_side=128, seed=1, cache=cache)


@pytest.fixture(scope="module")
def batches(engine: DataEngine) -> list[Batch]:
    return [engine.batch(request(16, progress)) for progress in (0.0, 1.0)]


def request(count: int, progress: float = 1.0, first: int = 0, step: int = 0) -> Request:
    return Request(step, range(first, first + count), SIZE, progress)


def source(*pixels: np.ndarray, name: str = "grey", share: float = 1.0) -> Source:
    pictures = [Picture(str(n), lambda p=p: p) for n, p in enumerate(pixels)]
    return Source(name, pictures, (share, share))


def grey(level: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 4), level, np.uint8)


def filled(*pixels: np.ndarray) -> Atlas:
    held = Atlas([source(*pixels)], 8, 64)
    held.advance(0)
    return held


def place(centre: tuple[float, float], scale: float) -> Placement:
    return Placement(torch.tensor([0]), torch.tensor([centre]), scale * torch.eye(2)[None])


def test_planes_have_the_stated_shapes_and_ranges(batches) -> None:
    for batch in batches:
        for name, channels in (("image", 3), ("trimap", 1), ("alpha", 1), ("foreground", 3)):
            assert batch[name].shape == (16, channels, SIZE, SIZE)
            assert batch[name].dtype == torch.float32
            assert 0 <= batch[name].min() <= batch[name].max() <= 1
        assert set(batch["trimap"].unique().tolist()) <= set(torch.tensor([0, UNKNOWN, 1]).tolist())


def test_known_pixels_are_nearly_solid_or_nearly_empty(batches) -> None:
    for batch in batches:
        assert (batch["alpha"][batch["trimap"] == 1] >= 0.96).all()
        assert (batch["alpha"][batch["trimap"] == 0] <= 0.04).all()


def test_a_sample_is_a_pure_function_of_seed_and_number(engine: DataEngine, batches) -> None:
    """Alone or among others, in one process or in several."""
    engine.batch(request(3, 0.5, first=70))
    again = engine.batch(request(16))
    shared = [engine.batch(request(16).share(rank, 3)) for rank in range(3)]
    alone = engine.batch(request(1, first=5))
    for name, plane in batches[1].items():
        torch.testing.assert_close(again[name], plane, atol=0, rtol=0)
        for rank_, share in enumerate(shared):
            torch.testing.assert_close(share[name], plane[rank_::3], atol=1e-6, rtol=0)
        torch.testing.assert_close(alone[name], plane[5:6], atol=1e-6, rtol=0)
    other = engine.batch(request(16, first=16))
    assert not torch.equal(other["image"], again["image"])


def test_another_seed_gives_other_samples(engine: DataEngine, batches, cache: Path) -> None:
    other = build_engine(drawn=12, scenes=4, drawn_side=128, seed=2, cache=cache)
    assert not torch.equal(other.batch(request(2))["image"], batches[1]["image"][:2])
    assert other.facts() != engine.facts()


def test_early_samples_can_be_solved_and_hard_ones_come_later(engine: DataEngine) -> None:
    shares = []
    for done in (0.0, 1.0):
        requests = (replace(request(16, first=n), size=112, done=done) for n in (0, 16, 32, 48))
        trimap = torch.cat([engine.batch(request)["trimap"] for request in requests])
        part = [(trimap == level).float().mean((1, 2, 3)) for level in (0, UNKNOWN, 1)]
        fair = (part[0] >= LEAST / 2) & (part[1] >= LEAST / 2) & (part[1] <= MOST_UNKNOWN + 0.1)
        shares.append(fair.float().mean())  # what has no solid part shows none
    assert shares[0] >= 0.9
    assert 0.5 <= shares[1] < shares[0]


def test_colours_start_smooth(batches) -> None:
    early, late = (batch["background"].diff(dim=3).abs().mean() for batch in batches)
    assert early < 0.7 * late


def test_the_image_is_nearly_the_composite(batches) -> None:
    for batch in batches:
        mixed = torch.lerp(batch["background"], batch["foreground"], batch["alpha"])
        assert (batch["image"] - mixed).abs().mean() < 0.03


def test_without_a_camera_the_image_is_the_composite(cache: Path) -> None:
    plain = build_engine(
        drawn=4, scenes=2, drawn_side=128, recipe=Recipe(camera=False), cache=cache
    )
    batch = plain.batch(request(4))
    mixed = torch.lerp(batch["background"], batch["foreground"], batch["alpha"])
    torch.testing.assert_close(batch["image"], mixed)


def test_well_posed_crops_come_before_fair_before_empty_ones() -> None:
    unknown = torch.zeros(5, 1, 10, 10, dtype=torch.bool)
    solid = torch.zeros_like(unknown)
    unknown[:3, :, 4:8] = True
    solid[0, :, 8:] = True  # well-posed; of the second and third no foreground is known
    unknown[3, :, 1:] = True  # nearly all
    hard = torch.tensor([False, True, False, False, True])
    assert rank(unknown, solid, hard).tolist() == [0, 0, 1, 2, 3]


def test_what_has_no_solid_part_is_seen_as_often_as_it_is_drawn(cache: Path) -> None:
    """Glass beside a box: were each try of another picture, the box would crowd it out."""
    rows, columns = np.mgrid[:96, :96]
    disc = (np.clip(30.5 - np.hypot(rows - 48, columns - 48), 0, 1) * 255).astype(np.uint8)
    box, glass = (np.dstack([np.full((96, 96, 3), 200, np.uint8), a]) for a in (disc, disc // 3))
    scene = source(np.full((96, 96, 3), 90, np.uint8), name="scene")
    engine = DataEngine([source(box, glass)], [scene], side=96)
    alpha = torch.cat([engine.batch(request(32, 0.0, n))["alpha"] for n in (0, 32)])
    share = (alpha.flatten(1).amax(1) < 0.5).float().mean()
    assert 0.25 < share < 0.55  # half of the single ones; a quarter of the samples has two


def test_a_sample_at_full_scale_is_a_plain_cut_and_a_small_one_an_average() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    held = filled(pixels)
    cut = held.sample(place((20.0, 30.0), 1.0), 8, slice(0, 3))
    torch.testing.assert_close(cut, planes[:, :3, 26:34, 16:24])
    quarter = held.sample(place((32.0, 32.0), 4.0), 16, slice(3, 4))
    mean = torch.nn.functional.avg_pool2d(planes[:, 3:], 4)
    torch.testing.assert_close(quarter, mean, atol=0.01, rtol=0)


def test_both_ways_of_sampling_agree() -> None:
    """What a GPU gathers is what OpenCV warps on the CPU, to its steps of 1/32 pixel."""
    rng = np.random.default_rng(0)
    coarse = rng.random((9, 7, 4), np.float32)
    pixels = np.rint(255 * np.kron(coarse, np.ones((6, 7, 1)))).astype(np.uint8)  # 54 x 49
    held = filled(pixels)
    axes = torch.tensor([[[0.8, -0.3], [0.3, 0.8]], [[-2.1, 0.4], [0.4, 2.1]]])
    two = Placement(torch.tensor([0, 0]), torch.tensor([[20.3, 30.8], [40.0, 10.0]]), axes)
    level = torch.tensor([0, 1])
    warped, gathered = (way(two, level, 24, slice(0, 4)) for way in (held._read, held._gather))
    assert (warped - gathered).abs().max() < 0.05
    assert (warped - gathered).abs().mean() < 0.004


def test_beyond_the_edge_the_edge_is_repeated() -> None:
    pixels = grey(0, 48)
    pixels[:, -1] = 255
    for scale in (1.0, 2.0):
        cut = filled(pixels).sample(place((100.0, 32.0), scale), 16, slice(0, 4))
        assert (cut > 0.4).all()


def test_colours_of_what_is_not_seen_do_not_bleed_into_small_copies() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = (200, 100, 50, 255)
    small = filled(pixels).sample(place((32.0, 32.0), 2.0), 16, slice(0, 4))
    assert (255 * small[0, :, 4:12, 4:12].mean((1, 2))).tolist() == pytest.approx(
        [200, 100, 50, 127.5], abs=1
    )


def test_an_atlas_turns_over_as_steps_go_by_and_hangs_on_the_step_alone(monkeypatch) -> None:
    monkeypatch.setattr(atlases, "STAY", 2)
    levels = source(*(grey(level) for level in range(10, 90, 10)))

    def held(atlas: Atlas) -> list[int]:
        return atlas._texels[:, 0, 0].tolist()

    turning = Atlas([levels], 4, 64)
    seen = []
    for step in range(4):
        turning.advance(step)
        seen.append(held(turning))
    assert seen == [[10, 20, 30, 40], [50, 60, 30, 40], [50, 60, 70, 80], [10, 20, 70, 80]]
    monkeypatch.setattr(atlases, "FIRST", 1)
    monkeypatch.setattr(atlases, "GROWTH", 2)
    small = Atlas([levels], 4, 64)
    small.advance(0)
    assert held(small) == [10, 0, 0, 0]
    resumed = Atlas([levels], 4, 64)
    resumed.advance(3)
    assert held(resumed) == seen[3]


def test_shares_say_how_often_each_source_is_drawn() -> None:
    from a2u_cli.training.data.random_draws import RandomDraws

    rare = Source("rare", source(grey(10)).pictures, (0.0, 0.5))
    atlas = Atlas([rare, source(grey(90), grey(95), share=0.5)], 8, 64)
    draws = RandomDraws.seeded(0, range(400))
    assert (atlas.choose(draws, 0.0) == 0).sum() == 0
    assert 150 < (atlas.choose(draws, 1.0) == 0).sum() < 250


def test_folders_of_pictures_are_used(tmp_path: Path, cache: Path) -> None:
    rows, columns = np.mgrid[:96, :96]
    disc = np.clip(30.5 - np.hypot(rows - 48, columns - 48), 0, 1).astype(np.float32)
    colour = np.full((96, 96, 3), 0.7, np.float32)
    images.write_image(tmp_path / "fg" / "a.png", np.dstack([colour, disc]))
    images.write_image(tmp_path / "bg" / "b.jpg", np.full((80, 60, 3), 0.3, np.float32))
    engine = build_engine(
        foregrounds=tmp_path / "fg",
        picture_share=1.0,
        backgrounds=tmp_path / "bg",
        scenes=2,
        drawn_side=64,
        cache=cache,
    )
    assert {source.name for source in engine.foregrounds.sources} == {"pictures"}
    batch = engine.batch(request(2))
    assert (batch["trimap"] == UNKNOWN).flatten(1).any(1).all()


def test_facts_tell_sources_apart_and_do_not_hang_on_the_place(tmp_path: Path) -> None:
    def facts(name: str, **options: object) -> dict:
        folder = tmp_path / name
        return build_engine(foregrounds=folder, picture_share=1.0, scenes=1, **options).facts()

    for name in ("here", "there"):
        images.write_image(tmp_path / name / "a.png", np.full((8, 8, 4), 0.5, np.float32))
    assert facts("here") == facts("there")
    images.write_image(tmp_path / "there" / "b.png", np.full((8, 8, 4), 0.5, np.float32))
    assert facts("there") != facts("here")
    assert facts("here", seed=1) != facts("here")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures found"):
        build_engine(backgrounds=tmp_path)
    with pytest.raises(A2UError, match="no rendered pictures; write some with a2u render"):
        build_engine(renders=tmp_path)


def test_shares_over_one_are_refused(tmp_path: Path) -> None:
    images.write_image(tmp_path / "a.png", np.full((8, 8, 4), 0.5, np.float32))
    with pytest.raises(A2UError, match="over 1 together"):
        build_engine(foregrounds=tmp_path, picture_share=1.5)
