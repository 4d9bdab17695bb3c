"""Human3.6M's joint orders, the way from them to BODY16, and its cameras."""

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import BODY16

__all__ = ["H36M17", "NATIVE32", "body16_from_h36m", "project"]

#: The 17 joints of the JSON layout, the order of most papers.
H36M17 = (
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("torso", "neck", "nose", "head", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist"),
)

#: Where those 17 stand among the 32 of the data set's own files.
NATIVE32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)


def body16_from_h36m(joints: Float[np.ndarray, "*batch 17 axis"]) -> Float[np.ndarray, "*batch 16 axis"]:
    """BODY16 by name; the thorax, which Human3.6M does not have, is the middle of the shoulders (RegDA)."""
    shoulders = [H36M17.index(f"{side}_shoulder") for side in ("left", "right")]
    picked = [H36M17.index(k) if k in H36M17 else 0 for k in BODY16.keypoints]
    mapped = joints[..., picked, :]
    mapped[..., BODY16.index("thorax"), :] = joints[..., shoulders, :].mean(-2)
    return mapped


def project(
    points_mm: Float[np.ndarray, "*batch 3"],
    rotation: Float[np.ndarray, "3 3"],
    translation: Float[np.ndarray, "3"],
    focal: Float[np.ndarray, "2"],
    center: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "*batch 2"]:
    r"""World → pixels: :math:`X_c = R X + t`, :math:`u = f\, X_c^{xy} / X_c^z + c`. Lens distortion is left out."""
    seen = points_mm @ rotation.T + translation
    return focal * seen[..., :2] / seen[..., 2:] + center
