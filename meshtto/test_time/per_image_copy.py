"""Per-image weights of any network under any update rule: one copy of each parameter per image."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from meshtto.test_time.update_rules import UpdateRule, clip_factor
from meshtto.test_time.weights import Weights, running_statistics

__all__ = ["PerImageCopy"]


class PerImageCopy(Weights):
    """One copy of the parameters per image, updated parameter by parameter.

    A step needs memory for about three copies of the parameters per image, with Adam for six.

    BatchNorm uses its running statistics and does not update them, even in training: batch statistics would let one
    image influence another. Dropout is drawn anew for each pass and image.

    Args:
        network: any module whose inputs and outputs have the batch as first dimension.
        rule: the update rule.
        second_order: differentiate through the steps.
        start: initial parameters, as returned by :meth:`Weights.per_image_parameters`; parameters whose name is missing
            start from the network's own.
    """

    def __init__(
        self, network: nn.Module, rule: UpdateRule, second_order: bool = False, start: dict[str, Tensor] | None = None
    ) -> None:
        self.network, self.rule, self.second_order = network, rule, second_order
        self._start = start or {}
        self._begun: dict[str, Tensor] = {}
        self._parameters: dict[str, Tensor] = {}
        self._state: dict[str, object] = {}

    def _begin(self, batch: int) -> None:
        for name, parameter in self.network.named_parameters():
            own = self._start.get(name)
            each = parameter.expand(batch, *parameter.shape) if own is None else own
            # The parameters of a frozen network have no graph: their copies become leaves.
            self._begun[name] = each if each.requires_grad else each.detach().requires_grad_()
        self._parameters = dict(self._begun)

    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        """Run the network with each image's copy of the parameters."""
        if not self._parameters:
            self._begin(len(inputs[0]))
        buffers = dict(self.network.named_buffers())

        def one(parameters: dict[str, Tensor], *single: Tensor) -> Any:
            output = functional_call(self.network, (parameters, buffers), tuple(x[None] for x in single))
            return pytree.tree_map(lambda x: x[0], output)

        with running_statistics(self.network):
            return vmap(one, randomness="different")(self._parameters, *inputs)

    def step(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """Take one step on each active image's parameters."""
        names, old = list(self._parameters), list(self._parameters.values())
        found = torch.autograd.grad(losses.sum(), old, create_graph=self.second_order, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(found, old, strict=True)]
        if self.rule.clip_norm is not None:
            flat = [g.flatten(1) for g in gradients]
            tiny = torch.finfo(losses.dtype).tiny
            unit = torch.stack([g.detach().abs().amax(1) for g in flat]).amax(0).clamp(min=tiny)
            squares = torch.stack([(g / unit[:, None]).square().sum(1) for g in flat]).sum(0)
            factor = clip_factor(unit, squares, self.rule.clip_norm)
            gradients = [factor.view(-1, *[1] * (g.ndim - 1)) * g for g in gradients]
        del found
        for name in names:  # one at a time: frees the old values before the next
            before, gradient = old.pop(0), gradients.pop(0)
            (after,), self._state[name] = self.rule.step([before], [gradient], self._state.get(name))
            moved = torch.where(active.view(-1, *[1] * (before.ndim - 1)), after, before)
            # For first order the backward pass leads directly to the network's parameters, for any number of steps.
            self._parameters[name] = moved

    def restore(self, images: Bool[Tensor, " batch"]) -> None:
        """Reset these images to the initial parameters."""
        for name, now in self._parameters.items():
            self._parameters[name] = torch.where(images.view(-1, *[1] * (now.ndim - 1)), self._begun[name], now)

    def per_image_parameters(self) -> dict[str, Float[Tensor, "batch ..."]]:
        """Return the copies."""
        return dict(self._parameters)
