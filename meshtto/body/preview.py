"""Preview images of bodies, drawn without a renderer by the painter's algorithm."""

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_pose
from meshtto.body.layer import Body
from meshtto.body.painter import paint_mesh
from meshtto.body.retarget import joint_rotations

__all__ = ["preview_poses", "preview_shapes"]

_TO_CAMERA = np.array([1.0, -1.0, -1.0])  # y up, facing the viewer → y down, z away from the viewer


def _portrait(
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    side: int,
    px_per_m: float | None,
    turn_deg: float = 0.0,
) -> UInt8[np.ndarray, "side side 3"]:
    """Draw a body on white in orthographic projection."""
    turn = np.deg2rad(turn_deg)
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    seen = (vertices_m @ about.T) * _TO_CAMERA
    low, high = seen.min(0), seen.max(0)
    scale = px_per_m or 0.92 * side / float((high - low)[:2].max())
    pixels = (seen - (low + high) / 2)[:, :2] * scale + (side - 1) / 2
    return paint_mesh(np.full((side, side, 3), 255, np.uint8), pixels, seen, faces)


def preview_shapes(body: Body, directions: int = 4, side: int = 200) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a row per shape direction: −2, −1, 0, 1, 2 units, and −2 and 2 from the side."""
    rest, faces = torch.eye(3).expand(5, 24, 3, 3), body.faces.numpy()
    rows = []
    for k in range(directions):
        shape = torch.zeros(5, 10)
        shape[:, k] = torch.linspace(-2, 2, 5)
        with torch.inference_mode():
            vertices = body(rest, shape).vertices_m.numpy()
        scale = 0.48 * side
        row = [_portrait(v, faces, side, scale) for v in vertices]
        rows.append(np.concatenate([*row, *(_portrait(vertices[i], faces, side, scale, 90.0) for i in (0, 4))], 1))
    return np.concatenate(rows)


def preview_poses(body: Body, count: int = 20, seed: int = 0, side: int = 200) -> UInt8[np.ndarray, "height width 3"]:
    """Draw bodies of random shapes in poses of the synthetic people, five per row, rotated by 30°."""
    rng, articulation = np.random.default_rng(seed), body_model().articulation
    rotations = joint_rotations(articulation, [draw_pose(rng, articulation) for _ in range(count)], [0.0] * count)
    shape = torch.from_numpy(rng.standard_normal((count, 10)).clip(-2.5, 2.5)).float()
    with torch.inference_mode():
        vertices = body(torch.from_numpy(rotations).float(), shape).vertices_m.numpy()
    faces = body.faces.numpy()
    images = [_portrait(v, faces, side, None, 30.0) for v in vertices]
    images += [np.full((side, side, 3), 255, np.uint8)] * (-count % 5)
    return np.concatenate([np.concatenate(images[i : i + 5], 1) for i in range(0, len(images), 5)])
