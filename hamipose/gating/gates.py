"""Gates, which weight the source loss of each keypoint: the paper's gate, its ablations, and their base class."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.gating.alignment import decompose
from hamipose.precision import at_least_single

__all__ = ["Gate", "GateDecision", "GateInputs", "KeypointGate", "OpenGate", "UnifiedGate", "WholeLayerGate"]


class GateInputs(NamedTuple):
    """Inputs of a gate: gradients with respect to the rows of the last layer, and further quantities of one batch."""

    source: Float[Tensor, "keypoint parameter"]
    """Pulled-back gradient of the source loss."""
    target: Float[Tensor, "keypoint parameter"]
    """Pulled-back gradient of the target loss, without its factor λ."""
    confidence: Float[Tensor, " keypoint"]
    """c: confidence of the teacher's heatmaps."""
    progress: float
    """Step as a fraction of the warm-up of γ; values above 1 have the same effect as 1."""
    target_weight: float
    """λ, the weight of the target loss."""
    inverse_metric: Float[Tensor, " keypoint #parameter"] | None = None
    """Diagonal of D⁻¹. Default: None, the identity."""


class GateDecision(NamedTuple):
    """Decision of a gate: one value per keypoint, without gradients."""

    weight: Float[Tensor, " keypoint"]
    """w: factor of the source loss."""
    cosine: Float[Tensor, " keypoint"]
    """ρ: below 0 the two losses are in conflict."""
    projection: Float[Tensor, " keypoint"]
    """a: projection of the target gradient onto the source gradient, in units of the latter."""
    openness: Float[Tensor, " keypoint"]
    """φ: share of that projection that the gate keeps."""
    target_weight: Float[Tensor, " keypoint"] | None = None
    """Factor of the target loss. Default: None, λ."""


class Gate(ABC):
    """Base class of gates, which compute the weight of each keypoint's source loss from two gradients and a confidence.

    Subclasses implement :meth:`decide`.
    """

    @torch.no_grad()
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        target_weight: float,
        inverse_metric: Float[Tensor, " keypoint #parameter"] | None = None,
    ) -> GateDecision:
        """Return the decision for one batch; the arguments are the fields of :class:`GateInputs`."""
        return self.decide(GateInputs(source, target, confidence, progress, target_weight, inverse_metric))

    @abstractmethod
    def decide(self, inputs: GateInputs) -> GateDecision:
        """Return the decision for one batch, without gradients.

        Args:
            inputs: gradients, confidence, progress, λ and metric of the batch.
        """


class KeypointGate(Gate):
    r"""Gate of the paper: one decision per keypoint (§3.3, with w as derived in the docstring of this package).

    .. math:: w_k = 1 - \lambda (1 - \varphi_k) a_k , \qquad \varphi_k = \max(0, \tanh(\gamma \rho_k))\, c_k

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: lower bound of w, which is negative if a > 1 / (λ (1 − φ)). Default: None, no bound, as in the
            paper.

    Raises:
        ValueError: not 0 ≤ gamma_min ≤ gamma_max; in a call: progress is negative.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        if not 0 <= gamma_min <= gamma_max:
            raise ValueError(
                f"gamma_min is {gamma_min} and gamma_max is {gamma_max}, expected 0 ≤ gamma_min ≤ gamma_max"
            )
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max
        self.min_weight = min_weight

    def decide(self, inputs: GateInputs) -> GateDecision:
        """Return the decision for one batch; see :meth:`Gate.decide`."""
        cosine, projection = decompose(inputs.source, inputs.target, inputs.inverse_metric)
        gamma = self.gamma_min + (self.gamma_max - self.gamma_min) * _warmup_fraction(inputs.progress)
        openness = torch.tanh(gamma * cosine).clamp(min=0) * at_least_single(inputs.confidence).clamp(0, 1)
        weight = 1 - inputs.target_weight * (1 - openness) * projection
        if self.min_weight is not None:
            weight = weight.clamp(min=self.min_weight)
        return GateDecision(weight, cosine, projection, openness)


class WholeLayerGate(Gate):
    """One decision for all keypoints: applies another gate to the whole layer as a single row, with the mean c.

    Args:
        gate: the gate to apply.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def decide(self, inputs: GateInputs) -> GateDecision:
        """Return the decision for one batch; see :meth:`Gate.decide`."""
        metric = inputs.inverse_metric
        layer = inputs._replace(
            source=inputs.source.reshape(1, -1),
            target=inputs.target.reshape(1, -1),
            confidence=inputs.confidence.mean(0, keepdim=True),
            inverse_metric=None if metric is None else metric.expand_as(inputs.source).reshape(1, -1),
        )
        shared = self._gate.decide(layer)
        return GateDecision(*(value.expand(len(inputs.source)) for value in shared if value is not None))


class UnifiedGate(WholeLayerGate):
    """Ablation of the keypointwise decision: :class:`KeypointGate` on the gradients of the whole layer.

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: as in :class:`KeypointGate`.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        super().__init__(KeypointGate(gamma_min, gamma_max, min_weight))


class OpenGate(Gate):
    """Gate that is always open: the plain sum of both losses; ρ and a are still computed."""

    def decide(self, inputs: GateInputs) -> GateDecision:
        """Return the decision for one batch; see :meth:`Gate.decide`."""
        cosine, projection = decompose(inputs.source, inputs.target, inputs.inverse_metric)
        return GateDecision(torch.ones_like(cosine), cosine, projection, torch.ones_like(cosine))


def _warmup_fraction(progress: float) -> float:
    """Return min(1, t / T_warm)."""
    if not progress >= 0:
        raise ValueError(f"progress is {progress}, expected the step as a fraction of the warm-up, at least 0")
    return min(1.0, progress)
