r"""Keypointwise geometry: how far the target's gradient agrees with the source's, and how much of it to let through.

HamiPose (CVPR 2026) §3.2–3.3. For keypoint k let :math:`\hat g_s, \hat g_t` be the gradients of the two losses with
respect to its row of the last 1 × 1 layer, and :math:`\langle a, b\rangle = a^\top D_k^{-1} b`. Then

.. math::
    \rho_k = \frac{\langle \hat g_s, \hat g_t\rangle}{\|\hat g_s\| \|\hat g_t\|}, \qquad
    a_k = \frac{\langle \hat g_s, \hat g_t\rangle}{\langle \hat g_s, \hat g_s\rangle}, \qquad
    \varphi_k = \max(0, \tanh(\gamma \rho_k))\, c_k .

The paper replaces :math:`g_t` by :math:`g_t - (1 - \varphi_k) a_k g_s`. As the two live on different images, the second
term belongs to the source's heatmaps, where it turns :math:`g_s` into :math:`w_k g_s` with

.. math:: w_k = 1 - \lambda (1 - \varphi_k) a_k ,

so that one backward pass of :math:`\sum_k w_k L_s^{(k)} + \lambda \sum_k L_t^{(k)}` does it all.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = [
    "AlignmentGate",
    "DiagonalMetric",
    "Gate",
    "KeypointGate",
    "OneGroup",
    "OpenGate",
    "ScalarMetric",
    "UnifiedGate",
    "confidence",
    "decompose",
    "pull_back",
]


@torch.no_grad()
def pull_back(
    grad_heatmaps: Float[Tensor, "batch keypoint height width"], features: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, "keypoint parameter"]:
    r"""Gradients of the last layer's rows, :math:`\hat g^{(k)} = \sum_{n,u} g^{(k)}(n,u)\,[F(n,:,u); 1]` (§3.2).

    Args:
        grad_heatmaps: gradient of a loss with respect to the heatmaps.
        features: input of the 1 × 1 layer that made the heatmaps.

    Returns:
        A row per keypoint: the gradient of its weights, then of its bias; in single precision.
    """
    with torch.autocast(features.device.type, enabled=False):
        grad = grad_heatmaps.float().flatten(2)
        # A product per image and a sum of small matrices: no permuted copy of the features.
        weights = torch.bmm(grad, features.float().flatten(2).mT).sum(0)
    return torch.cat([weights, grad.sum((0, 2))[:, None]], dim=1)


@torch.no_grad()
def confidence(
    teacher_heatmaps: Float[Tensor, "batch keypoint height width"],
    crossed: Bool[Tensor, " batch"] | None = None,
    mirror: list[int] | None = None,
) -> Float[Tensor, " keypoint"]:
    """c_k: each channel's peak, clamped to [0, 1], averaged over the batch (eq. 9, which states no average).

    Args:
        teacher_heatmaps: as the teacher gave them.
        crossed: whether exactly one of teacher's and student's view is mirrored, so that k is the student's keypoint;
            none where not given.
        mirror: the skeleton's mirror pairs, with `crossed`.
    """
    peaks = teacher_heatmaps.float().amax((2, 3)).clamp(0, 1)
    if crossed is not None:
        peaks = torch.where(crossed[:, None], peaks[:, mirror], peaks)
    return peaks.mean(0)


@torch.no_grad()
def decompose(
    source: Float[Tensor, "group parameter"],
    target: Float[Tensor, "group parameter"],
    inverse_metric: Float[Tensor, "group #parameter"] | None = None,
) -> tuple[Float[Tensor, " group"], Float[Tensor, " group"]]:
    """Cosine ρ and projection coefficient a of the target's gradient on the source's (eq. 5, 6).

    Args:
        source: gradient of the source loss, a row per group.
        target: gradient of the target loss.
        inverse_metric: diagonal of D⁻¹; the identity where None. One number per row cancels.

    Returns:
        ρ and a. Both are 0 where a gradient is zero: nothing conflicts, nothing is projected.
    """
    # Rows are brought to size 1 first, so that no square under- or overflows in single precision.
    source, source_scale = _normalised(source)
    target, target_scale = _normalised(target)
    metric = 1.0 if inverse_metric is None else _normalised(inverse_metric)[0]
    ss, tt, st = ((metric * a * b).sum(-1) for a, b in ((source, source), (target, target), (source, target)))
    zero = (ss == 0) | (tt == 0)
    cosine = torch.where(zero, 0.0, st / (ss.sqrt() * tt.sqrt())).clamp(-1, 1)
    projection = torch.where(zero, 0.0, st / ss * (target_scale / source_scale))
    return cosine, projection


class Gate(NamedTuple):
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


class AlignmentGate(ABC):
    """Decides, from two gradients and the teacher's confidence, how much the source loss of each keypoint counts."""

    @abstractmethod
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        trade_off: float,
        inverse_metric: Float[Tensor, "keypoint #parameter"] | None = None,
    ) -> Gate:
        """Weigh one batch.

        Args:
            source: pulled-back gradient of the source loss.
            target: pulled-back gradient of the target loss, without its factor λ.
            confidence: c, of the teacher's heatmaps.
            progress: the step as a fraction of the warm-up of γ; from 1 on nothing changes.
            trade_off: λ.
            inverse_metric: diagonal of D⁻¹.
        """


