"""A node for ComfyUI: a picture and its trimap, or a mask, to its alpha matte and its colours.

Copy this folder to `ComfyUI/custom_nodes/a2u`, and install a2u-cli into ComfyUI's Python. The node
keeps its weights in memory, and loads others when they are chosen.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2u_cli import Matter
from a2u_cli.trimap import band_pixels, make_trimap, parse_trimap
from a2u_cli.units import UNKNOWN

QUALITIES = ("auto", "fast", "refined", "best")


@lru_cache(maxsize=2)
def _matter(weights: str, quality: Any) -> Matter:
    return Matter(weights, quality=quality)


class A2UMatte:
    """Matte a batch of pictures, each with its own trimap, or all with one."""

    CATEGORY = "mask/matting"
    FUNCTION = "matte"
    RETURN_TYPES = ("MASK", "IMAGE")
    RETURN_NAMES = ("alpha", "foreground")
    DESCRIPTION = "Affinity-aware upsampling (A2U) matting: hair, fur, glass and smoke."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 ComfyUI's name
        """Say what the node takes, in ComfyUI's words."""
        return {
            "required": {
                "image": ("IMAGE",),
                "trimap": ("MASK", {"tooltip": "Black, white, and grey where it is unknown."}),
                "is_mask": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "It is a plain mask: make a trimap of it."},
                ),
                "band": (
                    "STRING",
                    {"default": "1.5%", "tooltip": "Of a mask: pixels, or a share."},
                ),
                "quality": (QUALITIES,),
                "weights": ("STRING", {"default": "a2u-open"}),
            }
        }

    def matte(
        self, image: Tensor, trimap: Tensor, is_mask: bool, band: str, quality: str, weights: str
    ) -> tuple[Tensor, Tensor]:
        """Give alpha (B, H, W) and the foreground's own colours (B, H, W, 3), all in [0, 1].

        `image` is (B, H, W, 3 or 4) and `trimap` (B or 1, H, W), in [0, 1]. A picture without an
        unknown pixel is its trimap. Raises A2UError where they do not fit together.
        """
        matter = _matter(weights, quality)
        alphas, colours = [], []
        for number, picture in enumerate(image[..., :3]):
            pixels = np.ascontiguousarray(picture.cpu().numpy(), np.float32).clip(0, 1)
            grey = trimap[number if len(trimap) > 1 else 0].cpu().numpy().clip(0, 1)
            size = pixels.shape[0], pixels.shape[1]
            reach = band_pixels(band, size)
            known = (
                make_trimap(grey, inside=reach, outside=reach) if is_mask else parse_trimap(grey)
            )
            if known.shape == size and not (known == UNKNOWN).any():
                foreground, alpha = pixels, np.float32(known) / 255
            else:
                foreground, alpha = matter.cut_out(pixels, known)
            alphas.append(torch.from_numpy(alpha))
            colours.append(torch.from_numpy(np.ascontiguousarray(foreground)))
        return torch.stack(alphas), torch.stack(colours)


NODE_CLASS_MAPPINGS = {"A2UMatte": A2UMatte}
NODE_DISPLAY_NAME_MAPPINGS = {"A2UMatte": "A2U matting"}
