"""Base class of data sets of people with meshes, and defaults for unlabeled fields."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from hamipose.data.base import ImageDataset
from hamipose.errors import UserError
from meshtto.joints import JOINTS49
from meshtto.types import MeshSample

__all__ = ["BOX_MARGIN", "EVIDENCE", "MeshDataset", "check_evidence", "joint_box", "require_path", "unknown_mesh"]

#: Source of the 2D joints that may be used at test time: the labels, the data set's own detector (simulated for
#: built-in images), or none.
EVIDENCE = ("truth", "detector", "none")

#: Size of a person's box relative to that of the joints, in all papers.
BOX_MARGIN = 1.2

_FIRST = JOINTS49.index("right_ankle")  # first of the data sets' 24


class MeshDataset(ImageDataset[MeshSample]):
    """Data set whose item i is one person as a `MeshSample`, in pixels of its image. The constructor reads nothing.

    Attributes:
        evidence: one of `EVIDENCE`; stated in every result.
        box: source of boxes: "joints" (labels), "file" or "detector".
        occluders: whether training adds occluders to these people, as the papers do for studio recordings.
        has_images: whether there are images; without them training makes whole batches at once (`PeopleBatches`).
    """

    evidence: str = "truth"
    box: str = "joints"
    occluders: bool = False
    has_images: ClassVar[bool] = True

    @property
    def box_source(self) -> str:
        """Return the source of boxes as stated in results."""
        return {"joints": "ground truth", "file": "annotation file"}.get(self.box, self.box)

    @property
    def label_body(self) -> str | None:
        """Return the name of the body (`meshtto.body.Body.name`) of pose and shape labels; None if there are none."""
        return None


def check_evidence(evidence: str) -> str:
    """Return the name if it is one of `EVIDENCE`.

    Raises:
        UserError: it is not.
    """
    if evidence not in EVIDENCE:
        raise UserError(f"evidence is {evidence!r}, expected one of {', '.join(EVIDENCE)}")
    return evidence


def unknown_mesh() -> dict:
    """Return the fields of a sample without pose and shape labels."""
    return {
        "rotations": np.broadcast_to(np.eye(3, dtype=np.float32), (24, 3, 3)).copy(),
        "shape": np.zeros(10, np.float32),
        "has_mesh": False,
    }


def joint_box(
    keypoints_px: Float[np.ndarray, "49 2"], confidence: Float[np.ndarray, "49"], margin: float = BOX_MARGIN
) -> Float[np.ndarray, "4"]:
    """Return left, top, width and height of a person's box: that of the known joints, scaled by `margin`.

    Uses the data sets' 24 joints, or OpenPose's 25 if none of those is known.

    Args:
        keypoints_px: joints in the full image.
        confidence: 0 means unknown.
        margin: factor of the box.

    Raises:
        ValueError: no joint is known, or all known joints coincide.
    """
    known = confidence > 0
    if known[_FIRST:].any():
        known = known & (np.arange(len(known)) >= _FIRST)
    if not known.any():
        raise ValueError("no joint is known")
    low, high = keypoints_px[known].min(0), keypoints_px[known].max(0)
    size = margin * (high - low)
    if not size.max() > 0:
        raise ValueError("all known joints lie in one point")
    return np.array([*((low + high + 1 - size) / 2), *size], np.float64)


def require_path(path: Path, what: str, how: str) -> Path:
    """Return the path if it exists.

    Raises:
        UserError: it does not; `what` names it, and `how` tells the user what to do.
    """
    if not path.exists():
        raise UserError(f"{what} {path} does not exist; {how}")
    return path
