"""Camera effects on batches, against definitions and OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from a2u_cli.training.data.photography import blur, fringe, jitter, jpeg, photographed
from a2u_cli.training.data.random_draws import RandomDraws


@pytest.fixture
def images() -> torch.Tensor:
    """Four pictures with edges and gradients, (4, 3, 64, 64)."""
    generator = torch.Generator().manual_seed(0)
    knots = torch.rand(4, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(knots, (64, 64), mode="bilinear")
    return torch.where(smooth > 0.6, 0.9, smooth)


def per_sample(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_blur_is_a_gaussian_of_each_samples_own_width(images) -> None:
    blurred = blur(images, per_sample(0.0, 1.0, 2.0, 4.0))
    torch.testing.assert_close(blurred[0], images[0], atol=1e-5, rtol=0)
    for n, sigma in ((1, 1.0), (2, 2.0), (3, 4.0)):
        expected = cv2.GaussianBlur(
            images[n, 0].numpy(), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
        )
        np.testing.assert_allclose(blurred[n, 0], expected, atol=0.01)


@pytest.mark.parametrize("quality", [60, 90])
def test_jpeg_loses_about_what_a_jpeg_file_loses(images, quality: int) -> None:
    ours = jpeg(images, torch.full((4, 1, 1, 1), float(quality))).permute(0, 2, 3, 1).numpy()
    errors = []
    for n, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        levels = np.rint(image[..., ::-1] * 255).astype(np.uint8)
        data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255
        errors.append((np.abs(ours[n] - image).mean(), np.abs(theirs - image).mean()))
        assert np.abs(ours[n] - theirs).mean() < 0.01
    assert np.mean(errors, axis=0)[0] == pytest.approx(np.mean(errors, axis=0)[1], rel=0.3)


def test_without_stretch_there_is_no_fringe(images) -> None:
    torch.testing.assert_close(fringe(images, per_sample(0, 0, 0, 0)), images, atol=1e-5, rtol=0)


def test_a_fringe_moves_red_and_blue_apart(images) -> None:
    fringed = fringe(images, per_sample(*[0.03] * 4))
    torch.testing.assert_close(fringed[:, 1], images[:, 1])
    assert (fringed[:, 0] - images[:, 0]).abs().mean() > 1e-3


def test_pictures_stay_in_range_and_close_to_themselves(images) -> None:
    for seed in range(3):
        draws = RandomDraws.seeded(seed, range(4))
        taken = photographed(images, draws)
        assert 0 <= taken.min() <= taken.max() <= 1
        assert (taken - images).abs().mean() < 0.05
        changed = jitter(images, draws)
        assert 0 <= changed.min() <= changed.max() <= 1
