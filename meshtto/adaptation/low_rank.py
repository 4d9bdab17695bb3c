r"""Per-image weights of linear layers under gradient descent, held as what they differ by.

A linear layer that an image passes n times, :math:`z_i = W a_i + b`, has for that image the gradient
:math:`\sum_i d_i a_i^\top` (and :math:`\sum_i d_i` for the bias) with :math:`d_i = \partial L / \partial z_i`. So the
adapted layer is

.. math:: z \mapsto W z + b - \alpha \sum_i d_i (a_i \cdot z + 1),

and the weights of an image after k steps are k n pairs of vectors. Exact; of first order where a and d are constants,
of second order where they keep their graphs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from meshtto.adaptation.rules import SGD, clip_factor
from meshtto.adaptation.weights import Weights

__all__ = ["LowRank"]


class _Layer:
    """A linear layer: what passed through it last, and the pairs gathered so far."""

    def __init__(self, layer: nn.Linear) -> None:
        self.bias = layer.bias is not None
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.a: Float[Tensor, "batch rank in"] | None = None
        self.d: Float[Tensor, "batch rank out"] | None = None

    def correct(self, inputs: Float[Tensor, "batch in"], output: Float[Tensor, "batch out"]) -> Tensor:
        """Add what this image's weights differ by, and take note."""
        if self.a is not None and self.d is not None:
            weight = torch.bmm(self.a, inputs[:, :, None])
            weight = weight + 1 if self.bias else weight
            output = output - torch.bmm(weight.mT, self.d)[:, 0]
        if not output.requires_grad:
            output = output.detach().requires_grad_()  # a frozen network, and the first layer of it
        self.inputs.append(inputs)
        self.outputs.append(output)
        return output

    def squares(self, gradients: Float[Tensor, "batch pass out"], keep_graph: bool) -> Float[Tensor, " batch"]:
        r""":math:`\|\sum_i d_i a_i^\top\|^2 = \sum_{ij} (d_i \cdot d_j)(a_i \cdot a_j)`, and that of the bias."""
        a = torch.stack(self.inputs, 1)
        a = a if keep_graph else a.detach()
        products = a @ a.mT
        return ((gradients @ gradients.mT) * (products + 1 if self.bias else products)).sum((1, 2))

    def gather(self, gradients: list[Tensor], keep_graph: bool) -> None:
        """Take in the pairs of one step; `gradients` are already multiplied by the learning rate."""
        a = torch.stack(self.inputs, 1)
        d = torch.stack(gradients, 1)
        a = a if keep_graph else a.detach()
        self.a = a if self.a is None else torch.cat([self.a, a], 1)
        self.d = d if self.d is None else torch.cat([self.d, d], 1)

    def difference(self) -> tuple[Tensor, Tensor] | None:
        """Of weight and bias, for each image."""
        if self.a is None or self.d is None:
            return None
        return torch.einsum("bro,bri->boi", self.d, self.a), self.d.sum(1)


class LowRank(Weights):
    """A head whose only parameters are those of linear layers that read [batch, in].

    Args:
        head: the module; may use a layer several times. Its dropout draws anew in each pass, for each image.
        rule: gradient descent: no other rule keeps the low rank.
        second_order: let derivatives pass through the steps.

    Raises:
        ValueError: the head has other parameters.
    """

    def __init__(self, head: nn.Module, rule: SGD, second_order: bool = False) -> None:
        self.head, self.rule, self.second_order = head, rule, second_order
        linear = {name: module for name, module in head.named_modules() if isinstance(module, nn.Linear)}
        known = {id(p) for module in linear.values() for p in module.parameters()}
        other = [name for name, p in head.named_parameters() if id(p) not in known]
        if other:
            raise ValueError(f"{other[0]} is no parameter of a linear layer, which is all that has a low-rank step")
        self._modules = linear
        self._layers = {name: _Layer(module) for name, module in linear.items()}

    @contextmanager
    def _adapted(self) -> Iterator[None]:
        """The head with corrected layers, until the block ends."""

        def correct(layer: _Layer, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return layer.correct(inputs[0], output)

        hooks = []
        try:
            for name, layer in self._layers.items():
                layer.inputs, layer.outputs = [], []
                hooks.append(self._modules[name].register_forward_hook(partial(correct, layer)))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        with self._adapted():
            return self.head(*inputs)

    def descend(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        outputs = [z for layer in self._layers.values() for z in layer.outputs]
        found = torch.autograd.grad(losses.sum(), outputs, create_graph=self.second_order, allow_unused=True)
        gradients = [torch.zeros_like(z) if g is None else g for g, z in zip(found, outputs, strict=True)]
        step = self.rule.lr * self._clip(gradients)[:, None]
        # A choice, not a product: what is not a number in an inactive image must not come back as 0 · NaN.
        gradients = [torch.where(active[:, None], step * g, 0.0) for g in gradients]
        for layer in self._layers.values():
            if not layer.outputs:
                continue  # a layer that the head does not use
            mine, gradients = gradients[: len(layer.outputs)], gradients[len(layer.outputs) :]
            layer.gather(mine, self.second_order)
            layer.inputs, layer.outputs = [], []

    def _clip(self, gradients: list[Tensor]) -> Float[Tensor, " batch"]:
        """What the rule leaves of each image's gradient."""
        if self.rule.clip_norm is None:
            return gradients[0].new_ones(len(gradients[0]))
        tiny = torch.finfo(gradients[0].dtype).tiny
        unit = torch.stack([g.detach().abs().amax(1) for g in gradients]).amax(0).clamp(min=tiny)
        squares, rest = [], gradients
        for layer in self._layers.values():
            if layer.outputs:
                mine, rest = rest[: len(layer.outputs)], rest[len(layer.outputs) :]
                squares.append(layer.squares(torch.stack(mine, 1) / unit[:, None, None], self.second_order))
        # Rounding may leave a sum of squares below 0.
        return clip_factor(unit, torch.stack(squares).sum(0).clamp(min=0), self.rule.clip_norm)

    def give_up(self, images: Bool[Tensor, " batch"]) -> None:
        for layer in self._layers.values():
            if layer.d is not None:
                layer.d = torch.where(images[:, None, None], 0.0, layer.d)

    def of_each_image(self) -> dict[str, Float[Tensor, "batch ..."]]:
        adapted = {}
        for name, layer in self._layers.items():
            difference = layer.difference()
            module, prefix = self._modules[name], f"{name}." if name else ""
            if difference is not None:
                adapted[f"{prefix}weight"] = module.weight - difference[0]
                if layer.bias:
                    adapted[f"{prefix}bias"] = module.bias - difference[1]
        return adapted
