"""Poses within the limits are plausible; bent the wrong way, or through each other, they are not."""

import numpy as np
import torch
from roma import rotvec_to_rotmat

from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_poses
from meshtto.body import load_body
from meshtto.body.retarget import joint_rotations
from meshtto.evaluation.plausibility import LARGEST_EXCESS_DEG, judge_poses
from meshtto.joints import SMPL24


def legal(count: int) -> torch.Tensor:
    rngs = [np.random.default_rng([5, i]) for i in range(count)]
    articulation = body_model().articulation
    poses = draw_poses(rngs, articulation, [None] * count)
    return torch.from_numpy(joint_rotations(articulation, poses, [0.0] * count)).float()


def turned(rotations: torch.Tensor, joint: str, axis: tuple[float, float, float], angle_deg: float) -> torch.Tensor:
    turn = rotvec_to_rotmat(torch.tensor(axis) * np.deg2rad(angle_deg))
    result = rotations.clone()
    result[:, SMPL24.index(joint)] = result[:, SMPL24.index(joint)] @ turn
    return result


def test_poses_of_built_in_people_are_plausible():
    judged = judge_poses(legal(100), load_body())
    assert judged.excess_deg.max() < LARGEST_EXCESS_DEG / 2
    assert judged.implausible.mean() <= 0.01


def test_a_knee_that_bends_forward_is_implausible():
    rest = torch.eye(3).expand(1, 24, 3, 3).clone()
    body = load_body()
    # SMPL's knee bends backward by a positive rotation about x.
    backward = judge_poses(turned(rest, "left_knee", (1.0, 0.0, 0.0), 60), body)
    forward = judge_poses(turned(rest, "left_knee", (1.0, 0.0, 0.0), -60), body)
    knee = [name for name in SMPL24[1:] if not name.endswith(("_foot", "_hand"))].index("left_knee")
    assert backward.excess_deg[0, knee] < 5
    assert 55 < forward.excess_deg[0, knee] < 65
    assert forward.implausible.all()


def test_penetrating_legs_are_implausible():
    rest = torch.eye(3).expand(1, 24, 3, 3).clone()
    crossed = turned(turned(rest, "left_hip", (0.0, 0.0, 1.0), -14), "right_hip", (0.0, 0.0, 1.0), 14)
    judged = judge_poses(crossed, load_body())
    assert judge_poses(rest, load_body()).penetration_m[0] == 0
    assert judged.penetration_m[0] > 0.05
    assert judged.implausible.all()


def test_orientation_of_the_body_does_not_matter():
    poses = legal(5)
    moved = turned(poses, "pelvis", (0.6, 0.0, 0.8), 130)
    one, other = judge_poses(poses, load_body()), judge_poses(moved, load_body())
    np.testing.assert_allclose(one.excess_deg, other.excess_deg)
    np.testing.assert_allclose(one.penetration_m, other.penetration_m, atol=1e-5)
