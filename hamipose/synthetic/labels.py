"""Exact labels of rendered images: keypoints in pixels and meters, visibility by ray tests, mask and bounding box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.skeletons import HAND21, Skeleton
from hamipose.synthetic.people.body_model import PARTS, Body
from hamipose.synthetic.renderer.raycast import Renderer
from hamipose.synthetic.scene.scene import Camera

__all__ = ["Labels", "bounding_box", "label_hand", "label_person", "run_length_encoding"]

# Maximum depth of a visible keypoint below the surface, in meters for a body of 1.65 m, and the body parts that may
# cover it.
_BODY_DEPTH_M = {
    "shoulder": 0.15,
    "elbow": 0.085,
    "wrist": 0.065,
    "hip": 0.19,
    "knee": 0.11,
    "ankle": 0.095,
    "pelvis": 0.22,
    "thorax": 0.19,
    "neck": 0.14,
    "head": 0.10,
    "nose": 0.04,
    "eye": 0.04,
    "ear": 0.05,
}
_BODY_PARTS = {
    "shoulder": ("torso", "upper_arm"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "hand"),
    "hip": ("torso", "thigh"),
    "knee": ("thigh", "shin"),
    "ankle": ("shin", "foot"),
    "pelvis": ("torso", "left_thigh", "right_thigh"),
    "thorax": ("torso", "head"),
    "neck": ("head", "torso"),
    "head": ("head",),
    "nose": ("head",),
    "eye": ("head", "eyes"),
    "ear": ("head",),
}


# Maximum depth of a visible joint of the hand below the skin along the ray, in meters for a hand of 0.185 m. Another
# finger in front of the joint is at least twice as thick.
_HAND_DEPTH_M = {"wrist": 0.036, "thumb_mcp": 0.03, "mcp": 0.022, "pip": 0.017, "dip": 0.015, "tip": 0.013}


@dataclass
class Labels:
    """Labels of one keypoint order.

    Attributes:
        keypoints_px: keypoints in pixels, including those outside the image.
        visibility: 2 visible, 1 occluded by the subject itself or by an object, 0 outside the image.
        joints_m: keypoints in camera axes, in meters.
    """

    keypoints_px: Float[np.ndarray, "keypoint 2"]
    visibility: Int[np.ndarray, " keypoint"]
    joints_m: Float[np.ndarray, "keypoint 3"]

    def select(self, rows: list[int]) -> "Labels":
        """Return the labels of some keypoints, in this order."""
        return Labels(self.keypoints_px[rows], self.visibility[rows], self.joints_m[rows])


def _make_labels(
    camera: Camera, points_m: Float[np.ndarray, "keypoint 3"], visible: Bool[np.ndarray, " keypoint"]
) -> Labels:
    """Return the labels of points in the world."""
    pixels, height, width = camera.project(points_m), *camera.size
    inside = ((pixels >= -0.5) & (pixels <= np.array([width, height]) - 0.5)).all(1)
    in_camera = camera.to_camera(points_m)
    visibility = np.where(inside & (in_camera[:, 2] > 0), 1 + visible, 0).astype(np.int64)
    return Labels(keypoints_px=pixels, visibility=visibility, joints_m=in_camera)


def label_person(renderer: Renderer, camera: Camera, body: Body, skeletons: tuple[Skeleton, ...]) -> dict[str, Labels]:
    """Return the labels of a person by the name of the skeleton.

    Args:
        renderer: renderer with the loaded scene.
        camera: camera of the scene.
        body: body of the scene.
        skeletons: keypoint orders.
    """
    names = tuple(dict.fromkeys(name for skeleton in skeletons for name in skeleton.keypoints))
    points = np.stack([body.points_m[name] for name in names])
    labels = _make_labels(camera, points, _body_visibility(renderer, camera, names, points, body.height_m))
    return {skeleton.name: labels.select([names.index(name) for name in skeleton.keypoints]) for skeleton in skeletons}


def _body_visibility(
    renderer: Renderer,
    camera: Camera,
    names: tuple[str, ...],
    points_m: Float[np.ndarray, "keypoint 3"],
    height_m: float,
) -> Bool[np.ndarray, " keypoint"]:
    """Return whether the first hit of the camera ray to each keypoint is the skin that covers the keypoint."""
    hit_m, part = renderer.first_hits(points_m)
    distance_m = np.linalg.norm(points_m - camera.position_m, axis=1)
    depth_m = np.array([_BODY_DEPTH_M[name.rpartition("_")[2]] for name in names]) * height_m / 1.65
    own = np.array([hit in _covering_parts(name) for name, hit in zip(names, part, strict=True)])
    # A ray may miss a keypoint on the outline; then nothing lies in front of it.
    return (own & (distance_m - hit_m < depth_m)) | (hit_m > distance_m + 0.02)


def _covering_parts(name: str) -> list[int]:
    """Return the body parts that may cover a keypoint."""
    side, _, joint = name.rpartition("_")
    return [PARTS.index(part if part in PARTS else f"{side}_{part}") for part in _BODY_PARTS[joint]]


def label_hand(renderer: Renderer, camera: Camera, points_m: Float[np.ndarray, "21 3"], length_m: float) -> Labels:
    """Return the labels of a hand.

    Args:
        renderer: renderer with the loaded scene.
        camera: camera of the scene.
        points_m: joints of HAND21 in the world.
        length_m: length of the hand.
    """
    hit_m, part = renderer.first_hits(points_m)
    distance_m = np.linalg.norm(points_m - camera.position_m, axis=1)
    depths = [_HAND_DEPTH_M.get(name) or _HAND_DEPTH_M[name.rpartition("_")[2]] for name in HAND21.keypoints]
    depth_m = np.array(depths) * length_m / 0.185
    # A ray may miss a joint on the outline; then nothing lies in front of it.
    visible = ((part >= 0) & (distance_m - hit_m < depth_m)) | (hit_m > distance_m + 0.005)
    return _make_labels(camera, points_m, visible)


def bounding_box(mask: Bool[np.ndarray, "height width"]) -> list[float]:
    """Return left, top, width and height of the mask; zeros for an empty mask."""
    if not mask.any():
        return [0.0, 0.0, 0.0, 0.0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)]


def run_length_encoding(mask: Bool[np.ndarray, "height width"]) -> dict:
    """Return the mask as COCO's uncompressed run-length encoding: column by column, zeros first.

    >>> run_length_encoding(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    flat = mask.reshape(-1, order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]]))
    return {"size": [int(n) for n in mask.shape], "counts": [int(n) for n in counts]}
