"""What every data set of people with meshes promises, and what the empty fields of a sample hold."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.data.base import ImageDataset
from hamipose.errors import InputError
from meshtto.joints import JOINTS49
from meshtto.types import MeshSample

__all__ = ["EVIDENCE", "MeshDataset", "box_of_joints", "existing", "known_evidence", "unknown_mesh"]

#: Where the 2D joints come from that may be used at test time: the labels, the data set's own detector (simulated for
#: built-in images), or nowhere.
EVIDENCE = ("truth", "detector", "none")

_FIRST = JOINTS49.index("right_ankle")  # of the data sets' 24


class MeshDataset(ImageDataset[MeshSample]):
    """People one by one: item i is a `MeshSample` in pixels of its own image. Constructing one reads nothing.

    Attributes:
        evidence: one of `EVIDENCE`; stands in every result.
        box: what boxes are made of: "joints" (the labelled ones), "file" or "detector".
        occluders: whether training puts cut-outs before these people, as the papers do with studio recordings.
    """

    evidence: str = "truth"
    box: str = "joints"
    occluders: bool = False

    @property
    def boxes(self) -> str:
        """Where boxes come from, as every result says it."""
        return {"joints": "ground truth", "file": "annotation file"}.get(self.box, self.box)

    @property
    def labels_of(self) -> str | None:
        """Name of the body (`meshtto.body.Body.name`) whose pose and shape are labelled; None: there are no such."""
        return None


def known_evidence(evidence: str) -> str:
    """The name itself.

    Raises:
        InputError: it is none of `EVIDENCE`.
    """
    if evidence not in EVIDENCE:
        raise InputError(f"evidence is {evidence!r}, expected one of {', '.join(EVIDENCE)}")
    return evidence


def unknown_mesh() -> dict:
    """Fields of a sample whose pose and shape nobody knows."""
    return {
        "rotations": np.broadcast_to(np.eye(3, dtype=np.float32), (24, 3, 3)).copy(),
        "shape": np.zeros(10, np.float32),
        "has_mesh": False,
    }


def box_of_joints(
    keypoints_px: Float[np.ndarray, "49 2"], confidence: Float[np.ndarray, "49"], margin: float = 1.2
) -> Float[np.ndarray, "4"]:
    """Left, top, width and height of a box around a person: that of the known joints, `margin` times as large.

    The data sets' 24 joints count, OpenPose's 25 only where none of those is known.

    Args:
        keypoints_px: of the full image.
        confidence: 0: unknown.
        margin: 1.2 in every paper.

    Raises:
        ValueError: no joint is known, or all of them lie in one point.
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


def existing(path: Path, what: str, how: str) -> Path:
    """The path itself.

    Raises:
        InputError: nothing is there; `what` names it and `how` says what to do.
    """
    if not path.exists():
        raise InputError(f"{what} {path} does not exist; {how}")
    return path
