"""Heatmap losses: pure functions that return one value per keypoint, so that each keypoint can be weighted."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from hamipose.precision import at_least_single

__all__ = ["bernoulli_kl", "consistency", "heatmap_kl", "heatmap_mse", "small_losses"]


def heatmap_mse(
    predicted: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint"]
    | Bool[Tensor, "batch keypoint"]
    | Float[Tensor, " batch #keypoint #height #width"]
    | Bool[Tensor, " batch #keypoint #height #width"]
    | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " keypoint"]:
    r"""Return the weighted squared error of each keypoint's heatmaps.

    .. math:: L_k = \frac{1}{2Z} \sum_{n,u} w_{nk}(u) (H_{nk}(u) - \hat H_{nk}(u))^2

    Args:
        predicted: heatmaps of the network, of any floating type; the loss is computed in at least single precision.
        target: target heatmaps.
        weight: one number per keypoint of an image (its visibility), or a mask over the cells.
        reduction: the normalizer :math:`Z`. "mean": batch · keypoints · height · width, so that the sum over keypoints
            is half the mean squared error over all elements, masked or not (the convention of RegDA and UniFrame).
            "sum": only the batch size, so that the result is half the squared norm of HamiPose (eq. 1), per image.

    Returns:
        One loss per keypoint. NaN stays NaN, even if its weight is zero.

    Raises:
        ValueError: `reduction` is not one of these.
    """
    error = (at_least_single(predicted) - at_least_single(target)).square()
    total, normalizer = _weighted_sum(error, weight, reduction)
    return total * (0.5 / normalizer)


def bernoulli_kl(
    logits: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint"]
    | Bool[Tensor, "batch keypoint"]
    | Float[Tensor, " batch #keypoint #height #width"]
    | Bool[Tensor, " batch #keypoint #height #width"]
    | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " keypoint"]:
    r"""Return the divergence of each keypoint's heatmaps, where a heatmap is the sigmoid of logits.

    .. math:: L_k = \frac{1}{Z} \sum_{n,u} w_{nk}(u) \left[ \hat H \log\frac{\hat H}{\sigma(z)} +
        (1 - \hat H) \log\frac{1 - \hat H}{1 - \sigma(z)} \right]_{nk}(u), \qquad
        \frac{\partial L_k}{\partial z} = \frac{w}{Z} (\sigma(z) - \hat H)

    This is the binary cross-entropy minus the entropy of the target: 0, with a gradient of 0, exactly where the maps
    are equal. A squared error of sigmoids would give almost no gradient to a wrong but confident peak.

    Args:
        logits: outputs of the network, of any floating type; the loss is computed in at least single precision.
        target: target heatmaps, in [0, 1].
        weight: as in :func:`heatmap_mse`.
        reduction: the normalizer Z, as in :func:`heatmap_mse`.

    Returns:
        One loss per keypoint.

    Raises:
        ValueError: `reduction` is not one of these.
    """
    z, wanted = at_least_single(logits), at_least_single(target)
    entropy = -torch.special.xlogy(wanted, wanted) - torch.special.xlogy(1 - wanted, 1 - wanted)
    divergence = F.binary_cross_entropy_with_logits(z, wanted, reduction="none") - entropy
    total, normalizer = _weighted_sum(divergence, weight, reduction)
    return total / normalizer


def _weighted_sum(error: Tensor, weight: Tensor | None, reduction: str) -> tuple[Tensor, int]:
    """Return each keypoint's sum over the cells and the batch, and the normalizer Z of :func:`heatmap_mse`."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction is {reduction!r}, expected "mean" or "sum"')
    if weight is not None and weight.ndim == 4:
        error = error * weight
    per_map = error.sum((2, 3))
    if weight is not None and weight.ndim == 2:
        per_map = per_map * weight
    return per_map.sum(0), error.numel() if reduction == "mean" else len(error)


def consistency(
    student: Float[Tensor, "batch keypoint height width"],
    teacher: Float[Tensor, "batch keypoint height width"],
    mask: Bool[Tensor, " batch #keypoint #height #width"]
    | Float[Tensor, " batch #keypoint #height #width"]
    | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " keypoint"]:
    r"""Return the target loss :math:`L_t` between student and teacher, in the student's view (HamiPose eq. 1).

    Args:
        student: the student's heatmaps.
        teacher: the teacher's heatmaps, warped into the student's view; no gradient flows into them.
        mask: weights of the cells, for example 1 for those that are inside the teacher's view.
        reduction: as in :func:`heatmap_mse`.
    """
    return heatmap_mse(student, teacher.detach(), mask, reduction)


def heatmap_kl(
    predicted: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint"] | None = None,
    epsilon: float = 0.0,
) -> Float[Tensor, " keypoint"]:
    r"""Return the divergence of heatmaps as distributions over the cells (RegDA, CVPR 2021).

    .. math:: L_k = \frac{1}{NK} \sum_n w_{nk} \sum_u p(u) \log\frac{p(u)}{q(u)}, \qquad
        p = \frac{\hat H_{nk} + \epsilon}{\sum_u (\hat H_{nk} + \epsilon)}, \quad q = \mathrm{softmax}_u(H_{nk})

    Args:
        predicted: outputs of the network: logarithms of a density, up to a constant.
        target: target heatmaps, not negative.
        weight: one number per keypoint of an image.
        epsilon: keeps p positive everywhere.

    Returns:
        One loss per keypoint; their sum is the mean over images and keypoints. A target of zeros is not a distribution
        and has a loss of 0 (the published code divides by its sum and gets NaN).
    """
    density = at_least_single(target).flatten(2) + epsilon
    density = density / density.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    divergence = F.kl_div(F.log_softmax(at_least_single(predicted).flatten(2), -1), density, reduction="none").sum(-1)
    if weight is not None:
        divergence = divergence * weight
    return divergence.sum(0) / divergence.numel()


def small_losses(
    predicted: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint"],
    kept: int,
) -> Float[Tensor, " keypoint"]:
    r"""Return the squared errors of the keypoints with the smallest losses in each image (MDAM, Li & Lee, CVPR 2021).

    .. math:: L_k = \frac{1}{N K'} \sum_n [k \in S_n]\, \ell_{nk}, \qquad
        \ell_{nk} = \frac{w_{nk}}{2HW} \sum_u (H_{nk}(u) - \hat H_{nk}(u))^2

    with :math:`S_n` the :math:`K'` keypoints of image n that have a weight and the smallest :math:`\ell_{nk}`. Labels
    that a network cannot fit early in training are likely wrong.

    Args:
        predicted: heatmaps of the network.
        target: heatmaps of the pseudo-labels.
        weight: 0 for keypoints without a label; they are selected last and have a loss of 0.
        kept: K', the number of keypoints per image.
    """
    losses = (at_least_single(predicted) - at_least_single(target)).square().mean((2, 3)) * (0.5 * weight)
    order = losses.detach().masked_fill(weight <= 0, torch.inf).argsort(1).argsort(1)
    return (losses * (order < kept)).sum(0) / (len(losses) * kept)
