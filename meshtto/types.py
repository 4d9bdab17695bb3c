"""What flows between data, body, regressors and methods.

Frames. Pixels: x to the right, y down, the centre of the first pixel is (0, 0), as in :mod:`hamipose.types`. Cameras:
x to the right, y down, z forward, metres; the principal point is the middle of the full image, (width − 1) / 2 and
(height − 1) / 2. Bodies at rest: x to the person's left, y up, z where the person looks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hamipose.types import UnlabelledSample, _Batch

__all__ = ["GENDERS", "BodyPrediction", "MeshBatch", "MeshSample", "Recovery"]

#: Positions are what `MeshBatch.gender` holds.
GENDERS = ("neutral", "male", "female")


@dataclass(kw_only=True)
class MeshSample(UnlabelledSample):
    """One person in one image, in pixels of the full image; nothing is cropped yet.

    Attributes:
        reduction: how many pixels of the full image, along x and along y, one pixel of `image` stands for; `box_px` and
            all else is in pixels of the full image.
        keypoints_px, keypoints_confidence: labels of the 49 joints; confidence 0: unknown.
        evidence_px, evidence_confidence: 2D joints that may also be used at test time.
        joints_m, joints_confidence: in camera axes, relative to the pelvis (``JOINTS49.index("pelvis")``).
        rotations: of SMPL's 24 joints against their parents, the root against the camera.
        shape: ten coefficients.
        has_mesh: whether rotations and shape are labels.
        image_size: width and height of the full image.
        focal_px: of the camera; where unknown, the diagonal of the full image.
        gender: position in `GENDERS`, of the body that the labels belong to.
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
    """Crops with everything known about the people in them.

    Augmentation turns the camera about its axis, mirrors the world, or zooms the box. So every label is that of a real
    picture: the *virtual* full image, whose principal point and focal length are those of the original, and in which
    `centre_px` and `side_px` are an upright box. A crop pixel is (p − centre) · height / side + (size − 1) / 2 of the
    virtual image's pixel p, whatever the augmentation; without augmentation the virtual image is the original.

    Attributes:
        image: crop, RGB.
        keypoints_px, keypoints_confidence: labels in pixels of the crop; confidence 0: unknown.
        evidence_px, evidence_confidence: 2D joints in pixels of the crop that may be used at test time and in the inner
            step: ground truth, a detector's, or a simulated detector's; the data set's `evidence` says which.
        joints_m, joints_confidence: in the virtual camera's axes, relative to the pelvis.
        rotations, shape, has_mesh: SMPL-shaped labels; the root's rotation is against the virtual camera.
        centre_px, side_px: the box in the virtual image; `side_px` is what the crop's *height* shows.
        image_size: width and height of the full image.
        focal_px: of the camera.
        matrix: pixels of the original full image → pixels of the crop, turning and mirroring included. Only for what is
            measured in or drawn onto the original; a projected mesh lies in the virtual image.
        mirrored: whether the world is mirrored (left and right are already exchanged in every label).
        gender: position in `GENDERS`, of the body that the labels belong to.
        name: where each picture comes from.
        index: position in the data set; -1: padding, which must not be counted.
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
    centre_px: Float[Tensor, "batch 2"]
    side_px: Float[Tensor, " batch"]
    image_size: Float[Tensor, "batch 2"]
    focal_px: Float[Tensor, " batch"]
    matrix: Float[Tensor, "batch 2 3"]
    mirrored: Bool[Tensor, " batch"]
    gender: Int[Tensor, " batch"]
    name: list[str]
    index: Int[Tensor, " batch"]


class BodyPrediction(NamedTuple):
    """A recovered body and how it is seen."""

    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]
    vertices_m: Float[Tensor, "batch vertex 3"]
    joints_m: Float[Tensor, "batch 49 3"]
    keypoints_px: Float[Tensor, "batch 49 2"]
    """Of the upright crop."""


class Recovery:
    """What a method makes of a batch at test time.

    Attributes:
        prediction: after adaptation.
        losses: [step, batch], before each step.
        steps: [batch], how many each image took.
        diverged: [batch], whose adaptation led astray: their prediction is that of the phase's beginning, which is the
            network's own answer in the first phase.
    """

    def __init__(self, prediction: BodyPrediction, losses: Tensor, steps: Tensor, diverged: Tensor) -> None:
        self.prediction, self.losses, self.steps, self.diverged = prediction, losses, steps, diverged
