"""Muon: momentum whose every step is orthogonalised, for the network's convolutions.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon/), with the step's size matched to AdamW's as in Liu et
al., "Muon is Scalable for LLM Training", 2025 (https://arxiv.org/abs/2502.16982), section 2.2.

`torch.optim.Muon` orthogonalises in bfloat16, which on processors without matrix units for it
takes twenty times as long as float32 does, several times the rest of a training step: here the
dtype is told.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
ITERATIONS = 5
MATCHED = 0.2  # root mean square of AdamW's steps, for a rate of 1
SMALLEST = 16  # rows and columns of a matrix that is worth it


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for convolutions (out, in, K, K).

    A filter bank counts as a matrix of (out, in * K * K). Learning rates are those of AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step; there is no closure."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._step(parameters, **{k: v for k, v in group.items() if k != "params"})

    def _step(
        self, parameters: list[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        updates = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            average = state["momentum"].mul_(momentum).add_(gradient)
            updates.append(gradient.add(average, alpha=momentum).flatten(1))
        matrices = orthogonalise(torch.stack(updates), self.dtype)  # (n, out, in * K * K)
        size = lr * MATCHED * max(matrices.shape[1:]) ** 0.5
        for parameter, matrix in zip(parameters, matrices, strict=True):
            parameter.mul_(1 - lr * weight_decay)
            parameter.add_(matrix.view(parameter.shape), alpha=-size)


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of (n, rows, columns) near 1, by a Newton-Schulz iteration.

    They come out between about 0.7 and 1.2, which serves as well as 1 and takes five rounds. Each
    round multiplies by a polynomial of the Gram matrix, so that the rounds are done on matrices of
    the shorter side alone, and the long ones are multiplied twice in all. In bfloat16, where the
    hardware multiplies so much faster in it, every round is done on the long ones: a Gram matrix
    that was rounded once would go astray.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    x = _rounds(x) if dtype == torch.float32 else _long_rounds(x.to(dtype))
    result: Tensor = x.mT if tall else x
    return result.contiguous()


def _rounds(x: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    gram = x @ x.mT
    factor = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    for _ in range(ITERATIONS):
        round_ = b * gram + c * gram @ gram
        round_.diagonal(dim1=1, dim2=2).add_(a)
        factor = round_ @ factor
        gram = round_ @ gram @ round_
    return factor @ x


def _long_rounds(x: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def suits(parameter: nn.Parameter) -> bool:
    """Tell whether a parameter is a filter bank that is worth orthogonalising."""
    return parameter.ndim == 4 and min(len(parameter), parameter[0].numel()) >= SMALLEST
