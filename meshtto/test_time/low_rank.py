r"""Per-image weights of linear layers under gradient descent, stored as low-rank differences.

If an image passes through a linear layer n times, :math:`z_i = W a_i + b`, the layer's gradient for that image is
:math:`\sum_i d_i a_i^\top` (and :math:`\sum_i d_i` for the bias) with :math:`d_i = \partial L / \partial z_i`. The
adapted layer is therefore

.. math:: z \mapsto W z + b - \alpha \sum_i d_i (a_i \cdot z + 1),

and the weights of an image after k steps are k n pairs of vectors. This is exact: of first order if a and d are
constants, of second order if they keep their graphs.

If a part x of the input is constant (:class:`~meshtto.test_time.split_linear.SplitLinear`), :math:`a_i = [x; y_i]`, its
share of the sum is one vector, :math:`(x \cdot x + 1) \sum_i d_i`, for any number of steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from meshtto.test_time.split_linear import SplitLinear
from meshtto.test_time.update_rules import SGD, clip_factor
from meshtto.test_time.weights import Weights

__all__ = ["LowRank"]


class _Inputs:
    """Inputs of a layer, or of several layers that read the same input, in all passes that a step was taken on.

    Args:
        a: the inputs.
    """

    def __init__(self, a: Float[Tensor, "batch rank in"] | None = None) -> None:
        self.a = a
        self._last: tuple[Tensor, Tensor] | None = None

    def dot(self, z: Float[Tensor, "batch in"]) -> Float[Tensor, "batch 1 rank"]:
        r"""Compute :math:`a_i \cdot z` once for all layers that read z.

        This is a row times a matrix, here and in :meth:`_Layer.correct`, and so are the gradients: on a CPU, bmm takes
        ten times as long for a matrix times a column.
        """
        assert self.a is not None
        if self._last is None or self._last[0] is not z:
            self._last = (z, torch.bmm(z[:, None], self.a.mT))
        return self._last[1]

    def forget(self) -> None:
        """Clear the cache before the next pass."""
        self._last = None


class _Layer:
    """A linear layer's inputs and outputs of the last pass, and its low-rank pairs so far."""

    def __init__(self, layer: nn.Linear) -> None:
        self.bias = layer.bias is not None
        self.inputs = _Inputs()
        self.now: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.d: Float[Tensor, "batch rank out"] | None = None
        self.held: Float[Tensor, "batch held"] | None = None
        """x itself, and x as used in a step: detached for first order."""
        self.counted: Float[Tensor, "batch held"] | None = None
        self._of_held: Tensor | None = None

    def correct(self, inputs: tuple[Tensor, ...], output: Float[Tensor, "batch out"]) -> Tensor:
        """Apply the low-rank difference to the layer's output, and record input and output."""
        z = inputs[0]
        if len(inputs) > 1:
            self.held, z = inputs[:2]
        if self.d is not None:
            product = self.inputs.dot(z)
            if self.held is not None:
                if self._of_held is None:
                    self._of_held = self._constant() * self.d.sum(1)
                output = output - self._of_held
            elif self.bias:
                product = product + 1
            output = output - torch.bmm(product, self.d)[:, 0]
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()  # the first layer of a frozen network
        self.now.append(z)
        self.outputs.append(output)
        return output

    def _constant(self) -> Float[Tensor, "batch 1"]:
        """Return x · x + 1, the factor that all pairs have in common."""
        assert self.held is not None
        assert self.counted is not None
        return (self.counted * self.held).sum(1, keepdim=True) + float(self.bias)

    def squares(self, gradients: Float[Tensor, "batch pass out"], keep_graph: bool) -> Float[Tensor, " batch"]:
        r"""Compute :math:`\|\sum_i d_i a_i^\top\|^2 = \sum_{ij} (d_i \cdot d_j)(a_i \cdot a_j)`, plus the bias's."""
        a = torch.stack(self.now, 1)
        held = self.held
        if not keep_graph:
            a, held = a.detach(), None if held is None else held.detach()
        products = a @ a.mT
        if held is not None:
            products = products + held.square().sum(1)[:, None, None]
        return ((gradients @ gradients.mT) * (products + 1 if self.bias else products)).sum((1, 2))

    def gather(self, gradients: list[Tensor], keep_graph: bool) -> None:
        """Append the d of one step, already multiplied by the learning rate."""
        d = torch.stack(gradients, 1)
        self.d = d if self.d is None else torch.cat([self.d, d], 1)
        if self.held is not None and self.counted is None:
            self.counted = self.held if keep_graph else self.held.detach()

    def clear(self) -> None:
        """Clear the records before the next pass."""
        self.now, self.outputs, self._of_held = [], [], None
        self.inputs.forget()

    def difference(self) -> tuple[Tensor, Tensor] | None:
        """Return the difference of weight and bias for each image."""
        if self.inputs.a is None or self.d is None:
            return None
        bias = self.d.sum(1)
        weight = torch.einsum("bro,bri->boi", self.d, self.inputs.a)
        if self.counted is not None:
            weight = torch.cat([bias[:, :, None] * self.counted[:, None], weight], 2)
        return weight, bias


