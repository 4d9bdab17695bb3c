"""A score where a user has labels for some pictures after all."""

import numpy as np
import torch

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.inference.predictor import Predictor
from hamipose.io.image_names import check_images_exist
from hamipose.metrics import pck_hits

__all__ = ["check_labels", "labeled_pck"]


def check_labels(dataset: CocoKeypoints) -> None:
    """Check that there is something to score.

    Args:
        dataset: labeled pictures.

    Raises:
        UserError: a picture is missing or of another size, or no keypoint that counts is labeled.
    """
    check_images_exist(list(dataset.pictures), dataset.annotations)
    dataset.prepare()
    skeleton = dataset.skeleton
    if not dataset.table.visibility[:, skeleton.indices(skeleton.all)].any():
        raise UserError(
            f"{dataset.annotations} has no label for any of {', '.join(skeleton.all[:4])}, …, of which the score is "
            "the mean; label some of these, or leave --labels out"
        )


def labeled_pck(
    model: Predictor, dataset: KeypointDataset, thresholds: tuple[float, ...] = (0.05, 0.1), count: int | None = None
) -> dict[float, float]:
    """Strict PCK over the joints of the skeleton's headline number, each labeled one counted once.

    Args:
        model: any.
        dataset: labeled pictures, of the model's skeleton.
        thresholds: as shares of the crop's side.
        count: use so many pictures; all where not given.

    Returns:
        A share for each threshold; NaN where nothing is labeled.
    """
    size, joints = model.info.image_size, model.skeleton.indices(model.skeleton.all)
    samples = [dataset[i] for i in range(len(dataset) if count is None else min(count, len(dataset)))]
    guesses, truths, seen = [], [], []
    for sample, found in zip(samples, model.stream(samples), strict=True):
        matrix = crop_matrix(sample.box_px, size, sample.rotation_deg)
        truth, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
        guesses.append(apply_points(matrix, found.keypoints_px.astype(np.float64)).astype(np.float32)[joints])
        truths.append(truth[joints])
        seen.append(visibility[joints])
    stacked = [torch.from_numpy(np.stack(rows)) for rows in (guesses, truths, seen)]
    found_shares = {}
    for threshold in thresholds:
        hits, counted = pck_hits(stacked[0], stacked[1], stacked[2], (size, size), threshold)
        found_shares[threshold] = float(hits.sum() / counted.sum())
    return found_shares
