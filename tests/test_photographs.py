"""The shipped weights on real photographs: plausible, and scored where there is a truth."""

import re
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import pytest
import skimage.data
from conftest import SHARED

from a2u_cli import load_model, matte
from a2u_cli.images import quantise, read_grey, read_image
from a2u_cli.scoring.metrics import score
from a2u_cli.trimap import parse_trimap

DEV = SHARED / "data" / "dev"
PICTURES = ("GT03", "GT06", "GT09", "GT12", "GT15", "GT18", "GT21", "GT24", "GT27")
CARD = Path(__file__).parents[1] / "weights" / "README.md"
MARGIN = 0.02  # of the card's figure: other processors round otherwise, and some use bfloat16


@pytest.fixture(scope="module")
def network():
    return load_model()


# the outline of the person, as a hand would click it
OUTLINE = [
    *((0, 320), (0, 258), (40, 228), (62, 216), (52, 190), (70, 167), (100, 153), (122, 152)),
    *((122, 128), (100, 114), (93, 97), (96, 76), (110, 46), (150, 22), (192, 20), (228, 45)),
    *((244, 76), (242, 106), (218, 124), (203, 128), (194, 150), (196, 176), (222, 182)),
    *((242, 206), (243, 228), (260, 242), (280, 268), (288, 320)),
]


def astronaut_head() -> tuple[np.ndarray, np.ndarray]:
    """A person before a mottled wall and a flag, the trimap a band along a clicked outline."""
    image = skimage.data.astronaut()[:320, 60:380].astype(np.float32) / 255
    trimap = np.zeros((320, 320), np.uint8)
    cv2.fillPoly(trimap, [np.array(OUTLINE)], 255)
    band = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    trimap[cv2.dilate(trimap, band) != cv2.erode(trimap, band)] = 128
    return image, trimap


def test_a_photograph_gets_a_smooth_and_plausible_matte(network) -> None:
    image, trimap = astronaut_head()
    alpha = matte(network, image, trimap)
    unknown = trimap == 128
    towards = cv2.distanceTransform((trimap != 255).astype(np.uint8), cv2.DIST_L2, 5)
    away = cv2.distanceTransform((trimap != 0).astype(np.uint8), cv2.DIST_L2, 5)
    near_foreground = alpha[unknown & (towards < 4)].mean()
    near_background = alpha[unknown & (away < 4)].mean()
    assert near_foreground > 0.8
    assert near_background < 0.2
    # it decides: most of the band is nearly one or the other; the trimap's own ramp has 40 %
    assert ((alpha < 0.2) | (alpha > 0.8))[unknown].mean() > 0.5
    # and it is smooth: neighbours rarely jump
    jumps = np.abs(np.diff(alpha, axis=1))[unknown[:, 1:] & unknown[:, :-1]]
    assert np.quantile(jumps, 0.9) < 0.25


@pytest.mark.skipif(not DEV.is_dir(), reason="the scored photographs lie in ../shared/data/dev")
def test_the_error_on_real_photographs_is_what_the_model_card_says(network) -> None:
    said = re.search(r"\| mean of 9 \| ([\d.]+) \|", CARD.read_text())  # narrow trimaps come first
    assert said
    errors = []
    for name in PICTURES:
        image = read_image(DEV / "image" / f"{name}.png").image
        trimap = parse_trimap(read_grey(DEV / "trimap" / f"{name}.png"))
        truth = quantise(read_grey(DEV / "alpha" / f"{name}.png"), 8)
        alpha = matte(network, image, trimap)
        errors.append(score(quantise(alpha, 8), truth, trimap).sad)
    scored = dict(zip(PICTURES, errors, strict=True))
    assert fmean(errors) == pytest.approx(float(said[1]), rel=MARGIN), scored
