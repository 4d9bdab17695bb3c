"""One copy of the weights for the whole batch, moved down the batch's mean loss: what the paper's reference code
does.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from meshtto.test_time.update_rules import Rule, clip_factor
from meshtto.test_time.weights import Weights, running_statistics

__all__ = ["Shared"]


class Shared(Weights):
    """Every image moves every other's weights: not the method as the paper states it, kept to compare with.

    Args:
        network: any module. BatchNorm keeps its running statistics, as in :class:`~meshtto.test_time.Stacked`.
        rule: how gradients move weights.
        second_order: let derivatives pass through the steps.
        start: parameters to begin with.
    """

    def __init__(
        self, network: nn.Module, rule: Rule, second_order: bool = False, start: dict[str, Tensor] | None = None
    ) -> None:
        self.network, self.rule, self.second_order = network, rule, second_order
        own = {**dict(network.named_parameters()), **{k: v[0] for k, v in (start or {}).items()}}
        self._start = {k: p if p.requires_grad else p.detach().requires_grad_() for k, p in own.items()}
        self._parameters = dict(self._start)
        self._state: object = None
        self._batch = 0

    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        self._batch = len(inputs[0])
        with running_statistics(self.network):
            return functional_call(self.network, self._parameters, inputs)

    def descend(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """Down the mean over active images, which are all that have a loss, or none."""
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

    def give_up(self, images: Bool[Tensor, " batch"]) -> None:
        """One weight for all: where any goes back, all do."""
        if bool(images.any()):
            self._parameters = dict(self._start)

    def judged(self, losses: Float[Tensor, " batch"], sound: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The mean over sound images, which is what goes down: the weights of all go astray, or rest, together."""
        return (torch.where(sound, losses, 0.0).sum() / sound.sum().clamp(min=1)).expand_as(losses)

    def stopping(self, ready: Bool[Tensor, " batch"], sound: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """All, once all sound ones are ready: who stopped before would be moved by the others without a say."""
        return (ready | ~sound).all().expand_as(ready)

    def of_each_image(self) -> dict[str, Float[Tensor, "batch ..."]]:
        return {name: p.expand(self._batch, *p.shape) for name, p in self._parameters.items()}
