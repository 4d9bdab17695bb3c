"""Data types that data sets, bodies, regressors and methods exchange.

Coordinate frames. Pixels: x to the right, y down; the center of the first pixel is (0, 0), as in :mod:`hamipose.types`.
Cameras: x to the right, y down, z forward, in meters; the principal point is the center of the full image,
(width − 1) / 2 and (height − 1) / 2. Bodies in the rest pose: x to the person's left, y up, z forward.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hamipose.types import UnlabeledSample, _Batch
from meshtto.genders import GENDERS

__all__ = ["GENDERS", "BodyPrediction", "MeshBatch", "MeshSample", "PairedBatch", "Recovery"]


@dataclass(kw_only=True)
class MeshSample(UnlabeledSample):
    """One person in one image, in pixels of the full image, before cropping.

    Attributes:
        reduction: pixels of the full image per pixel of `image`, along x and y; `box_px` and all other coordinates are
            in pixels of the full image.
        keypoints_px, keypoints_confidence: labels of the 49 joints; confidence 0 means unknown.
        evidence_px, evidence_confidence: 2D joints that may also be used at test time.
        joints_m, joints_confidence: in camera axes, relative to the pelvis (``JOINTS49.index("pelvis")``).
        rotations: rotations of SMPL's 24 joints relative to their parents; the root's is relative to the camera.
        shape: ten coefficients.
        has_mesh: whether rotations and shape are labels.
        image_size: width and height of the full image.
        focal_px: focal length of the camera; if unknown, the diagonal of the full image.
        gender: index into `GENDERS`, of the body that the labels belong to.
    """

    keypoints_px: Float[np.ndarray, "49 2"]
    keypoints_confidence: Float[np.ndarray, "49"]
    evidence_px: Float[np.ndarray, "49 2"]
    evidence_confidence: Float[np.ndarray, "49"]
    joints_m: Float[np.ndarray, "49 3"]
    joints_confidence: Float[np.ndarray, "49"]
    rotations: Float[np.ndarray, "24 3 3"]
    shape: Float[np.ndarray, "10"]
    has_mesh: bool
    image_size: Float[np.ndarray, "2"]
    focal_px: float
    gender: int = 0
    reduction: int = 1


@dataclass
class MeshBatch(_Batch):
    """Crops with all labels of the people in them.

    Augmentation rotates the camera about its axis, mirrors the world, or zooms the box. Every label is therefore that
    of a physically valid image: the *virtual* full image, which has the principal point and focal length of the
    original and in which `center_px` and `side_px` describe an upright box. Pixel p of the virtual image is crop pixel
    (p − center) · height / side + (size − 1) / 2 for every augmentation; without augmentation the virtual image is the
    original.

    Attributes:
        image: crop, RGB.
        keypoints_px, keypoints_confidence: labels in pixels of the crop; confidence 0 means unknown.
        evidence_px, evidence_confidence: 2D joints in pixels of the crop that may be used at test time and in the inner
            step: ground truth, a detector's, or a simulated detector's, as the data set's `evidence` states.
        joints_m, joints_confidence: in the axes of the virtual camera, relative to the pelvis.
        rotations, shape, has_mesh: SMPL-shaped labels; the root's rotation is relative to the virtual camera.
        center_px, side_px: the box in the virtual image; `side_px` corresponds to the crop's *height*.
        image_size: width and height of the full image.
        focal_px: focal length of the camera.
        matrix: maps pixels of the original full image to pixels of the crop, including rotation and mirroring. Only for
            points measured in, or drawn onto, the original; a projected mesh lies in the virtual image.
        mirrored: whether the world is mirrored (left and right are already swapped in every label).
        gender: index into `GENDERS`, of the body that the labels belong to.
        name: source of each image.
        index: position in the data set; -1 marks padding, which must not be counted.
    """

    image: UInt8[Tensor, "batch 3 height width"]
    keypoints_px: Float[Tensor, "batch 49 2"]
    keypoints_confidence: Float[Tensor, "batch 49"]
    evidence_px: Float[Tensor, "batch 49 2"]
    evidence_confidence: Float[Tensor, "batch 49"]
    joints_m: Float[Tensor, "batch 49 3"]
    joints_confidence: Float[Tensor, "batch 49"]
    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    has_mesh: Bool[Tensor, " batch"]
    center_px: Float[Tensor, "batch 2"]
    side_px: Float[Tensor, " batch"]
    image_size: Float[Tensor, "batch 2"]
    focal_px: Float[Tensor, " batch"]
    matrix: Float[Tensor, "batch 2 3"]
    mirrored: Bool[Tensor, " batch"]
    gender: Int[Tensor, " batch"]
    name: list[str]
    index: Int[Tensor, " batch"]


@dataclass
class PairedBatch(_Batch):
    """Two batches of a step, drawn in different orders: one for the regressor, one for the auxiliary network."""

    regressor: MeshBatch
    auxiliary: MeshBatch

    @property
    def name(self) -> list[str]:
        """Return the sources of all images."""
        return self.regressor.name + self.auxiliary.name


class BodyPrediction(NamedTuple):
    """A recovered body and its projection.

    Attributes:
        rotations: relative to the parent joint; the root's is relative to the camera.
        shape: ten coefficients.
        camera: (s, t_x, t_y), see :mod:`meshtto.camera`.
        vertices_m: vertices at zero translation.
        joints_m: the 49 joints at zero translation.
        keypoints_px: the projected joints in pixels of the upright crop.
    """

    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]
    vertices_m: Float[Tensor, "batch vertex 3"]
    joints_m: Float[Tensor, "batch 49 3"]
    keypoints_px: Float[Tensor, "batch 49 2"]


class Recovery:
    """Result of adapting to a batch at test time.

    Attributes:
        prediction: the prediction after adaptation.
        losses: [step, batch], the loss before each step.
        steps: [batch], the number of steps each image took.
        diverged: [batch], images whose adaptation diverged; their prediction is the one from the beginning of that
            phase, which in the first phase is that of the unadapted network.
    """

    def __init__(self, prediction: BodyPrediction, losses: Tensor, steps: Tensor, diverged: Tensor) -> None:
        self.prediction, self.losses, self.steps, self.diverged = prediction, losses, steps, diverged
