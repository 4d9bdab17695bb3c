"""Labels read off the scene: joints in pixels and meters, what the camera sees of them, mask and box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.skeletons import Skeleton
from hamipose.synthetic.people.bodies import PARTS, Body
from hamipose.synthetic.renderer.raycast import Renderer
from hamipose.synthetic.scene.scene import Camera

__all__ = ["Labels", "box_of", "label", "run_lengths", "visibility"]

# How far under the surface a point may lie when the camera looks straight at it, meters for a body of 1.65 m; and the
# parts of the surface that may be what the camera sees there.
_DEPTH_M = {
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
_NEAR_PARTS = {
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


@dataclass
class Labels:
    """Labels of one keypoint order.

    Attributes:
        keypoints_px: in pixels of the picture, also where they lie outside it.
        visibility: 2 visible, 1 hidden by the body itself or by something in the way, 0 outside the picture.
        joints_m: in the camera's axes, meters.
    """

    keypoints_px: Float[np.ndarray, "keypoint 2"]
    visibility: Int[np.ndarray, " keypoint"]
    joints_m: Float[np.ndarray, "keypoint 3"]


def _may_show(name: str) -> list[int]:
    side, _, joint = name.rpartition("_")
    parts = _NEAR_PARTS[joint]
    return [PARTS.index(p if p in PARTS else f"{side}_{p}") for p in parts]


def visibility(
    renderer: Renderer,
    camera: Camera,
    names: tuple[str, ...],
    points_m: Float[np.ndarray, "keypoint 3"],
    height_m: float,
) -> Bool[np.ndarray, " keypoint"]:
    """Ray test: is the skin over the point the first thing that the ray from the camera to it meets?"""
    distance, part = renderer.first_hits(points_m)
    away = np.linalg.norm(points_m - camera.position_m, axis=1)
    depth = np.array([_DEPTH_M[name.rpartition("_")[2]] for name in names]) * height_m / 1.65
    own = np.array([seen in _may_show(name) for name, seen in zip(names, part, strict=True)])
    # A point on the outline may be missed by the ray: then nothing lies in front of it either.
    return (own & (away - distance < depth)) | (distance > away + 0.02)


def label(renderer: Renderer, camera: Camera, body: Body, skeletons: tuple[Skeleton, ...]) -> dict[str, Labels]:
    """Labels of the body in the scene that `renderer` has loaded, by the names of the skeletons."""
    names = tuple(dict.fromkeys(name for skeleton in skeletons for name in skeleton.keypoints))
    points = np.stack([body.points_m[name] for name in names])
    pixels, height, width = camera.project(points), *camera.size
    inside = ((pixels >= -0.5) & (pixels <= np.array([width, height]) - 0.5)).all(1)
    in_camera = camera.to_camera(points)
    seen = visibility(renderer, camera, names, points, body.height_m)
    found = np.where(inside & (in_camera[:, 2] > 0), 1 + seen, 0).astype(np.int64)
    rows = {skeleton.name: [names.index(name) for name in skeleton.keypoints] for skeleton in skeletons}
    return {
        name: Labels(keypoints_px=pixels[at], visibility=found[at], joints_m=in_camera[at]) for name, at in rows.items()
    }


def box_of(mask: Bool[np.ndarray, "height width"]) -> list[float]:
    """Left, top, width, height of the mask; zeros where it is empty."""
    if not mask.any():
        return [0.0, 0.0, 0.0, 0.0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)]


def run_lengths(mask: Bool[np.ndarray, "height width"]) -> dict:
    """The mask in COCO's uncompressed run-length form: column by column, zeros first.

    >>> run_lengths(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    flat = mask.reshape(-1, order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]]))
    return {"size": [int(n) for n in mask.shape], "counts": [int(n) for n in counts]}
