"""The mean absolute difference of meshes, without what autograd would keep and copy for it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["mean_absolute_difference"]


def _pieces(*tensors: Tensor) -> Any:
    """The batch, on a processor sample by sample: what is made of a sample then stays near it."""
    together = 1 if tensors[0].device.type == "cpu" else max(len(tensors[0]), 1)
    return zip(*(x.split(together) for x in tensors), strict=True)


class _MeanAbsoluteDifference(torch.autograd.Function):
    """Constant signs: the second derivative is 0 wherever there is one."""

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(predicted, target)
        means = predicted.new_empty(len(predicted))
        for p, t, mean in _pieces(predicted, target, means):
            torch.mean((p - t).abs_(), list(range(1, p.ndim)), out=mean)
        return means

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        predicted, target = (x.detach() for x in ctx.saved_tensors)
        share = (gradients[0] * (len(predicted) / max(predicted.numel(), 1))).view(-1, *[1] * (predicted.ndim - 1))
        onwards = torch.is_grad_enabled() and share.requires_grad  # a second derivative may be asked for
        found = torch.empty_like(predicted)
        for p, t, factor, part in _pieces(predicted, target, share.detach(), found):
            torch.sub(p, t, out=part).sgn_()
            if not onwards:
                part.mul_(factor)
        if onwards:
            found = share * found
        needs = ctx.needs_input_grad
        return found if needs[0] else None, -found if needs[1] else None


def mean_absolute_difference(
    predicted: Float[Tensor, " batch *element"], target: Float[Tensor, " batch *element"]
) -> Float[Tensor, " batch"]:
    r""":math:`\frac{1}{n} \sum_i |p_i - t_i|` of each sample, whose gradient is 0 where the two agree."""
    mean: Tensor = _MeanAbsoluteDifference.apply(predicted, target)  # type: ignore[no-untyped-call]
    return mean
