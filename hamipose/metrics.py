"""PCK, the percentage of correct keypoints: the strict protocol, and the published protocol with its averaging.

The formulas are functions; the classes only count, and torchmetrics sums the counts over processes. All results are
fractions from 0 to 1.
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
    """Return which keypoints are correct, and which are counted (the strict protocol).

    Args:
        predicted_px: predictions in pixels; NaN is never correct.
        keypoints_px: ground truth in pixels.
        visibility: visibility flags of COCO; labeled keypoints (1 and 2) inside the image are counted.
        size: height and width of the image.
        threshold: distances below this fraction of the image's longer side are correct.

    Returns:
        Two masks: correct keypoints, and counted keypoints.
    """
    counted = (visibility > 0) & is_inside(keypoints_px, size)
    close = torch.linalg.vector_norm(predicted_px - keypoints_px, dim=-1) < threshold * max(size)
    return close & counted, counted


def paper_pck(
    predicted_cells: Float[Tensor, "batch keypoint 2"],
    true_cells: Float[Tensor, "batch keypoint 2"],
    size: tuple[int, int],
    threshold: float = 0.05,
) -> Float[Tensor, " keypoint"]:
    """Return the accuracy per keypoint of one batch as RegDA and UniFrame compute it; −1 if no keypoint is counted.

    Distances are measured in tenths of the heatmap and must be below 0.5 (for the usual threshold of 0.05). Ground
    truth with x ≤ 1 or y ≤ 1 is ignored: keypoints without a heatmap, and others at that border.

    Args:
        predicted_cells: argmax of the predicted heatmaps.
        true_cells: argmax of the ground-truth heatmaps.
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
    """PCK of the strict protocol: every labeled keypoint inside its image is counted once.

    Args:
        skeleton: order and groups of the keypoints.
        threshold: as a fraction of the image's longer side.
        size: side of the images in pixels, or their height and width.
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
        """Add a batch; the arguments are those of :func:`pck_hits`."""
        hits, counted = pck_hits(predicted_px, keypoints_px, visibility, self.size, self.threshold)
        self.hits += hits.sum(0)
        self.counted += counted.sum(0)

    def per_keypoint(self) -> Float[Tensor, " keypoint"]:
        """Return the PCK of each keypoint; NaN if it was never counted."""
        return self.hits / self.counted  # 0 / 0 is NaN

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Return the mean over the keypoints of each group, and over the skeleton's main keypoints as "all".

        Keypoints that were never counted are excluded from the means; a group without counted keypoints is NaN.
        """
        return _grouped(self.per_keypoint(), self.skeleton)


class PaperPCK(Metric):
    """PCK of the published protocol: argmax against argmax; accuracies of batches, averaged with the batch sizes.

    The result therefore depends on the batch size (32 in the papers) and, with several processes, on how the data is
    distributed. The two variants differ for a keypoint that is not counted in a batch: RegDA's library ("tll") averages
    it as −1; UniFrame excludes that batch from the keypoint's average, which is 0 if no batch remains.

    Args:
        skeleton: order and groups of the keypoints.
        threshold: as a fraction of the heatmap's side.
        variant: averaging of "tll" or of "uniframe".
        stride: pixels per cell.

    Raises:
        ValueError: `variant` is not one of these.
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
            raise ValueError(f'variant is {variant!r}, expected "tll" or "uniframe"')
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
        """Add a batch.

        Args:
            heatmaps: predicted heatmaps.
            keypoints_px: ground truth in pixels of the image.
            visibility: visibility flags of COCO; the ground-truth heatmap of an unlabeled keypoint is zero.
        """
        height, width = heatmaps.shape[-2:]
        # The argmax of a ground-truth heatmap is the cell at the center of its Gaussian, or (0, 0) without a Gaussian.
        true = quantized_cell(keypoints_px, self.stride)
        limit = true.new_tensor([width, height])
        has_map = ((true >= 0) & (true < limit)).all(-1) & (visibility > 0)
        accuracy = paper_pck(
            argmax(heatmaps)[0], torch.where(has_map[..., None], true, 0.0), (height, width), self.threshold
        )
        included = torch.ones_like(accuracy) if self.variant == "tll" else (accuracy >= 0).float()
        self.weighted += len(heatmaps) * included * accuracy
        self.weight += len(heatmaps) * included

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Return the mean over the keypoints of each group, and over the skeleton's main keypoints as "all"."""
        return _grouped(self.weighted / self.weight.clamp(min=1), self.skeleton)


def _grouped(per_keypoint: Tensor, skeleton: Skeleton) -> dict[str, Tensor]:
    groups = {**skeleton.groups, "all": skeleton.all}
    return {name: per_keypoint[skeleton.indices(keypoints)].nanmean() for name, keypoints in groups.items()}
