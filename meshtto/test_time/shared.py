"""One copy of the weights for the whole batch, adapted by the mean loss, as in the paper's reference code."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from meshtto.test_time.update_rules import UpdateRule, clip_factor
from meshtto.test_time.weights import Weights, running_statistics

__all__ = ["Shared"]


class Shared(Weights):
    """Weights shared by the batch, so that images influence each other; not the paper's method, kept for comparison.

    Args:
        network: any module. BatchNorm uses its running statistics, as in :class:`~meshtto.test_time.PerImageCopy`.
        rule: the update rule.
        second_order: differentiate through the steps.
        start: initial parameters.
    """

    def __init__(
        self, network: nn.Module, rule: UpdateRule, second_order: bool = False, start: dict[str, Tensor] | None = None
    ) -> None:
        self.network, self.rule, self.second_order = network, rule, second_order
        own = {**dict(network.named_parameters()), **{k: v[0] for k, v in (start or {}).items()}}
        self._start = {k: p if p.requires_grad else p.detach().requires_grad_() for k, p in own.items()}
        self._parameters = dict(self._start)
        self._state: object = None
        self._batch = 0

    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        """Run the network with the shared parameters."""
        self._batch = len(inputs[0])
        with running_statistics(self.network):
            return functional_call(self.network, self._parameters, inputs)

    def step(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """Take one step on the mean loss of the active images; either all images with a loss are active, or none."""
        names, old = list(self._parameters), list(self._parameters.values())
        loss = torch.where(active, losses, 0.0).sum() / active.sum().clamp(min=1)
        found = torch.autograd.grad(loss, old, create_graph=self.second_order, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(found, old, strict=True)]
        if self.rule.clip_norm is not None:
            unit = (
                torch.stack([g.detach().abs().max() for g in gradients]).max().clamp(min=torch.finfo(loss.dtype).tiny)
            )
            squares = torch.stack([(g / unit).square().sum() for g in gradients]).sum()
            factor = clip_factor(unit, squares, self.rule.clip_norm)
            gradients = [factor * g for g in gradients]
        new, self._state = self.rule.step(old, gradients, self._state)
        moves = active.any()
        self._parameters = {
            name: torch.where(moves, after, before) for name, before, after in zip(names, old, new, strict=True)
        }

    def restore(self, images: Bool[Tensor, " batch"]) -> None:
        """Reset the weights of all images if any image is to be reset."""
        if bool(images.any()):
            self._parameters = dict(self._start)

    def convergence_loss(
        self, losses: Float[Tensor, " batch"], finite: Bool[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the mean over images with a finite initial loss: shared weights diverge or converge together."""
        return (torch.where(finite, losses, 0.0).sum() / finite.sum().clamp(min=1)).expand_as(losses)

    def stop_mask(self, ready: Bool[Tensor, " batch"], finite: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Stop all images once all are ready: one that stopped earlier would still be changed by the others."""
        return (ready | ~finite).all().expand_as(ready)

    def per_image_parameters(self) -> dict[str, Float[Tensor, "batch ..."]]:
        """Return the shared parameters, expanded for each image."""
        return {name: p.expand(self._batch, *p.shape) for name, p in self._parameters.items()}
