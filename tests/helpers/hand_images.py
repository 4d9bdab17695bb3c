"""Images of hands with a colored dot per joint, so that a label on the wrong joint is found."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.hand.base import HandDataset
from hamipose.errors import UserError
from hamipose.skeletons import HAND21

# One color per joint; the colors stay distinct after JPEG compression.
COLORS = np.array([[40 + 100 * (k % 3), 40 + 100 * (k // 3 % 3), 40 + 100 * (k // 9)] for k in range(21)])


def make_hand(side: str = "right", curl: float = 0.3) -> np.ndarray:
    """Return 21 × 3 joints of a hand in centimeters, palm to the camera, fingers up (x right, y down, z away)."""
    joints = np.zeros((21, 3))
    for finger, angle in enumerate(np.deg2rad([60, 20, 5, -10, -28])):
        for joint, far in enumerate((4, 6.5, 8, 9.5) if finger == 0 else (8, 11.5, 13.5, 15.5)):
            joints[1 + 4 * finger + joint] = np.sin(angle) * far, -np.cos(angle) * far, -curl * joint**2
    return joints * ([1, 1, 1] if side == "right" else [-1, 1, 1])


def is_right_hand(joints: np.ndarray) -> np.ndarray:
    """Return whether hands are right hands: index × little finger about the wrist points out of the palm."""
    wrist, index, little = (joints[..., HAND21.index(k), :] for k in ("wrist", "index_mcp", "little_mcp"))
    inner = joints[..., HAND21.indices(("index_tip", "middle_tip", "ring_tip", "little_tip")), :]
    outer = joints[..., HAND21.indices(("index_mcp", "middle_mcp", "ring_mcp", "little_mcp")), :]
    curl = (inner - outer).mean(-2)
    return (np.cross(index - wrist, little - wrist) * curl).sum(-1) > 0


def write_dots_image(path: Path, joints_px: np.ndarray, width: int, height: int) -> None:
    """Write a black image with a dot of its color at each joint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((height, width, 3), np.uint8)
    for k in range(joints_px.shape[0]):
        center = tuple(int(v) for v in np.rint(joints_px[k]))
        cv2.circle(image, center, 1 if path.suffix == ".png" else 3, [int(v) for v in COLORS[k % 21][::-1]], -1)
    cv2.imwrite(str(path), image, [] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 100])


def image_shows_joints(dataset: KeypointDataset, index: int) -> bool:
    """Return whether the image has the color of each visible joint at its label."""
    sample = dataset[index]
    at = np.rint(sample.keypoints_px).astype(int)
    seen = (sample.visibility > 0) & (at >= 0).all(1) & (at < sample.image.shape[1::-1]).all(1)
    found = sample.image[at[seen, 1], at[seen, 0]].astype(int)
    return bool((np.abs(found - COLORS[seen]).max(1) < 45).all())


def get_error(call: Callable[[], object]) -> str:
    """Return the one-line message of the UserError that a call raises."""
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def thumb_points_left(dataset: HandDataset, index: int) -> bool:
    keypoints_px = dataset[index].keypoints_px
    return bool(keypoints_px[HAND21.index("thumb_tip"), 0] < keypoints_px[HAND21.index("little_tip"), 0])


def reference_crop(image: np.ndarray, joints: np.ndarray, corners: list[int], mirrored: bool) -> np.ndarray:
    """Return keypoints in the 256-pixel crop of the published transforms: crop, mirror, scale."""
    left, top, right, lower = corners
    cut = image[top:lower, left:right]
    joints = joints - [left, top]
    if mirrored:
        joints = np.stack([cut.shape[1] - 1.0 - joints[:, 0], joints[:, 1]], 1)
    return joints * (256 / cut.shape[1])
