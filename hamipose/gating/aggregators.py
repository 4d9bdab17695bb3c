r"""Gradient aggregators of torchjd as gates: PCGrad, CAGrad, UPGrad, IMTL-G, Aligned-MTL and others.

An aggregator combines the rows of a matrix of gradients, here the two rows :math:`\hat g_s^{(k)}` and
:math:`\lambda \hat g_t^{(k)}` of a keypoint, with weights :math:`\alpha_s, \alpha_t` that it computes from their inner
products. The weights multiply the losses, whose backward pass then reaches every layer:

.. math:: \sum_k \alpha_s^{(k)} L_s^{(k)} + \lambda \sum_k \alpha_t^{(k)} L_t^{(k)} .

As with HamiPose's own gate, the properties of an aggregator hold for the rows of the last layer. The weights are those
of torchjd: for two gradients that do not conflict, 1 and 1 with PCGrad, ½ and ½ with UPGrad and Aligned-MTL, which
average.

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
    """Return the function that computes an aggregator's weights from a matrix of inner products.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``, such as PCGrad.
        options: arguments of the class.

    Raises:
        UserError: torchjd (or another package that the aggregator needs) is not installed, or has no such aggregator,
            or the aggregator keeps state from past batches, which gates do not support.
    """
    require_packages(f"the gate {aggregator}", "torchjd")
    library = importlib.import_module("torchjd.aggregation")
    bases = [getattr(library, name) for name in library.__all__ if name.endswith("Weighting")]
    # Aggregators with `reset` keep state; Random would draw different weights on each process.
    usable = {b.__name__.removesuffix("Weighting"): b for b in bases if not hasattr(b, "reset")}
    for name in ("", "Random"):
        usable.pop(name, None)
    if aggregator not in usable:
        raise UserError(
            f"aggregator is {aggregator!r}, expected a torchjd aggregator that weights gradients and keeps no state: "
            + ", ".join(sorted(usable))
        )
    try:
        weighting: Weighting = usable[aggregator](**(options or {}))
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"aggregator {aggregator} with options {options}: {' '.join(str(error).split())}") from None
    return weighting


@torch.no_grad()
def compute_gramians(
    source: Float[Tensor, "group parameter"],
    target: Float[Tensor, "group parameter"],
    inverse_metric: Float[Tensor, " group #parameter"] | None = None,
) -> Float[Tensor, "group 2 2"]:
    """Return the inner products of each group's two gradients in double precision, scaled so that the larger one is 1.

    Aggregators use angles and ratios, but some compare with constants that are far above heatmap gradients.
    """
    pair = torch.stack([source, target], 1).double()
    pair = pair / pair.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    weighted = pair if inverse_metric is None else pair * inverse_metric.double()[:, None]
    products = pair @ weighted.mT
    largest = products.diagonal(dim1=1, dim2=2).amax(1)[:, None, None]
    return products / torch.where(largest == 0, 1.0, largest)


class AggregatorGate(Gate):
    """Aggregator that is applied to every keypoint separately.

    torchjd accepts one matrix at a time, and some of its solvers run on the CPU: K calls per step, outside autograd.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``.
        options: arguments of the class, such as {c: 0.4} for CAGrad.
    """

    def __init__(self, aggregator: str = "PCGrad", options: dict[str, float] | None = None) -> None:
        self.weighting = find_weighting(aggregator, options)

    def decide(self, inputs: GateInputs) -> GateDecision:
        """Return the weights of both losses; see :meth:`Gate.decide`."""
        products = compute_gramians(inputs.source, inputs.target_weight * inputs.target, inputs.inverse_metric).cpu()
        weights = torch.stack([self._weights(product) for product in products]).to(inputs.source)
        cosine, projection = decompose(inputs.source, inputs.target, inputs.inverse_metric)
        return GateDecision(
            weights[:, 0], cosine, projection, torch.ones_like(cosine), inputs.target_weight * weights[:, 1]
        )

    def _weights(self, product: Float[Tensor, "2 2"]) -> Float[Tensor, "2"]:
        """Return the two weights: 1 and 1 if one gradient is zero; NaN if an inner product is not finite."""
        if not product.isfinite().all():
            return product.new_full((2,), torch.nan)
        if (product.diagonal() == 0).any():
            return torch.ones_like(product[0])
        return self.weighting(product)


class UnifiedAggregatorGate(WholeLayerGate):
    """Aggregator with one decision for all keypoints, from the two gradients of the whole layer.

    Args:
        aggregator: name of a class of ``torchjd.aggregation``.
        options: arguments of the class.
    """

    def __init__(self, aggregator: str = "PCGrad", options: dict[str, float] | None = None) -> None:
        super().__init__(AggregatorGate(aggregator, options))
