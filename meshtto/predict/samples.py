"""A user's people as the samples that a regressor reads."""

import numpy as np
from jaxtyping import Float

from hamipose.data.crops import whole_box
from hamipose.errors import InputError
from meshtto.data.base import box_of_joints, unknown_mesh
from meshtto.predict.frames import Shown
from meshtto.predict.keypoints import Evidence
from meshtto.types import MeshSample

__all__ = ["person_in", "somebody_in"]


def _sample(
    shown: Shown, number: int, box_px: Float[np.ndarray, "4"], found: Evidence, focal_px: float | None
) -> MeshSample:
    height, width = shown.image.shape[:2]
    return MeshSample(
        image=shown.image,
        box_px=box_px,
        name=f"{shown.name}#{number}",
        keypoints_px=found.keypoints_px,
        keypoints_confidence=np.zeros(49, np.float32),
        evidence_px=found.keypoints_px,
        evidence_confidence=found.confidence,
        joints_m=np.zeros((49, 3), np.float32),
        joints_confidence=np.zeros(49, np.float32),
        image_size=np.array([width, height], np.float32),
        focal_px=float(np.hypot(width, height)) if focal_px is None else focal_px,
        **unknown_mesh(),
    )


def somebody_in(shown: Shown, focal_px: float | None = None) -> MeshSample:
    """The person of a picture of whom nothing is known: the box is the whole picture.

    Args:
        shown: the picture.
        focal_px: of the camera; the picture's diagonal where not known.
    """
    height, width = shown.image.shape[:2]
    nothing = Evidence(np.zeros((49, 2), np.float32), np.zeros(49, np.float32))
    return _sample(shown, 0, whole_box(width, height), nothing, focal_px)


def person_in(
    shown: Shown, number: int, found: Evidence, focal_px: float | None = None, least: float = 0.0
) -> MeshSample:
    """One person of a picture; the box is that of the keypoints.

    Args:
        shown: the picture.
        number: of the person in it.
        found: keypoints.
        focal_px: of the camera; the picture's diagonal where not known.
        least: keypoints of less confidence do not count as found.

    Raises:
        InputError: no keypoint is found, all of them lie outside the picture, or they have no box.
    """
    person = f"person {number} of {shown.name}"
    sure = np.where(found.confidence >= least, found.confidence, 0).astype(np.float32)
    if not sure.any():
        raise InputError(
            f"{person}: the surest keypoint has confidence {found.confidence.max():.2g}, expected one of at least "
            f"{least:g}; a lower --least takes what there is"
        )
    found = Evidence(found.keypoints_px, sure)
    height, width = shown.image.shape[:2]
    known = found.keypoints_px[sure > 0]
    if not ((known >= 0) & (known < [width, height])).all(1).any():
        raise InputError(
            f"{person}: all {len(known)} keypoints lie outside the picture of {width} × {height} px; check that the "
            "keypoints belong to it"
        )
    try:
        box_px = box_of_joints(found.keypoints_px, sure)
    except ValueError as error:
        raise InputError(f"{person} has no box: {error}") from None
    return _sample(shown, number, box_px, found, focal_px)
