"""Convert a user's images and keypoints to samples for a regressor."""

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from meshtto.data.base import joint_box, unknown_mesh
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence
from meshtto.types import MeshSample

__all__ = ["person_sample", "whole_image_sample"]


def _sample(
    frame: Frame, number: int, box_px: Float[np.ndarray, "4"], found: Evidence, focal_px: float | None
) -> MeshSample:
    height, width = frame.image.shape[:2]
    return MeshSample(
        image=frame.image,
        box_px=box_px,
        name=f"{frame.name}#{number}",
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


def whole_image_sample(frame: Frame, focal_px: float | None = None) -> MeshSample:
    """Return the sample of an image without evidence: the box is the whole image.

    Args:
        frame: the image.
        focal_px: focal length of the camera; default: the image's diagonal.
    """
    height, width = frame.image.shape[:2]
    nothing = Evidence(np.zeros((49, 2), np.float32), np.zeros(49, np.float32))
    return _sample(frame, 0, whole_image_box(width, height), nothing, focal_px)


def person_sample(
    frame: Frame, number: int, found: Evidence, focal_px: float | None = None, min_confidence: float = 0.0
) -> MeshSample:
    """Return the sample of one person in an image, with the box of the keypoints.

    Args:
        frame: the image.
        number: number of the person.
        found: the keypoints.
        focal_px: focal length of the camera; default: the image's diagonal.
        min_confidence: keypoints of lower confidence are ignored.

    Raises:
        UserError: there are no keypoints, all of them lie outside the image, or they have no box.
    """
    person = f"person {number} of {frame.name}"
    confidence = np.where(found.confidence >= min_confidence, found.confidence, 0).astype(np.float32)
    if not confidence.any():
        raise UserError(
            f"{person}: the highest keypoint confidence is {found.confidence.max():.2g}, expected at least "
            f"{min_confidence:g}; a lower --min-confidence accepts it"
        )
    found = Evidence(found.keypoints_px, confidence)
    height, width = frame.image.shape[:2]
    known = found.keypoints_px[confidence > 0]
    if not ((known >= 0) & (known < [width, height])).all(1).any():
        raise UserError(
            f"{person}: all {len(known)} keypoints lie outside the image of {width} × {height} px; check that the "
            "keypoints belong to it"
        )
    try:
        box_px = joint_box(found.keypoints_px, confidence)
    except ValueError as error:
        raise UserError(f"{person} has no box: {error}") from None
    return _sample(frame, number, box_px, found, focal_px)