class LowRank(Weights):
    """Per-image weights of a head that consists of linear layers reading [batch, in].

    A head may be split in two, ``forward(*inputs) = finish(*begin(*inputs))``, where `begin` computes the constant
    inputs of its :class:`~meshtto.test_time.split_linear.SplitLinear` layers: it then runs once for all steps.

    Args:
        head: the module; it may use a layer several times. Dropout is drawn anew for each pass and image.
        rule: gradient descent; no other rule preserves the low rank.
        second_order: differentiate through the steps.

    Raises:
        ValueError: the head has parameters outside linear layers.
    """

    def __init__(self, head: nn.Module, rule: SGD, second_order: bool = False) -> None:
        self.head, self.rule, self.second_order = head, rule, second_order
        linear = {name: module for name, module in head.named_modules() if isinstance(module, nn.Linear)}
        known = {id(p) for module in linear.values() for p in module.parameters()}
        other = [name for name, p in head.named_parameters() if id(p) not in known]
        if other:
            raise ValueError(f"{other[0]} must be a parameter of a linear layer to have a low-rank step")
        self._modules = linear
        self._layers = {name: _Layer(module) for name, module in linear.items()}
        self._halves = any(isinstance(module, SplitLinear) for module in linear.values())
        self._begun: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] | None = None

    @contextmanager
    def _adapted(self) -> Iterator[None]:
        """Correct the layers' outputs by hooks until the block ends."""

        def correct(layer: _Layer, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return layer.correct(inputs, output)

        hooks = []
        try:
            for name, layer in self._layers.items():
                layer.clear()
                hooks.append(self._modules[name].register_forward_hook(partial(correct, layer)))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        """Run the head with the low-rank differences of each image."""
        if not self._halves:
            with self._adapted():
                return self.head(*inputs)
        head: Any = self.head
        if self._begun is None:
            self._begun = (inputs, head.begin(*inputs))
        elif any(new is not old for new, old in zip(inputs, self._begun[0], strict=True)):
            raise ValueError("the inputs must be the same tensors in all steps")
        with self._adapted():
            return head.finish(*self._begun[1])

    def step(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """Append the low-rank pairs of one step."""
        outputs = [z for layer in self._layers.values() for z in layer.outputs]
        found = torch.autograd.grad(losses.sum(), outputs, create_graph=self.second_order, allow_unused=True)
        gradients = [torch.zeros_like(z) if g is None else g for g, z in zip(found, outputs, strict=True)]
        step = self.rule.lr * self._clip(gradients)[:, None]
        # torch.where, not a product: a NaN of an inactive image must not become 0 · NaN.
        gradients = [torch.where(active[:, None], step * g, 0.0) for g in gradients]
        used = [layer for layer in self._layers.values() if layer.outputs]
        longer: dict[tuple[int, ...], _Inputs] = {}
        for layer in used:
            mine, gradients = gradients[: len(layer.outputs)], gradients[len(layer.outputs) :]
            layer.gather(mine, self.second_order)
            # Layers that have always read the same tensors, such as the decoders, share one copy.
            same = (id(layer.inputs.a), *(id(z) for z in layer.now))
            if same not in longer:
                a = torch.stack(layer.now, 1)
                a = a if self.second_order else a.detach()
                longer[same] = _Inputs(a if layer.inputs.a is None else torch.cat([layer.inputs.a, a], 1))
        for layer in used:
            layer.inputs = longer[(id(layer.inputs.a), *(id(z) for z in layer.now))]
            layer.clear()

    def _clip(self, gradients: list[Tensor]) -> Float[Tensor, " batch"]:
        """Return the factor by which the rule scales each image's gradient."""
        if self.rule.clip_norm is None:
            return gradients[0].new_ones(len(gradients[0]))
        tiny = torch.finfo(gradients[0].dtype).tiny
        unit = torch.stack([g.detach().abs().amax(1) for g in gradients]).amax(0).clamp(min=tiny)
        squares, rest = [], gradients
        for layer in self._layers.values():
            if layer.outputs:
                mine, rest = rest[: len(layer.outputs)], rest[len(layer.outputs) :]
                squares.append(layer.squares(torch.stack(mine, 1) / unit[:, None, None], self.second_order))
        # Rounding may make a sum of squares negative.
        return clip_factor(unit, torch.stack(squares).sum(0).clamp(min=0), self.rule.clip_norm)

    def restore(self, images: Bool[Tensor, " batch"]) -> None:
        """Reset these images: set their differences to 0."""
        for layer in self._layers.values():
            if layer.d is not None:
                layer.d = torch.where(images[:, None, None], 0.0, layer.d)

    def per_image_parameters(self) -> dict[str, Float[Tensor, "batch ..."]]:
        """Return the adapted parameters of all linear layers, one copy per image."""
        adapted = {}
        for name, layer in self._layers.items():
            difference = layer.difference()
            module, prefix = self._modules[name], f"{name}." if name else ""
            if difference is not None:
                adapted[f"{prefix}weight"] = module.weight - difference[0]
                if layer.bias:
                    adapted[f"{prefix}bias"] = module.bias - difference[1]
        return adapted
