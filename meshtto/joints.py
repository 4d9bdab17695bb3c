"""Joint orders of human mesh recovery: names, mirror permutations, and the source of each of the 49 joints.

Left and right are the person's own. Look joints up by name: ``JOINTS49.index("right_hip")``.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = [
    "CANDIDATES",
    "COCO17_SLOTS",
    "COCO18_SLOTS",
    "EVALUATION14",
    "H36M17",
    "JOINTS24",
    "JOINTS49",
    "LSP14_SLOTS",
    "MIRROR24",
    "MIRROR49",
    "MIRROR_H36M17",
    "MOCAP17_SLOTS",
    "MPII16_SLOTS",
    "OPENPOSE25",
    "PARENTS24",
    "PICKED_VERTICES",
    "SMPL24",
    "VERTEX_ROWS",
    "joints_named",
    "mirror_permutation",
    "place_keypoints",
]

#: The joints of SMPL's kinematic tree, in its order.
SMPL24 = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hand", "right_hand"),
)

#: Parent of each joint of `SMPL24`; -1 for the root.
PARENTS24 = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

#: OpenPose's BODY_25, the first half of the 49.
OPENPOSE25 = tuple(
    f"openpose_{name}"
    for name in (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    )
)

#: The joints of the data sets ("ground truth" in SPIN), the second half of the 49: LSP's 12 limb joints, neck and head
#: top; MPII's pelvis and thorax; Human3.6M's spine, jaw and head; COCO's face.
JOINTS24 = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top", "pelvis", "thorax", "spine", "jaw", "head"),
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
)

#: SPIN's 49 joints.
JOINTS49 = (*OPENPOSE25, *JOINTS24)

#: Vertices used as joints, in the order in which smplx appends them to the 24.
PICKED_VERTICES = (
    *("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    *(f"{side}_{tip}" for side in ("left", "right") for tip in ("thumb", "index", "middle", "ring", "pinky")),
)

#: Rows of J_regressor_extra.npy, which are regressed from posed vertices.
VERTEX_ROWS = ("right_hip", "left_hip", "neck", "head_top", "pelvis", "thorax", "spine", "jaw", "head")

#: Index of each of the 49 joints among 24 + 21 + 9 candidates: SMPL's joints, picked vertices, regressed rows.
CANDIDATES = (
    *(24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34),
    *(8, 5, 45, 46, 4, 7, 21, 19, 17, 16, 18, 20, 47, 48, 49, 50, 51, 52, 53, 24, 26, 25, 28, 27),
)

#: Rows of J_regressor_h36m.npy. The left leg comes first: this is SPIN's order, not that of the data set.
H36M17 = (
    *("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    *("spine", "neck", "jaw", "head"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
)

#: The joints of MPJPE and PA-MPJPE, by their name in `H36M17`.
EVALUATION14 = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head"),
)

# Position of each joint of a data set among JOINTS24 (SPIN's preprocessing).
COCO17_SLOTS = (19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0)
MPII16_SLOTS = (0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11)
LSP14_SLOTS = tuple(range(14))
#: Human3.6M and MPI-INF-3DHP, after 17 of their joints have been selected.
MOCAP17_SLOTS = (14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6)
#: (slot, position) pairs of the 18 OpenPose joints in 3DPW's files.
COCO18_SLOTS = (
    *zip(range(12), (10, 9, 8, 11, 12, 13, 4, 3, 2, 5, 6, 7), strict=True),
    *zip(range(19, 24), (0, 15, 14, 17, 16), strict=True),
)

# Names that other skeletons use for joints of JOINTS24. MPII's head is the top of the head.
_ALIASES = {"head": "head_top", "upper_neck": "neck"}


def joints_named(keypoint: str) -> list[int]:
    """Return the joints among the 49 that a keypoint of this name is evidence of; empty if there is none.

    OpenPose's keypoints are also evidence of the same joints of the data sets.

    >>> [JOINTS49[joint] for joint in joints_named("openpose_left_wrist")]
    ['openpose_left_wrist', 'left_wrist']
    """
    joints = []
    if keypoint in OPENPOSE25:
        joints.append(JOINTS49.index(keypoint))
        keypoint = keypoint.removeprefix("openpose_")
        if keypoint in ("neck", "pelvis"):
            return joints  # OpenPose defines these two points differently
    keypoint = _ALIASES.get(keypoint, keypoint)
    if keypoint in JOINTS24:
        joints.append(len(OPENPOSE25) + JOINTS24.index(keypoint))
    return joints


def place_keypoints(names: Sequence[str], rows: Float[np.ndarray, "keypoint value"]) -> Float[np.ndarray, "49 value"]:
    """Scatter rows of keypoints to the joints given by :func:`joints_named`; the other rows are zero.

    Args:
        names: name of each keypoint.
        rows: values of each keypoint.
    """
    placed = np.zeros((len(JOINTS49), rows.shape[1]))
    for name, row in zip(names, rows, strict=True):
        placed[joints_named(name)] = row
    return placed


def mirror_permutation(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the position of each name's mirror image, an involution.

    >>> mirror_permutation(("nose", "left_eye", "right_eye"))
    (0, 2, 1)
    """
    swap = {"left": "right", "right": "left"}
    return tuple(names.index("_".join(swap.get(word, word) for word in name.split("_"))) for name in names)


MIRROR24 = mirror_permutation(SMPL24)
MIRROR49 = mirror_permutation(JOINTS49)
MIRROR_H36M17 = mirror_permutation(H36M17)
