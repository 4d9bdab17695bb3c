"""SMPL's 24 joints as SURREAL gives them out, brought into any body skeleton.

SURREAL's pictures are mirror images: its camera's matrix has determinant −1, and its own demo labels the limbs at the
left edge of a person who faces us as SMPL's left ones. What looks like a right hand is therefore SMPL's left hand, and
both protocols fill right slots with left joints, as do the training code of SURREAL's authors and RegDA.
"""

import numpy as np
from jaxtyping import Float, Int

from hamipose.skeletons import BODY16, Skeleton

__all__ = ["SMPL24", "mirrored_smpl", "pick_joints"]

SMPL24 = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hand", "right_hand"),
)


def mirrored_smpl(protocol: str) -> list[int]:
    """For each keypoint of BODY16, SMPL's joint that shows it in a mirrored picture.

    "strict" takes SMPL's shoulder joints, where "paper" takes its collar joints for shoulders.

    >>> [SMPL24[j] for j in mirrored_smpl("strict")][10:14]
    ['left_wrist', 'left_elbow', 'left_shoulder', 'right_shoulder']
    """

    def source(keypoint: str) -> str:
        side, _, part = keypoint.partition("_")
        if not part:
            return {"thorax": "spine3"}.get(keypoint, keypoint)
        part = "collar" if part == "shoulder" and protocol == "paper" else part
        return f"{'left' if side == 'right' else 'right'}_{part}"

    return [SMPL24.index(source(keypoint)) for keypoint in BODY16.keypoints]


def pick_joints(
    joints_px: Float[np.ndarray, "joint 2"], skeleton: Skeleton, protocol: str
) -> tuple[Float[np.ndarray, "keypoint 2"], Int[np.ndarray, " keypoint"]]:
    """Keypoints and visibility of a skeleton; SURREAL calls every joint visible, and so do we."""
    keypoints_px = np.zeros((len(skeleton), 2), np.float32)
    visibility = np.zeros(len(skeleton), np.int64)
    order = mirrored_smpl(protocol)
    for k, source in enumerate(skeleton.map_from(BODY16)):
        if source is not None:
            keypoints_px[k] = joints_px[order[source]]
            visibility[k] = 2
    return keypoints_px, visibility
