"""Train one network in several processes, one a device: what torchrun starts."""

import os
from typing import Any, Self, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

AXES = (0, 2, 3)  # of (N, C, H, W): all but the channels


def join(device: torch.device) -> torch.device:
    """Join the other processes, where torchrun has started some; give this one's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def mean(value: Tensor) -> Tensor:
    """Average a tensor over the processes, without gradients."""
    if processes() > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= processes()
    return value


def parallel(network: nn.Module) -> nn.Module:
    """Wrap a network so that its gradients are averaged, and its batch norms see all batches.

    With losses over equal shares of a batch, divided by what the whole batch is divided by, the
    processes take the steps that a single one would take over the whole batch.
    """
    if processes() == 1:
        return network
    share_norms(network)
    return nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)


def share_norms(network: nn.Module) -> None:
    """Put a SharedBatchNorm in the place of every batch norm, with the same tensors.

    Names stay, and in one process, or in evaluation, so does what the network computes.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, SharedBatchNorm.of(child))


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm with the moments of all processes' batches, which are of one size.

    Torch's own, `nn.SyncBatchNorm`, works on CUDA alone.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> Self:
        """Make one that holds the parameters and statistics of a batch norm."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, device="meta")
        shared._parameters.update(norm._parameters)
        shared._buffers.update(norm._buffers)
        return shared.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        y: Tensor
        y, centre, variance = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.eps
        )
        count = processes() * x.numel() // x.shape[1]
        with torch.no_grad():
            cast(Tensor, self.running_mean).lerp_(centre, cast(float, self.momentum))
            unbiased = variance * count / (count - 1)
            cast(Tensor, self.running_var).lerp_(unbiased, cast(float, self.momentum))
            cast(Tensor, self.num_batches_tracked).add_(1)
        return y


class _Normalise(torch.autograd.Function):
    """Standardise x (N, C, H, W) by the moments of all processes, then scale and shift it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centre = mean(wide.mean(AXES))
        centred = wide - centre[:, None, None]
        variance = mean(centred.square().mean(AXES))
        slope = (variance + eps).rsqrt()
        unit = centred * slope[:, None, None]
        ctx.save_for_backward(unit, slope * weight)
        ctx.mark_non_differentiable(centre, variance)
        y = unit * weight[:, None, None] + bias[:, None, None]
        return y.to(x.dtype), centre, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Ioffe and Szegedy (2015), the equations below their algorithm 1, over all processes."""
        unit, gain = ctx.saved_tensors
        wide = gradients[0].to(unit.dtype)
        shift, scale = wide.sum(AXES), (wide * unit).sum(AXES)
        means = mean(torch.stack([shift, scale]) * (unit.shape[1] / unit.numel()))
        rest = wide - means[0][:, None, None] - unit * means[1][:, None, None]
        return (rest * gain[:, None, None]).to(gradients[0].dtype), scale, shift, None
