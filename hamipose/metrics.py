"""PCK, the percentage of correct keypoints: the strict protocol, and the published one with its averaging.

A formula is a function here; the classes only count, and torchmetrics adds their counts up over processes. All results
are fractions from 0 to 1.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from hamipose.heatmaps import argmax, is_inside, quantized_cell
from hamipose.skeletons import Skeleton

__all__ = ["PCK", "PaperPCK", "paper_pck", "pck_hits"]


def pck_hits(
    predicted_px: Float[Tensor, "batch keypoint 2"],
    keypoints_px: Float[Tensor, "batch keypoint 2"],
    visibility: Int[Tensor, "batch keypoint"],
    size: tuple[int, int],
    threshold: float = 0.05,
) -> tuple[Bool[Tensor, "batch keypoint"], Bool[Tensor, "batch keypoint"]]:
    """Which keypoints are found, and which count at all (the strict protocol).

    Args:
        predicted_px: predictions in pixels; NaN finds nothing.
        keypoints_px: the truth in pixels.
        visibility: COCO's; labeled keypoints (1 and 2) count where they lie on the image.
        size: height and width of the image.
        threshold: largest distance, itself excluded, as a fraction of the image's longer side.
    """
    counted = (visibility > 0) & is_inside(keypoints_px, size)
    near = torch.linalg.vector_norm(predicted_px - keypoints_px, dim=-1) < threshold * max(size)
    return near & counted, counted


def paper_pck(
    predicted_cells: Float[Tensor, "batch keypoint 2"],
    true_cells: Float[Tensor, "batch keypoint 2"],
    size: tuple[int, int],
    threshold: float = 0.05,
) -> Float[Tensor, " keypoint"]:
    """Accuracy per keypoint of one batch as RegDA and UniFrame compute it; −1 where no truth counts.

    Distances are measured in tenths of the heatmap and must lie below 0.5 (for the usual threshold of 0.05); a truth
    with x ≤ 1 or y ≤ 1 is ignored, which drops the joints without a map, and others at that border.

    Args:
        predicted_cells: argmax of the predicted heatmaps.
        true_cells: argmax of the true ones.
        size: height and width of the heatmaps.
        threshold: as a fraction of the heatmap's side.
    """
    # x is divided by the height and y by the width, as published; all published heatmaps are square.
    unit = true_cells.new_tensor(size) / 10
    distance = torch.linalg.vector_norm((predicted_cells - true_cells) / unit, dim=-1)
    counted = (true_cells > 1).all(-1)
    hits = ((distance < 10 * threshold) & counted).sum(0)
    number = counted.sum(0)
    return torch.where(number > 0, hits / number.clamp(min=1), -1.0)


class PCK(Metric):
    """PCK, strictly: every labeled keypoint on the image counts once, wherever in the data set it is.

    Args:
        skeleton: order and groups of the keypoints.
        threshold: as a fraction of the image's longer side.
        size: side of the images in pixels, or height and width.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    hits: Tensor
    counted: Tensor

    def __init__(self, skeleton: Skeleton, threshold: float = 0.05, size: int | tuple[int, int] = 256) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.threshold = threshold
        self.size = (size, size) if isinstance(size, int) else size
        for state in ("hits", "counted"):
            self.add_state(state, torch.zeros(len(skeleton), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        predicted_px: Float[Tensor, "batch keypoint 2"],
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        visibility: Int[Tensor, "batch keypoint"],
    ) -> None:
        """Count a batch; the arguments are those of :func:`pck_hits`."""
        hits, counted = pck_hits(predicted_px, keypoints_px, visibility, self.size, self.threshold)
        self.hits += hits.sum(0)
        self.counted += counted.sum(0)

    def per_keypoint(self) -> Float[Tensor, " keypoint"]:
        """PCK of each keypoint; NaN for those never seen."""
        return self.hits / self.counted  # 0 / 0 is NaN

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Return the mean over each group's keypoints, and over the skeleton's headline joints as "all".

        Keypoints never seen are left out of their means; a group none of whose keypoints was seen is NaN.
        """
        return _grouped(self.per_keypoint(), self.skeleton)


class PaperPCK(Metric):
    """PCK as published: argmax against argmax, each batch's accuracy averaged with the weight of its size.

    The result therefore depends on the batch size (32 in the papers), and under several processes on how the data is
    dealt out. Two variants, of a joint that no truth of a batch shows: RegDA's library ("tll") lets it enter the
    average as −1; UniFrame's leaves that batch out of the joint's average, which is 0 if no batch remains.

    Args:
        skeleton: order and groups of the keypoints.
        threshold: as a fraction of the heatmap's side.
        variant: whose averaging.
        stride: pixels per cell.

    Raises:
        ValueError: the variant is neither.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    weighted: Tensor
    weight: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        threshold: float = 0.05,
        variant: Literal["tll", "uniframe"] = "tll",
        stride: int = 4,
    ) -> None:
        super().__init__()
        if variant not in ("tll", "uniframe"):
            raise ValueError(f'variant is {variant!r}: expected "tll" or "uniframe"')
        self.skeleton = skeleton
        self.threshold = threshold
        self.variant = variant
        self.stride = stride
        for state in ("weighted", "weight"):
            self.add_state(state, torch.zeros(len(skeleton), dtype=torch.float32), dist_reduce_fx="sum")

    def update(
        self,
        heatmaps: Float[Tensor, "batch keypoint height width"],
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        visibility: Int[Tensor, "batch keypoint"],
    ) -> None:
        """Take in a batch as it was evaluated.

        Args:
            heatmaps: predictions.
            keypoints_px: the truth in pixels of the image.
            visibility: COCO's; the true heatmap of a keypoint without a label is zero.
        """
        height, width = heatmaps.shape[-2:]
        # The argmax of a true heatmap is the cell that its Gaussian was put on, or (0, 0) where there is none.
        true = quantized_cell(keypoints_px, self.stride)
        limit = true.new_tensor([width, height])
        drawn = ((true >= 0) & (true < limit)).all(-1) & (visibility > 0)
        accuracy = paper_pck(
            argmax(heatmaps)[0], torch.where(drawn[..., None], true, 0.0), (height, width), self.threshold
        )
        entering = torch.ones_like(accuracy) if self.variant == "tll" else (accuracy >= 0).float()
        self.weighted += len(heatmaps) * entering * accuracy
        self.weight += len(heatmaps) * entering

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Return the mean over each group's keypoints, and over the skeleton's headline joints as "all"."""
        return _grouped(self.weighted / self.weight.clamp(min=1), self.skeleton)


def _grouped(per_keypoint: Tensor, skeleton: Skeleton) -> dict[str, Tensor]:
    groups = {**skeleton.groups, "all": skeleton.all}
    return {name: per_keypoint[skeleton.indices(keypoints)].nanmean() for name, keypoints in groups.items()}
