"""Many people without images at once: the same labels and crops as one by one, without a Python loop over people."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from meshtto.data.augmentation import Views, mirror_rotations
from meshtto.data.base import BOX_MARGIN
from meshtto.joints import JOINTS49, MIRROR49, OPENPOSE25
from meshtto.types import MeshBatch

__all__ = ["People", "crop_people"]


class People(NamedTuple):
    """People with all labels, in pixels of their full images; fields as in :class:`meshtto.types.MeshSample`."""

    name: list[str]
    keypoints_px: Float[np.ndarray, "person 49 2"]
    evidence_px: Float[np.ndarray, "person 49 2"]
    evidence_confidence: Float[np.ndarray, "person 49"]
    joints_m: Float[np.ndarray, "person 49 3"]
    rotations: Float[np.ndarray, "person 24 3 3"]
    shape: Float[np.ndarray, "person 10"]
    image_size: Float[np.ndarray, "person 2"]
    focal_px: Float[np.ndarray, " person"]


def crop_people(people: People, size: tuple[int, int], views: Views, index: Int[torch.Tensor, " person"]) -> MeshBatch:
    """Return black crops with all labels, as :func:`meshtto.data.sampling.crop_sample` does for one person.

    Args:
        people: the people, whose boxes are those of their joints.
        size: height and width of the crops.
        views: augmentation of each of them.
        index: their positions in the data set.
    """
    count = len(people.name)
    flip = np.where(views.mirror, -1.0, 1.0)
    turn = np.deg2rad(views.rotation_deg)
    about_axis = np.zeros((count, 3, 3))
    about_axis[:, 0, 0] = about_axis[:, 1, 1] = np.cos(turn)
    about_axis[:, 1, 0] = np.sin(turn)
    about_axis[:, 0, 1] = -about_axis[:, 1, 0]
    about_axis[:, 2, 2] = 1.0

    linear = about_axis[:, :2, :2].copy()
    linear[:, :, 0] *= flip[:, None]
    principal = (people.image_size.astype(np.float64) - 1) / 2
    low, high = (bound(people.keypoints_px[:, len(OPENPOSE25) :], 1).astype(np.float64) for bound in (np.min, np.max))
    extent = BOX_MARGIN * (high - low)
    center = np.einsum("nij,nj->ni", linear, (low + high) / 2 - principal) + principal
    side = views.scale * np.maximum(extent[:, 1], extent[:, 0] * size[0] / size[1])
    zoom = size[0] / side
    matrix = np.zeros((count, 2, 3))
    matrix[:, :, :2] = zoom[:, None, None] * linear
    middle = (np.array([size[1], size[0]]) - 1) / 2
    matrix[:, :, 2] = zoom[:, None] * (principal - np.einsum("nij,nj->ni", linear, principal) - center) + middle

    order = np.where(views.mirror[:, None], np.array(MIRROR49), np.arange(len(JOINTS49)))

    def points(points_px: np.ndarray) -> torch.Tensor:
        cropped = points_px @ matrix[:, :, :2].transpose(0, 2, 1) + matrix[:, None, :, 2]
        return _tensor(np.take_along_axis(cropped, order[..., None], 1))

    joints = np.take_along_axis(people.joints_m, order[..., None], 1).astype(np.float64)
    joints[..., 0] *= flip[:, None]
    rotations = np.where(views.mirror[:, None, None, None], mirror_rotations(people.rotations), people.rotations)
    rotations = rotations.astype(np.float64)
    rotations[:, 0] = about_axis @ rotations[:, 0]
    known = torch.ones(count, len(JOINTS49))
    return MeshBatch(
        image=torch.zeros(count, 3, *size, dtype=torch.uint8),
        keypoints_px=points(people.keypoints_px),
        keypoints_confidence=known,
        evidence_px=points(people.evidence_px),
        evidence_confidence=_tensor(np.take_along_axis(people.evidence_confidence, order, 1)),
        joints_m=_tensor(joints @ about_axis.transpose(0, 2, 1)),
        joints_confidence=known.clone(),
        rotations=_tensor(rotations),
        shape=_tensor(people.shape),
        has_mesh=torch.ones(count, dtype=torch.bool),
        center_px=_tensor(center),
        side_px=_tensor(side),
        image_size=_tensor(people.image_size),
        focal_px=_tensor(people.focal_px),
        matrix=_tensor(matrix),
        mirrored=torch.from_numpy(views.mirror),
        gender=torch.zeros(count, dtype=torch.long),
        name=people.name,
        index=index,
    )


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
