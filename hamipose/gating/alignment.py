"""Gradients of a keypoint's two losses, pulled back to its row of the last layer and compared; teacher confidence."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.precision import at_least_single

__all__ = ["confidence", "decompose", "pull_back"]


@torch.no_grad()
def pull_back(
    grad_heatmaps: Float[Tensor, "batch keypoint height width"], features: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, "keypoint parameter"]:
    r"""Return gradients of the last layer's rows, :math:`\hat g^{(k)} = \sum_{n,u} g^{(k)}(n,u)\,[F(n,:,u); 1]` (§3.2).

    Args:
        grad_heatmaps: gradient of a loss with respect to the heatmaps.
        features: input of the 1 × 1 layer that computed the heatmaps.

    Returns:
        One row per keypoint: the gradient of its weights, then of its bias; in at least single precision.
    """
    with torch.autocast(features.device.type, enabled=False):
        grad = at_least_single(grad_heatmaps).flatten(2)
        # One product per image and a sum of small matrices: no permuted copy of the features.
        weights = torch.bmm(grad, at_least_single(features).flatten(2).mT).sum(0)
    return torch.cat([weights, grad.sum((0, 2))[:, None]], dim=1)


@torch.no_grad()
def confidence(
    teacher_heatmaps: Float[Tensor, "batch keypoint height width"],
    crossed: Bool[Tensor, " batch"] | None = None,
    mirror: list[int] | None = None,
) -> Float[Tensor, " keypoint"]:
    """Return c_k: the peak of each channel, clamped to [0, 1], averaged over the batch (eq. 9 has no average).

    Args:
        teacher_heatmaps: heatmaps in the teacher's view.
        crossed: whether exactly one of the two views is mirrored; then left and right channels are exchanged, so that
            k is the student's keypoint. Default: None, never.
        mirror: mirror pairs of the skeleton; required with `crossed`.
    """
    peaks = at_least_single(teacher_heatmaps).amax((2, 3)).clamp(0, 1)
    if crossed is not None:
        peaks = torch.where(crossed[:, None], peaks[:, mirror], peaks)
    return peaks.mean(0)


@torch.no_grad()
def decompose(
    source: Float[Tensor, "group parameter"],
    target: Float[Tensor, "group parameter"],
    inverse_metric: Float[Tensor, " group #parameter"] | None = None,
) -> tuple[Float[Tensor, " group"], Float[Tensor, " group"]]:
    """Return the cosine ρ and the projection coefficient a of the target gradient onto the source gradient (eq. 5, 6).

    Args:
        source: gradient of the source loss, one row per group.
        target: gradient of the target loss.
        inverse_metric: diagonal of D⁻¹; one number per row cancels. Default: None, the identity.

    Returns:
        ρ and a. Both are 0 if one of the gradients is zero.
    """
    # Rows are scaled to size 1 first, so that no square under- or overflows in single precision.
    source, source_scale = _normalize(source)
    target, target_scale = _normalize(target)
    metric = 1.0 if inverse_metric is None else _normalize(inverse_metric)[0]
    ss, tt, st = ((metric * a * b).sum(-1) for a, b in ((source, source), (target, target), (source, target)))
    zero = (ss == 0) | (tt == 0)
    cosine = torch.where(zero, 0.0, st / (ss.sqrt() * tt.sqrt())).clamp(-1, 1)
    projection = torch.where(zero, 0.0, st / ss * (target_scale / source_scale))
    return cosine, projection


def _normalize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows divided by their largest magnitude, and that magnitude; rows of zeros are divided by 1."""
    rows = at_least_single(rows)
    largest = rows.abs().amax(-1)
    largest = torch.where(largest == 0, 1.0, largest)
    return rows / largest[:, None], largest