class KeypointGate(AlignmentGate):
    """The paper's gate: every keypoint on its own.

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: a floor for w, which falls below 0 where a > 1 / (λ (1 − φ)). Off in the paper.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        if not 0 <= gamma_min <= gamma_max:
            raise ValueError(f"gamma_min is {gamma_min} and gamma_max {gamma_max}: expected 0 ≤ gamma_min ≤ gamma_max")
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max
        self.min_weight = min_weight

    @torch.no_grad()
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        trade_off: float,
        inverse_metric: Float[Tensor, "keypoint #parameter"] | None = None,
    ) -> Gate:
        cosine, projection = decompose(source, target, inverse_metric)
        gamma = self.gamma_min + (self.gamma_max - self.gamma_min) * _fraction(progress)
        openness = torch.tanh(gamma * cosine).clamp(min=0) * confidence.float().clamp(0, 1)
        weight = 1 - trade_off * (1 - openness) * projection
        if self.min_weight is not None:
            weight = weight.clamp(min=self.min_weight)
        return Gate(weight, cosine, projection, openness)


class OneGroup(AlignmentGate):
    """One decision for all keypoints: another gate shown the whole layer as a single row, with the mean c.

    Args:
        gate: what decides.
    """

    def __init__(self, gate: AlignmentGate) -> None:
        self._gate = gate

    @torch.no_grad()
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        trade_off: float,
        inverse_metric: Float[Tensor, "keypoint #parameter"] | None = None,
    ) -> Gate:
        if inverse_metric is not None:
            inverse_metric = inverse_metric.expand_as(source).reshape(1, -1)
        one = self._gate(
            source.reshape(1, -1),
            target.reshape(1, -1),
            confidence.mean(0, keepdim=True),
            progress=progress,
            trade_off=trade_off,
            inverse_metric=inverse_metric,
        )
        return Gate(*(value.expand(len(source)) for value in one if value is not None))


class UnifiedGate(OneGroup):
    """The ablation of "keypointwise": :class:`KeypointGate` on the whole layer's gradients.

    Args:
        gamma_min: γ at the start.
        gamma_max: γ after the warm-up.
        min_weight: as in :class:`KeypointGate`.
    """

    def __init__(self, gamma_min: float = 0.0, gamma_max: float = 2.0, min_weight: float | None = None) -> None:
        super().__init__(KeypointGate(gamma_min, gamma_max, min_weight))


class OpenGate(AlignmentGate):
    """Lets everything through: the plain sum of both losses, with ρ and a still measured."""

    @torch.no_grad()
    def __call__(
        self,
        source: Float[Tensor, "keypoint parameter"],
        target: Float[Tensor, "keypoint parameter"],
        confidence: Float[Tensor, " keypoint"],
        *,
        progress: float,
        trade_off: float,
        inverse_metric: Float[Tensor, "keypoint #parameter"] | None = None,
    ) -> Gate:
        cosine, projection = decompose(source, target, inverse_metric)
        return Gate(torch.ones_like(cosine), cosine, projection, torch.ones_like(cosine))


class ScalarMetric(nn.Module):
    r"""The paper's :math:`D_k = (\alpha_k + \epsilon) I`, one number per keypoint (eq. 3). It cancels in ρ and a.

    .. math:: \alpha_k \leftarrow \mu \alpha_k + (1 - \mu)\,\mathrm{mean}((\Delta\theta^{(k)})^2)

    Args:
        keypoints: number of rows.
        decay: μ.
        eps: ϵ.
        initial: α at the start.
    """

    alpha: Tensor

    def __init__(self, keypoints: int, decay: float = 0.99, eps: float = 1e-8, initial: float = 1.0) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("alpha", torch.full((keypoints, 1), initial))

    def inverse(self) -> Float[Tensor, "keypoint 1"]:
        """Diagonal of D⁻¹."""
        return 1 / (self.alpha + self.eps)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Take in the step that the optimizer really made on the rows."""
        self.alpha.lerp_(increment.float().square().mean(1, keepdim=True), 1 - self.decay)


class DiagonalMetric(nn.Module):
    r"""The same average per coordinate instead of per row: a metric that does not cancel. Not in the paper.

    Args:
        keypoints: number of rows.
        parameters: length of a row: the channels of the features, and one for the bias.
        decay: μ.
        eps: ϵ.
        initial: α at the start. While 0.99^t · initial outweighs the squared steps the metric is nearly the identity.
    """

    alpha: Tensor

    def __init__(
        self, keypoints: int, parameters: int, decay: float = 0.99, eps: float = 1e-8, initial: float = 1.0
    ) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("alpha", torch.full((keypoints, parameters), initial))

    def inverse(self) -> Float[Tensor, "keypoint parameter"]:
        """Diagonal of D⁻¹."""
        return 1 / (self.alpha + self.eps)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Take in the step that the optimizer really made on the rows."""
        self.alpha.lerp_(increment.float().square(), 1 - self.decay)


def _fraction(progress: float) -> float:
    """min(1, t / T_warm)."""
    if not progress >= 0:
        raise ValueError(f"progress is {progress}: expected the step as a fraction of the warm-up, 0 or more")
    return min(1.0, progress)


def _normalised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows divided by their largest magnitude, and that magnitude; rows of zeros by 1."""
    rows = rows.float()
    largest = rows.abs().amax(-1)
    largest = torch.where(largest == 0, 1.0, largest)
    return rows / largest[:, None], largest
