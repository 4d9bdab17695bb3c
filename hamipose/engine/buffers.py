"""Buffers of a module that is trained by several processes, such as the running statistics of BatchNorm."""

import torch
from torch import Tensor, nn

__all__ = ["share_buffers"]


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Give every process the buffers of the first one, whose checkpoint is saved.

    DDP does so before each training step. After the last one each process has statistics of its own batches again, and
    an evaluation would score its share of the images with another network than the saved one. All processes must take
    part.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for buffer in module.buffers():
        kinds.setdefault(buffer.dtype, []).append(buffer)
    for buffers in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        torch.distributed.broadcast(flat, 0)
        for buffer, part in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(part.view_as(buffer))
