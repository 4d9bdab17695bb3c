"""A coarse mesh consists of vertices of the fine one, stays closed, and approximates its surface."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from hamipose.synthetic.people.body_model import PARTS, body_model
from hamipose.synthetic.people.coarse_body import body_model_for
from hamipose.synthetic.people.coarsening import coarsen
from hamipose.synthetic.people.joint_limits import LIMITS
from hamipose.synthetic.people.poses import Pose


def sphere(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return a closed sphere of radius 0.1 m from rings of `count` vertices."""
    polar = np.linspace(0, np.pi, count)[1:-1, None]
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False) + 0.0 * polar
    rings = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0.0 * turn], -1)
    vertices = np.concatenate([rings.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    number = np.arange(rings.shape[0] * count).reshape(-1, count)
    after = np.roll(number, -1, 1)
    top, bottom = len(vertices) - 2, len(vertices) - 1
    faces = [
        *np.stack([number[:-1], number[1:], after[:-1]], -1).reshape(-1, 3),
        *np.stack([after[:-1], number[1:], after[1:]], -1).reshape(-1, 3),
        *np.stack([np.full(count, top), number[0], after[0]], -1),
        *np.stack([np.full(count, bottom), after[-1], number[-1]], -1),
    ]
    return 0.1 * vertices, np.array(faces)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def sides(faces: np.ndarray) -> np.ndarray:
    """Return the number of triangles of each side."""
    every = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(every, 1), axis=0, return_counts=True)[1]


def test_coarsened_sphere_stays_closed():
    vertices, faces = sphere()
    halves = (vertices[:, 2] > 0).astype(int)
    keep, coarse = coarsen(vertices, faces, halves, np.array([5, 100]), 150)
    assert len(keep) == 150
    assert {5, 100} <= set(keep.tolist())
    assert (sides(coarse) == 2).all()
    assert len(keep) - len(sides(coarse)) + len(coarse) == 2  # Euler's formula
    assert volume(vertices[keep], coarse) == pytest.approx(volume(vertices, faces), rel=0.1)


def test_coarse_body_matches_the_full_body():
    fine, coarse = body_model(), body_model_for(128)
    assert body_model_for(256) is fine
    assert len(coarse.rest_m) < 0.4 * len(fine.rest_m)
    assert (sides(coarse.faces) <= 2).all()
    assert set(coarse.face_part.tolist()) == set(range(len(PARTS)))
    angles = dict.fromkeys(LIMITS, 0.0) | {"left_knee_flexion": 80.0, "right_shoulder_elevation": 90.0}
    shape = {"gender": 0.1, "age": 0.7, "weight": 0.8, "muscle": 0.3, "height": 0.6}
    one, other = (surface.pose_body(shape, Pose("made", angles, pitch=20.0)) for surface in (fine, coarse))
    for name, point in one.points_m.items():
        np.testing.assert_allclose(other.points_m[name], point, atol=1e-3, err_msg=name)
    assert other.height_m == pytest.approx(one.height_m, abs=2e-3)
    away, nearest = cKDTree(one.vertices_m).query(other.vertices_m)
    assert away.max() < 1e-4
    assert np.mean((one.normals[nearest] * other.normals).sum(1)) > 0.95
