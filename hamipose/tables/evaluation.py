"""Predicted keypoints scored under the protocols of the tables, whoever predicted them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from hamipose.affine import apply_points, crop_matrix
from hamipose.data.base import KeypointDataset
from hamipose.data.views import labels_in_view
from hamipose.errors import InputError
from hamipose.heatmaps import encode
from hamipose.metrics import PCK, PaperPCK
from hamipose.skeletons import Skeleton

__all__ = ["evaluate", "in_order"]

_BATCH = 32  # the published averaging depends on it; 32 is the papers'


def in_order(
    predicted: Float[np.ndarray, "sample found 2"], names: Sequence[str], skeleton: Skeleton
) -> Float[np.ndarray, "sample keypoint 2"]:
    """Predictions in the skeleton's order, matched by the keypoints' names; NaN where a name is missing.

    Raises:
        InputError: no name is the skeleton's.
    """
    places = [names.index(k) if k in names else None for k in skeleton.keypoints]
    if all(place is None for place in places):
        raise InputError(f"the predictions name {', '.join(names[:4])}…, none of {skeleton.name}'s keypoints")
    ordered = np.full((len(predicted), len(skeleton), 2), np.nan)
    for k, place in enumerate(places):
        if place is not None:
            ordered[:, k] = predicted[:, place]
    return ordered


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

    Raises:
        InputError: protocol "paper" lacks a keypoint of the headline, for which it would count −1.
    """
    skeleton = dataset.skeleton
    metric = PCK(skeleton, threshold, size) if protocol == "strict" else PaperPCK(skeleton, threshold)
    absent = np.isnan(predicted_px).all((0, 2))
    lacking = [k for k in skeleton.all if absent[skeleton.index(k)]]
    if lacking and protocol == "paper":
        raise InputError(f"the predictions lack {', '.join(lacking)}, which protocol paper averages; use strict")
    for first in range(0, len(dataset), _BATCH):
        found, truth, seen = [], [], []
        for i in range(first, min(first + _BATCH, len(dataset))):
            sample = dataset[i]
            matrix = crop_matrix(sample.box_px, size)
            keypoints, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
            found.append(apply_points(matrix, predicted_px[i]).astype(np.float32))
            truth.append(keypoints)
            seen.append(np.where(absent, 0, visibility))
        predicted, keypoints_px, visible = (torch.from_numpy(np.stack(rows)) for rows in (found, truth, seen))
        if isinstance(metric, PCK):
            metric.update(predicted, keypoints_px, visible)
        else:
            metric.update(encode(predicted, (size, size), quantise=True), keypoints_px, visible)
    values = {group: float(value) for group, value in metric.compute().items()}
    groups = {**skeleton.groups, "all": skeleton.all}
    lost = {g for g, members in groups.items() if all(absent[skeleton.index(k)] for k in members)}
    return {group: value for group, value in values.items() if group not in lost and not np.isnan(value)}
