"""Heatmap losses: pure functions that return one value per keypoint, so that each can be weighted on its own."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["consistency", "heatmap_mse"]


def heatmap_mse(
    predicted: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint"]
    | Bool[Tensor, "batch keypoint"]
    | Float[Tensor, "batch #keypoint height width"]
    | Bool[Tensor, "batch #keypoint height width"]
    | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " keypoint"]:
    r"""Weighted squared error of each keypoint's heatmaps.

    .. math:: L_k = \frac{1}{2Z} \sum_{n,u} w_{nk}(u) (H_{nk}(u) - \hat H_{nk}(u))^2

    Args:
        predicted: heatmaps of the network; any floating type, single precision is used from here on.
        target: heatmaps to reach.
        weight: one number per keypoint of an image (its visibility), or a mask over the cells.
        reduction: the normaliser :math:`Z`. "mean": batch · keypoints · height · width, so that the sum over keypoints
            is half the mean squared error over all elements, masked or not (the convention of RegDA and UniFrame).
            "sum": the batch alone, so that it is half the squared norm that HamiPose prints (eq. 1), per image.

    Returns:
        One loss per keypoint. What is not a number stays so, under a zero weight too.

    Raises:
        ValueError: the reduction is neither.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction is {reduction!r}: expected "mean" or "sum"')
    error = (predicted.float() - target.float()).square()
    if weight is not None and weight.ndim == 4:
        error = error * weight
    per_map = error.sum((2, 3))
    if weight is not None and weight.ndim == 2:
        per_map = per_map * weight
    normaliser = predicted.numel() if reduction == "mean" else len(predicted)
    return per_map.sum(0) * (0.5 / normaliser)


def consistency(
    student: Float[Tensor, "batch keypoint height width"],
    teacher: Float[Tensor, "batch keypoint height width"],
    mask: Bool[Tensor, "batch #keypoint height width"] | Float[Tensor, "batch #keypoint height width"] | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " keypoint"]:
    r"""The target loss :math:`L_t`: the student against the teacher, in the student's view (HamiPose eq. 1).

    Args:
        student: the student's heatmaps.
        teacher: the teacher's heatmaps carried into the student's view; no gradient flows into them.
        mask: cells that the teacher saw.
        reduction: as in :func:`heatmap_mse`.
    """
    return heatmap_mse(student, teacher.detach(), mask, reduction)
