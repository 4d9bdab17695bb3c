"""Render one image of the built-in body with all labels, as a function of (style, seed, index, size)."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from roma import rotmat_to_rotvec

from hamipose.synthetic.people.body_model import Body as Surface
from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_pose
from hamipose.synthetic.people.poses import draw_family
from hamipose.synthetic.people.scene_setup import build_scene
from hamipose.synthetic.render_jobs import image_name, write_atomically
from hamipose.synthetic.renderer.camera_effects import apply_camera_effects, encode_jpeg
from hamipose.synthetic.renderer.raycast import get_renderer
from hamipose.synthetic.scene.appearance import STYLES, check_style
from meshtto.body import Body, load_body
from meshtto.body.retarget import SMPL_FROM_ANNY, joint_rotations
from meshtto.joints import JOINTS49, SMPL24

__all__ = ["FORMAT", "build_caches", "draw_person", "make_record"]

#: Version of each style; increase when the same seed gives other images or labels, or other record fields.
FORMAT = {"plain": 3, "photo": 4}

_SERIES = 1  # part of every seed

_MAX_SHAPE = 2.5  # shapes are clipped at this many standard deviations
_SKIN_M = 0.22  # maximum depth of a joint under the skin; a joint farther behind the first hit is hidden


@lru_cache(maxsize=1)
def _body() -> Body:
    return load_body().double()


def draw_person(
    style: str,
    index: int,
    *,
    seed: int,
    size: int,
    poses: list[str] | None = None,
    device: str | None = None,
) -> tuple[bytes, dict[str, np.ndarray]]:
    """Draw and render a person, and compute the labels.

    Args:
        style: "plain" or "photo".
        index: index in the series; the result does not depend on what was rendered before.
        seed: seed of the series.
        size: side in pixels.
        poses: pose families; default: all.
        device: warp device name; default: a GPU if available.

    Returns:
        The image as JPEG, and its labels: ``pose`` [72] and ``shape`` [10] of the built-in body in camera axes,
        ``trans`` [3], its translation relative to the camera, ``focal_length``, ``keypoints`` [49, 2] in pixels,
        including those outside the image, ``visibility`` [49] (2 visible, 1 hidden, 0 outside), ``joints`` [49, 3]
        relative to the pelvis of the 49.
    """
    check_style(style)
    rng = np.random.default_rng([seed, STYLES.index(style), index, _SERIES])
    surface, model = body_model(), _body()
    shape = rng.standard_normal(10).clip(-_MAX_SHAPE, _MAX_SHAPE)
    family = None if poses is None else draw_family(rng, poses)
    pose = draw_pose(rng, surface.articulation, family=family)
    heading = float(rng.uniform(-180, 180)) if abs(pose.pitch) > 45 else 0.0
    rotations = joint_rotations(surface.articulation, [pose], [heading])
    with torch.inference_mode():
        upright = np.broadcast_to(np.eye(3), (1, 24, 3, 3)).copy()
        batch = torch.from_numpy(np.concatenate([rotations, upright]))
        out = model(batch, torch.from_numpy(np.stack([shape, shape])))
    vertices, joints, skeleton = (array.numpy() for array in out)
    pelvis = skeleton[0, 0]

    def to_world(points_m: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        return (points_m - pelvis) @ SMPL_FROM_ANNY

    skin = np.ascontiguousarray(to_world(vertices[0]))
    body = Surface(
        vertices_m=skin,
        normals=surface.compute_normals(skin),
        points_m=dict(zip(SMPL24, to_world(skeleton[0]), strict=True)),
        height_m=float(np.ptp(vertices[1, :, 1])),
    )
    scene = build_scene(rng, surface, body, pose, style=style, size=(size, size), heading=heading, backgrounds=None)
    camera = scene.camera
    renderer = get_renderer(device)
    renderer.load(scene)
    linear, _ = renderer.render()
    image = apply_camera_effects(rng, linear, style)

    points = to_world(joints[0])
    pixels = camera.project(points)
    hit_m, _ = renderer.first_hits(points)
    distance_m = np.linalg.norm(points - camera.position_m, axis=1)
    inside = ((pixels >= -0.5) & (pixels <= size - 0.5)).all(1)
    visible = distance_m - hit_m < _SKIN_M * body.height_m / 1.7
    # In camera axes, the body is rotated about its pelvis, which is the origin of the world.
    rotation = camera.rotation @ SMPL_FROM_ANNY.T
    rotations[0, 0] = rotation @ rotations[0, 0]
    in_camera = camera.to_camera(points)
    labels = {
        "pose": rotmat_to_rotvec(torch.from_numpy(rotations[0])).numpy().reshape(-1),
        "shape": shape,
        "trans": -pelvis - camera.rotation @ camera.position_m,
        "focal_length": np.array(camera.focal_px),
        "keypoints": pixels,
        "visibility": np.where(inside, 1 + visible, 0),
        "joints": in_camera - in_camera[JOINTS49.index("pelvis")],
    }
    return encode_jpeg(rng, image, style), labels


def make_record(folder: Path, index: int, **options: Any) -> dict:
    """Render an image into a folder and return its labels as plain numbers.

    Args:
        folder: output folder.
        index: index in the series.
        options: further arguments of `draw_person`.
    """
    jpeg, labels = draw_person(index=index, **options)
    write_atomically(folder / image_name(index), jpeg)
    return {name: np.round(array, 3 if name == "keypoints" else 7).tolist() for name, array in labels.items()}


def build_caches(device: str | None) -> None:
    """Build the caches of both body models and compile the renderer, before several processes need them."""
    get_renderer(device)
    load_body()
