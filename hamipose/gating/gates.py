"""How much the source loss of each keypoint counts: the paper's gate, its ablations, and what all gates share."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.gating.alignment import decompose
from hamipose.precision import at_least_single

__all__ = ["Gate", "GateDecision", "GateInputs", "KeypointGate", "OpenGate", "UnifiedGate", "WholeLayerGate"]


class GateInputs(NamedTuple):
    """What a gate decides on: a batch's gradients with respect to the last layer's rows, and what goes with them."""

    source: Float[Tensor, "keypoint parameter"]
    """Pulled-back gradient of the source loss."""
    target: Float[Tensor, "keypoint parameter"]
    """Pulled-back gradient of the target loss, without its factor λ."""
    confidence: Float[Tensor, " keypoint"]
    """c: of the teacher's heatmaps."""
    progress: float
    """The step as a fraction of the warm-up of γ; from 1 on nothing changes."""
    trade_off: float
    """λ."""
    inverse_metric: Float[Tensor, " keypoint #parameter"] | None = None
    """Diagonal of D⁻¹; the identity where None."""


class GateDecision(NamedTuple):
    """What a gate decides, one value per keypoint, none of which carries a gradient."""

    weight: Float[Tensor, " keypoint"]
    """w: what the source loss is multiplied by."""
    cosine: Float[Tensor, " keypoint"]
    """ρ: below 0 the two losses are in conflict."""
    projection: Float[Tensor, " keypoint"]
    """a: the target's gradient along the source's, in units of the latter."""
    openness: Float[Tensor, " keypoint"]
    """φ: the share of that part that is let through."""
    target_weight: Float[Tensor, " keypoint"] | None = None
    """What the target loss is multiplied by; λ where not given."""


class Gate(ABC):
    """Decides, from two gradients and the teacher's confidence, how much the source loss of each keypoint counts.

    Another gate is another subclass, which states :meth:`decide`.
    """

    @torch.no_grad()
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        trade_off: float,
        inverse_metric: Float[Tensor, " keypoint #parameter"] | None = None,
    ) -> GateDecision:
        """Weigh one batch; see :class:`GateInputs` for what is given."""
        return self.decide(GateInputs(source, target, confidence, progress, trade_off, inverse_metric))

    @abstractmethod
    def decide(self, seen: GateInputs) -> GateDecision:
        """Return the decision; nothing is recorded for a backward pass.

        Args:
            seen: gradients, confidence, progress, λ and metric of one batch.
        """


class KeypointGate(Gate):
    r"""The paper's gate: every keypoint on its own (§3.3, with w as this package's docstring derives it).

    .. math:: w_k = 1 - \lambda (1 - \varphi_k) a_k , \qquad \varphi_k = \max(0, \tanh(\gamma \rho_k))\, c_k

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: a floor for w, which falls below 0 where a > 1 / (λ (1 − φ)). Off in the paper.

    Raises:
        ValueError: not 0 ≤ gamma_min ≤ gamma_max; in a call: progress is negative.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        if not 0 <= gamma_min <= gamma_max:
            raise ValueError(f"gamma_min is {gamma_min} and gamma_max {gamma_max}: expected 0 ≤ gamma_min ≤ gamma_max")
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max
        self.min_weight = min_weight

    def decide(self, seen: GateInputs) -> GateDecision:
        cosine, projection = decompose(seen.source, seen.target, seen.inverse_metric)
        gamma = self.gamma_min + (self.gamma_max - self.gamma_min) * _fraction(seen.progress)
        openness = torch.tanh(gamma * cosine).clamp(min=0) * at_least_single(seen.confidence).clamp(0, 1)
        weight = 1 - seen.trade_off * (1 - openness) * projection
        if self.min_weight is not None:
            weight = weight.clamp(min=self.min_weight)
        return GateDecision(weight, cosine, projection, openness)


class WholeLayerGate(Gate):
    """One decision for all keypoints: another gate shown the whole layer as a single row, with the mean c.

    Args:
        gate: what decides.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def decide(self, seen: GateInputs) -> GateDecision:
        metric = seen.inverse_metric
        layer = seen._replace(
            source=seen.source.reshape(1, -1),
            target=seen.target.reshape(1, -1),
            confidence=seen.confidence.mean(0, keepdim=True),
            inverse_metric=None if metric is None else metric.expand_as(seen.source).reshape(1, -1),
        )
        one = self._gate.decide(layer)
        return GateDecision(*(value.expand(len(seen.source)) for value in one if value is not None))


class UnifiedGate(WholeLayerGate):
    """The ablation of "keypointwise": :class:`KeypointGate` on the whole layer's gradients.

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: as in :class:`KeypointGate`.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        super().__init__(KeypointGate(gamma_min, gamma_max, min_weight))


class OpenGate(Gate):
    """Lets everything through: the plain sum of both losses, with ρ and a still measured."""

    def decide(self, seen: GateInputs) -> GateDecision:
        cosine, projection = decompose(seen.source, seen.target, seen.inverse_metric)
        return GateDecision(torch.ones_like(cosine), cosine, projection, torch.ones_like(cosine))


def _fraction(progress: float) -> float:
    """min(1, t / T_warm)."""
    if not progress >= 0:
        raise ValueError(f"progress is {progress}: expected the step as a fraction of the warm-up, 0 or more")
    return min(1.0, progress)
