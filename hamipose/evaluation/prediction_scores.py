"""Predicted keypoints scored under the protocols of the tables, whoever predicted them."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from hamipose.data.base import KeypointDataset
from hamipose.data.views import labels_in_view
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.heatmaps import encode
from hamipose.metrics import PCK, PaperPCK

__all__ = ["evaluate"]

_BATCH = 32  # the published averaging depends on it; 32 is the papers'


def evaluate(
    predicted_px: Float[np.ndarray, "sample keypoint 2"],
    dataset: KeypointDataset,
    protocol: Literal["strict", "paper"],
    size: int = 256,
    threshold: float = 0.05,
) -> dict[str, float]:
    """PCK by group as a fraction, "all" the headline.

    Under "paper" a prediction stands in the cell that a published target heatmap of it would peak in, and batches of 32
    are averaged as RegDA's library does. Keypoints that are NaN everywhere were not predicted at all, and do not count.

    Args:
        predicted_px: in pixels of the original images.
        dataset: the truth.
        protocol: whose rules.
        size: side of the crops in pixels.
        threshold: as a fraction of the side.

    Groups none of whose keypoints is labeled anywhere are left out.

    Raises:
        UserError: no keypoint that counts in the headline is labeled, or protocol "paper" lacks a prediction for one,
            which it would count as −1.
    """
    skeleton = dataset.skeleton
    metric = PCK(skeleton, threshold, size) if protocol == "strict" else PaperPCK(skeleton, threshold)
    absent = np.isnan(predicted_px).all((0, 2))
    lacking = [k for k in skeleton.all if absent[skeleton.index(k)]]
    if lacking and protocol == "paper":
        raise UserError(f"the predictions lack {', '.join(lacking)}, which protocol paper averages; use strict")
    labeled = np.zeros(len(skeleton), bool)
    for first in range(0, len(dataset), _BATCH):
        found, truth, seen = [], [], []
        for i in range(first, min(first + _BATCH, len(dataset))):
            sample = dataset[i]
            matrix = crop_matrix(sample.box_px, size)
            keypoints, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
            found.append(apply_points(matrix, predicted_px[i]).astype(np.float32))
            truth.append(keypoints)
            labeled |= visibility > 0
            seen.append(np.where(absent, 0, visibility))
        predicted, keypoints_px, visible = (torch.from_numpy(np.stack(rows)) for rows in (found, truth, seen))
        if isinstance(metric, PCK):
            metric.update(predicted, keypoints_px, visible)
        else:
            metric.update(encode(predicted, (size, size), quantize=True), keypoints_px, visible)
    if not any(labeled[skeleton.index(k)] for k in skeleton.all):
        raise UserError(
            f"no {', '.join(skeleton.all[:3])}, … of the {len(dataset)} people is labeled inside its crop: there is "
            "nothing to score; expected visibility 1 or 2 of keypoints that count"
        )
    values = {group: float(value) for group, value in metric.compute().items()}
    groups = {**skeleton.groups, "all": skeleton.all}
    missing = absent | ~labeled
    lost = {g for g, members in groups.items() if all(missing[skeleton.index(k)] for k in members)}
    return {group: value for group, value in values.items() if group not in lost and not np.isnan(value)}
