r"""Gradient aggregators of torchjd as gates: PCGrad, CAGrad, UPGrad, IMTL-G, Aligned-MTL and others, drop-in.

An aggregator combines the rows of a matrix of gradients, here the two rows :math:`\hat g_s^{(k)}` and
:math:`\lambda \hat g_t^{(k)}` of a keypoint, with weights :math:`\alpha_s, \alpha_t` that it finds from their inner
products. Those weights go to the losses, whose backward pass then reaches every layer:

.. math:: \sum_k \alpha_s^{(k)} L_s^{(k)} + \lambda \sum_k \alpha_t^{(k)} L_t^{(k)} .

As with HamiPose's own gate, what the aggregator promises about conflicts it promises for the rows of the last layer.
Weights are those of torchjd: for two gradients that do not conflict, 1 and 1 with PCGrad, ½ and ½ with UPGrad or
Aligned-MTL, which average.

Needs ``pip install "hamipose[torchjd]"``.
"""

import importlib
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.gating import Gate, GateDecision, GateInputs, WholeLayerGate, decompose

__all__ = ["AggregatorGate", "UnifiedAggregatorGate", "compute_gramians", "find_weighting"]

Weighting = Callable[[Tensor], Tensor]


def find_weighting(aggregator: str, options: dict[str, float] | None = None) -> Weighting:
    """What finds an aggregator's weights from a matrix of inner products.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``, such as PCGrad.
        options: its arguments.

    Raises:
        UserError: torchjd (or what that aggregator needs besides) is not installed, has no such aggregator, or one
            that keeps a memory of past batches, which a gate has no place for.
    """
    require_packages(f"the gate {aggregator}", "torchjd")
    library = importlib.import_module("torchjd.aggregation")
    bases = [getattr(library, name) for name in library.__all__ if name.endswith("Weighting")]
    # What can be reset has a memory; Random's dice would fall differently on each process.
    usable = {b.__name__.removesuffix("Weighting"): b for b in bases if not hasattr(b, "reset")}
    for name in ("", "Random"):
        usable.pop(name, None)
    if aggregator not in usable:
        raise UserError(
            f"aggregator is {aggregator!r}, expected one of torchjd's that decide gradients and remember nothing: "
            + ", ".join(sorted(usable))
        )
    try:
        return usable[aggregator](**(options or {}))
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"aggregator {aggregator} with options {options}: {' '.join(str(error).split())}") from None


@torch.no_grad()
def compute_gramians(
    source: Float[Tensor, "group parameter"],
    target: Float[Tensor, "group parameter"],
    inverse_metric: Float[Tensor, " group #parameter"] | None = None,
) -> Float[Tensor, "group 2 2"]:
    """Inner products of each group's two gradients, in double precision, scaled so that the larger of the two is 1.

    Aggregators look at angles and ratios, but some compare with constants: heatmap gradients are far below those.
    """
    pair = torch.stack([source, target], 1).double()
    pair = pair / pair.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    weighed = pair if inverse_metric is None else pair * inverse_metric.double()[:, None]
    products = pair @ weighed.mT
    largest = products.diagonal(dim1=1, dim2=2).amax(1)[:, None, None]
    return products / torch.where(largest == 0, 1.0, largest)


class AggregatorGate(Gate):
    """An aggregator for every keypoint on its own.

    torchjd takes one matrix at a time, and some of its solvers run on the processor: K calls a step, outside autograd.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``.
        options: its arguments, such as {c: 0.4} for CAGrad.
    """

    def __init__(self, aggregator: str = "PCGrad", options: dict[str, float] | None = None) -> None:
        self.weighting = find_weighting(aggregator, options)

    def decide(self, seen: GateInputs) -> GateDecision:
        products = compute_gramians(seen.source, seen.trade_off * seen.target, seen.inverse_metric).cpu()
        weights = torch.stack([self._weights(product) for product in products]).to(seen.source)
        cosine, projection = decompose(seen.source, seen.target, seen.inverse_metric)
        return GateDecision(weights[:, 0], cosine, projection, torch.ones_like(cosine), seen.trade_off * weights[:, 1])

    def _weights(self, product: Float[Tensor, "2 2"]) -> Float[Tensor, "2"]:
        """Where one gradient is zero nothing has to be weighed; what is not a number stays so."""
        if not product.isfinite().all():
            return product.new_full((2,), torch.nan)
        if (product.diagonal() == 0).any():
            return torch.ones_like(product[0])
        return self.weighting(product)


class UnifiedAggregatorGate(WholeLayerGate):
    """One decision for all keypoints, from the whole layer's two gradients.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``.
        options: its arguments.
    """

    def __init__(self, aggregator: str = "PCGrad", options: dict[str, float] | None = None) -> None:
        super().__init__(AggregatorGate(aggregator, options))
