"""What light and a camera do to a batch of pictures (N, 3, H, W): colour, blur, noise, JPEG."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .random_draws import RandomDraws

# ITU-T T.81 (JPEG), annex K: quantisation steps at quality 50
LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, *(99,) * 38),
)
# ITU-T T.871 (JFIF): RGB to luminance and chroma, and back
TO_YCBCR = (0.299, 0.587, 0.114, -0.168736, -0.331264, 0.5, 0.5, -0.418688, -0.081312)
TO_RGB = (1.0, 0.0, 1.402, 1.0, -0.344136, -0.714136, 1.0, 1.772, 0.0)
# the orthonormal 8-point cosine transform, a frequency a row
COSINES = tuple(
    math.cos(math.pi / 8 * (place + 0.5) * frequency) / (2 if frequency else math.sqrt(8))
    for frequency in range(8)
    for place in range(8)
)


def jitter(colour: Tensor, draws: RandomDraws) -> Tensor:
    """Change exposure, contrast, saturation and white balance a little."""
    colour = colour.clamp(1e-4, 1.0) ** draws.normal(0.0, 0.25).exp()
    grey = colour.mean(1, keepdim=True)
    colour = grey + (colour - grey) * draws.uniform(0.5, 1.4)
    return (colour * draws.normal(1.0, 0.06, 3, 1, 1) * draws.uniform(0.75, 1.15)).clamp(0, 1)


def photographed(image: Tensor, draws: RandomDraws) -> Tensor:
    """Add what a camera adds: fringes, softness or sharpening, noise in linear light, JPEG."""
    image = image.clone()
    some = draws.which(0.1)
    image[some] = fringe(image[some], draws.of(some).uniform(-0.004, 0.004))
    some = draws.which(0.3)
    amount = draws.of(some).uniform(-1.0, 1.0)  # under 0 softer, over 0 sharper
    sigma = torch.where(amount < 0, 0.3 - 0.4 * amount, 1.0)
    details = image[some] - blur(image[some], sigma)
    image[some] += details * torch.where(amount < 0, -1.0, 0.2 + 0.6 * amount)
    image.clamp_(1e-4, 1.0)
    some = draws.which(0.5)
    linear, few = image[some] ** 2.2, draws.of(some)
    noise = few.noise(*image.shape[1:]) * few.uniform(0.0, 0.02)
    image[some] = (linear + noise * (linear + 0.02).sqrt()).clamp(1e-8, 1.0) ** (1 / 2.2)
    some = draws.which(0.3)
    image[some] = jpeg(image[some], draws.of(some).uniform(60.0, 99.0))
    return image


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture with a Gaussian of its own `sigma`, (N, 1, 1, 1) pixels."""
    if not len(image):
        return image  # MKL refuses what is empty
    size = image.shape[-1]
    margin = size // 4
    padded = F.pad(image, (margin,) * 4, mode="reflect")
    spectrum = torch.fft.rfft2(padded)
    down = torch.fft.fftfreq(padded.shape[2], device=image.device)[:, None]
    across = torch.fft.rfftfreq(padded.shape[3], device=image.device)
    gain = torch.exp(-2 * (math.pi * sigma) ** 2 * (down**2 + across**2))  # (N, 1, H, W / 2 + 1)
    blurred: Tensor = torch.fft.irfft2(spectrum * gain, s=padded.shape[2:])
    return blurred[..., margin : margin + size, margin : margin + size]


def fringe(image: Tensor, stretch: Tensor) -> Tensor:
    """Magnify red by 1 + `stretch` and blue by 1 - `stretch`, as a lens does away from its axis."""
    axis = torch.linspace(-1.0, 1.0, image.shape[-1], device=image.device)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (S, S, 2)
    red, blue = (
        F.grid_sample(
            image[:, c : c + 1],
            grid * (1 + sign * stretch),
            align_corners=True,
            padding_mode="border",
        )
        for c, sign in ((0, 1.0), (2, -1.0))
    )
    return torch.cat([red, image[:, 1:2], blue], 1)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Quantise as JPEG of a quality from 50 to 100, (N, 1, 1, 1), with chroma at half resolution.

    Sides must be multiples of 16.
    """
    to_ycbcr, to_rgb = (torch.tensor(t, device=image.device).view(3, 3) for t in (TO_YCBCR, TO_RGB))
    planes = torch.einsum("ij,njhw->nihw", to_ycbcr, image * 255.0)
    luminance = _quantise(planes[:, :1] - 128.0, LUMINANCE, quality) + 128.0
    chroma = _quantise(F.avg_pool2d(planes[:, 1:], 2), CHROMINANCE, quality)
    chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear")
    planes = torch.cat([luminance, chroma], 1)
    restored: Tensor = torch.einsum("ij,njhw->nihw", to_rgb, planes) / 255.0
    return restored.clamp(0.0, 1.0)


def _quantise(planes: Tensor, table: tuple[int, ...], quality: Tensor) -> Tensor:
    """Round the 8 x 8 cosine coefficients of (N, C, H, W) to the table's steps."""
    basis, steps = (torch.tensor(t, device=planes.device).view(8, 8) for t in (COSINES, table))
    steps = (steps * ((100.0 - quality) / 50.0)[..., None, None]).clamp(min=1.0).round()
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    coefficients = basis @ blocks @ basis.T  # (N, C, H / 8, W / 8, 8, 8)
    blocks = basis.T @ ((coefficients / steps).round() * steps) @ basis
    rows: Tensor = blocks.transpose(3, 4)
    return rows.flatten(4, 5).flatten(2, 3)
