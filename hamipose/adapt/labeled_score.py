"""Score a model on the images of the footage for which the user has labels."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.inference.predictor import Predictor
from hamipose.io.image_names import check_images_exist
from hamipose.metrics import pck_hits

__all__ = ["check_labels", "compute_labeled_pck", "predict_in_crops"]


def check_labels(dataset: CocoKeypoints) -> None:
    """Check that a labeled set can be scored.

    Args:
        dataset: the labeled images.

    Raises:
        UserError: an image is missing or has another size, or no keypoint of the score is labeled.
    """
    check_images_exist(list(dataset.image_sizes), dataset.annotations)
    dataset.prepare()
    skeleton = dataset.skeleton
    if not dataset.labels.visibility[:, skeleton.indices(skeleton.all)].any():
        raise UserError(
            f"{dataset.annotations} has no label for any of {', '.join(skeleton.all[:4])}, …, of which the score is "
            "the mean; label some of these, or leave out --labels"
        )


def predict_in_crops(
    model: Predictor, dataset: KeypointDataset, count: int | None = None
) -> tuple[Float[Tensor, "image keypoint 2"], Float[Tensor, "image keypoint 2"], Int[Tensor, "image keypoint"]]:
    """Return predictions and labels in pixels of the crops, and the visibility of the labels.

    Args:
        model: the model.
        dataset: labeled images with the skeleton of the model.
        count: use only the first images; default: all.
    """
    size = model.info.image_size
    samples = [dataset[i] for i in range(len(dataset) if count is None else min(count, len(dataset)))]
    predicted, labeled, visible = [], [], []
    for sample, prediction in zip(samples, model.stream(samples), strict=True):
        matrix = crop_matrix(sample.box_px, size, sample.rotation_deg)
        points, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
        predicted.append(apply_points(matrix, prediction.keypoints_px.astype(np.float64)).astype(np.float32))
        labeled.append(points)
        visible.append(visibility)
    first, second, third = (torch.from_numpy(np.stack(rows)) for rows in (predicted, labeled, visible))
    return first, second, third


def compute_labeled_pck(
    model: Predictor, dataset: KeypointDataset, thresholds: tuple[float, ...] = (0.05, 0.1), count: int | None = None
) -> dict[float, float]:
    """Return the strict PCK over the joints of the skeleton's main score, with equal weight for each labeled joint.

    Args:
        model: the model to score.
        dataset: labeled images with the skeleton of the model.
        thresholds: distances, as fractions of the side of the crop.
        count: use only the first images; default: all.

    Returns:
        A fraction for each threshold; NaN if nothing is labeled.
    """
    size, joints = model.info.image_size, model.skeleton.indices(model.skeleton.all)
    stacked = [rows[:, joints] for rows in predict_in_crops(model, dataset, count)]
    scores = {}
    for threshold in thresholds:
        hits, counted = pck_hits(stacked[0], stacked[1], stacked[2], (size, size), threshold)
        scores[threshold] = float(hits.sum() / counted.sum())
    return scores
