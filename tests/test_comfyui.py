"""The ComfyUI node, called as ComfyUI does: by its mappings, declared inputs and tensors."""

import inspect
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2u_cli import Matter, read_image, read_trimap
from a2u_cli.errors import TrimapError

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples/plush.png"


@pytest.fixture(scope="module")
def node() -> Any:
    module = runpy.run_path(str(ROOT / "integrations/comfyui/__init__.py"))
    assert module["NODE_CLASS_MAPPINGS"].keys() == module["NODE_DISPLAY_NAME_MAPPINGS"].keys()
    return module["NODE_CLASS_MAPPINGS"]["A2UMatte"]


def example() -> tuple[torch.Tensor, torch.Tensor]:
    image = read_image(EXAMPLE).image[200:328, 180:340]
    trimap = read_trimap(EXAMPLE.with_name("plush_trimap.png"))[200:328, 180:340]
    assert (trimap == 128).any()
    return torch.from_numpy(image.copy())[None], torch.from_numpy(trimap)[None].float() / 255


def call(node: Any, **inputs: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Call a node as ComfyUI does: every declared input by name, the others at their defaults."""
    values: dict[str, object] = {}
    for name, (kind, *options) in node.INPUT_TYPES()["required"].items():
        default = kind[0] if isinstance(kind, tuple) else (options or [{}])[0].get("default")
        values[name] = inputs.get(name, default)
    assert inputs.keys() <= values.keys()
    result: tuple[torch.Tensor, torch.Tensor] = getattr(node(), node.FUNCTION)(**values)
    return result


def test_a_node_says_what_its_function_takes_and_gives(node: Any) -> None:
    taken = [*inspect.signature(getattr(node, node.FUNCTION)).parameters][1:]
    assert taken == [*node.INPUT_TYPES()["required"]]
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == 2


def test_a_batch_gives_what_a_matter_gives_each(node: Any) -> None:
    image, trimap = example()
    alpha, foreground = call(node, image=image.repeat(2, 1, 1, 1), trimap=trimap, quality="fast")
    assert alpha.shape == (2, 128, 160) and foreground.shape == (2, 128, 160, 3)
    levels = np.rint(trimap[0].numpy() * 255).astype(np.uint8)
    expected = Matter(quality="fast").matte(image[0].numpy(), levels)
    assert np.array_equal(alpha[0].numpy(), expected) and torch.equal(alpha[0], alpha[1])


def test_a_mask_gets_a_band_and_a_plain_trimap_needs_no_network(node: Any) -> None:
    image, trimap = example()
    mask = (trimap > 0.4).float()
    alpha, foreground = call(node, image=image, trimap=mask, quality="fast")
    assert torch.equal(alpha, mask) and torch.equal(foreground, image)
    banded, _ = call(node, image=image, trimap=mask, is_mask=True, quality="fast")
    assert ((banded > 0.02) & (banded < 0.98)).any()


def test_what_does_not_fit_is_said(node: Any) -> None:
    image, trimap = example()
    with pytest.raises(TrimapError, match="160x128"):
        call(node, image=image, trimap=trimap[:, :64], quality="fast")
