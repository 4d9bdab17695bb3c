"""Score predicted keypoints of any system under the protocols of the tables."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float

from hamipose.data.base import KeypointDataset
from hamipose.errors import UserError
from hamipose.evaluation.score_metrics import METRICS, ScoreMetric
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.heatmaps import encode
from hamipose.skeletons import Skeleton

__all__ = ["evaluate"]

_BATCH = 32  # the published averaging depends on it; the papers use 32


def evaluate(
    predicted_px: Float[np.ndarray, "sample keypoint 2"],
    dataset: KeypointDataset,
    protocol: Literal["strict", "paper"],
    size: int = 256,
    metrics: Sequence[ScoreMetric] = METRICS,
) -> dict[str, dict[str, float]]:
    """Return the scores by key of the metric and keypoint group; "all" is the headline.

    Under "paper", a prediction is placed in the cell where its published target heatmap would peak, and batches of 32
    are averaged as in RegDA's library. Keypoints that are NaN in all predictions count as not predicted and are
    ignored. Groups without any labeled keypoint are omitted.

    Args:
        predicted_px: predictions in pixels of the original images.
        dataset: the ground truth.
        protocol: the strict or the published protocol.
        size: side of the crops in pixels.
        metrics: the metrics to compute.

    Raises:
        UserError: no keypoint of the headline is labeled, or, under protocol "paper", one of them is not predicted,
            which that protocol would count as −1.
    """
    skeleton = dataset.skeleton
    strict = protocol == "strict"
    counters = {
        key: counter
        for metric in metrics
        for key, counter in (
            metric.build(skeleton, size) if strict else metric.build_published(skeleton, "tll")
        ).items()
    }
    absent = np.isnan(predicted_px).all((0, 2))
    missing = [k for k in skeleton.all if absent[skeleton.index(k)]]
    if missing and not strict:
        raise UserError(
            f"the predictions lack {', '.join(missing)}, which protocol paper averages; use --protocol strict"
        )
    labeled = np.zeros(len(skeleton), bool)
    for first in range(0, len(dataset), _BATCH):
        predictions, truth, visible = [], [], []
        for i in range(first, min(first + _BATCH, len(dataset))):
            sample = dataset[i]
            matrix = crop_matrix(sample.box_px, size)
            keypoints, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
            predictions.append(apply_points(matrix, predicted_px[i]).astype(np.float32))
            truth.append(keypoints)
            labeled |= visibility > 0
            visible.append(np.where(absent, 0, visibility))
        predicted, keypoints_px, counted = (torch.from_numpy(np.stack(rows)) for rows in (predictions, truth, visible))
        predicted = predicted if strict else encode(predicted, (size, size), quantize=True)
        for counter in counters.values():
            counter.update(predicted, keypoints_px, counted)
    if not any(labeled[skeleton.index(k)] for k in skeleton.all):
        raise UserError(
            f"no {', '.join(skeleton.all[:3])}, … of the {len(dataset)} people is labeled inside its crop, so there "
            "is nothing to score; labeled keypoints must have visibility 1 or 2"
        )
    groups = _scored_groups(skeleton, ~absent & labeled)
    values = {key: {g: float(v) for g, v in counter.compute().items()} for key, counter in counters.items()}
    return {key: {g: v for g, v in row.items() if g in groups and not np.isnan(v)} for key, row in values.items()}


def _scored_groups(skeleton: Skeleton, scored: Bool[np.ndarray, " keypoint"]) -> set[str]:
    """Return the groups with at least one scored keypoint."""
    groups = {**skeleton.groups, "all": skeleton.all}
    return {group for group, members in groups.items() if any(scored[skeleton.index(k)] for k in members)}
