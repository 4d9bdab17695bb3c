"""Training with several processes: reductions, random rows, buffers and synchronized BatchNorm."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from timm.layers import BatchNormAct2d, SyncBatchNormAct, convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.nn import functional as differentiable

from hamipose.errors import UserError

__all__ = [
    "SyncBatchNorm",
    "average_over_processes",
    "broadcast_buffers",
    "check_device",
    "draw_local_rows",
    "gather_batch",
    "gather_rows",
    "keep_activations",
    "mean_over_batch",
    "sum_over_processes",
    "zero_loss",
]


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Return the sum over all processes; each process's share keeps its gradient.

    A loss computed from it, back-propagated on every process and averaged as DDP does, has the gradient that a single
    process with the whole batch would compute.
    """
    return differentiable.all_reduce(tensor) if _is_distributed() else tensor


def mean_over_batch(samples: Tensor) -> Tensor:
    """Return the mean over the first dimension of all processes' samples, with gradients.

    See :func:`sum_over_processes`.
    """
    return sum_over_processes(samples.sum(0)) / sum_over_processes(samples.new_tensor(float(len(samples))))


def average_over_processes(*tensors: Tensor) -> list[Tensor]:
    """Return each tensor's mean over all processes, with one all-reduce and without gradients.

    Every process then computes the same gate; with gates of their own the processes' weights would diverge.
    """
    if not _is_distributed():
        return list(tensors)
    flat = torch.cat([t.flatten() for t in tensors])
    torch.distributed.all_reduce(flat)
    parts = (flat / torch.distributed.get_world_size()).split([t.numel() for t in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def gather_batch(samples: Tensor) -> Tensor:
    """Return all processes' samples, concatenated along the first dimension, without gradients.

    All processes must have the same number of samples.
    """
    samples = samples.detach().contiguous()
    if not _is_distributed():
        return samples
    shares = [torch.empty_like(samples) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(shares, samples)
    return torch.cat(shares)


def draw_local_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Draw random rows for this process's samples from a generator that has the same seed on all processes.

    Each process draws for the whole batch and takes its own rows. Rows of different processes thus differ, and the
    generators stay in the same state.

    Args:
        draw: returns the requested number of random rows.
        count: number of samples of each process.
    """
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if _is_distributed() else (0, 1)
    return draw(count * world)[rank * count : (rank + 1) * count]


def gather_rows(rows: list[Any]) -> list[Any]:
    """Return the rows of all processes, those of the first process first. All processes must call it.

    Args:
        rows: picklable objects of this process.
    """
    if not _is_distributed():
        return rows
    shares: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, rows)
    return [row for share in shares for row in share]


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor | float:
    """Return 0 as a function of parameters that a loss does not use, because DDP waits for a gradient of each.

    Remove these gradients after the backward pass, or the optimizer counts a step for them.
    """
    return sum(p.sum() for p in parameters) * 0.0 if _is_distributed() else 0.0


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Copy the buffers of the first process, whose checkpoint is saved, to all processes, which must all call this.

    DDP does so before each training step. After the last step, the processes have BatchNorm statistics of their own
    batches again, and would evaluate their shares of the images with different networks.
    """
    if not _is_distributed():
        return
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for buffer in module.buffers():
        kinds.setdefault(buffer.dtype, []).append(buffer)
    for buffers in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        torch.distributed.broadcast(flat, 0)
        for buffer, part in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(part.view_as(buffer))


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's conversion for ``trainer.sync_batchnorm``, which keeps the activation of timm's ``BatchNormAct2d``.

    torch's own conversion replaces it with a plain SyncBatchNorm, and all activations of a MobileNetV3, an EfficientNet
    or a RegNet are lost.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every BatchNorm of the model with one that normalizes over the batch of all processes."""
        return convert_sync_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo :meth:`apply`."""
        if not isinstance(model, SyncBatchNormAct):
            return super().revert(model)
        reverted = BatchNormAct2d(
            model.num_features, model.eps, affine=model.affine, track_running_stats=model.track_running_stats
        )
        reverted.momentum = model.momentum
        for name, child in model.named_children():  # the activation, and dropout
            reverted.add_module(name, child)
        reverted.weight, reverted.bias = model.weight, model.bias
        reverted.running_mean, reverted.running_var = model.running_mean, model.running_var
        reverted.num_batches_tracked = model.num_batches_tracked
        return reverted.train(model.training)


def keep_activations(trainer: Trainer) -> None:
    """Make a trainer with ``sync_batchnorm`` use :class:`SyncBatchNorm`; call this in a module's ``setup``.

    Raises:
        UserError: training is on CPUs.
    """
    strategy = trainer.strategy
    if type(getattr(strategy, "_layer_sync", None)) is TorchSyncBatchNorm:  # only strategies of several processes
        check_device(strategy.root_device)
        strategy._layer_sync = SyncBatchNorm()  # type: ignore[attr-defined]


def check_device(device: torch.device) -> None:
    """Reject CPUs, on which torch cannot synchronize BatchNorm.

    Raises:
        UserError: the device is a CPU.
    """
    if device.type == "cpu":
        raise UserError(
            "trainer.sync_batchnorm is true and the run is on CPUs; torch synchronizes BatchNorm on GPUs only: "
            "remove the option, or train on GPUs"
        )
