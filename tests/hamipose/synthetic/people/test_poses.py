"""Poses stay within the joint limits, and the articulation realizes the joint angles."""

import numpy as np
import pytest

from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_pose, penetration_m
from hamipose.synthetic.people.joint_limits import LIMITS, clamp_to_limits
from hamipose.synthetic.people.pose_distributions import FAMILIES
from hamipose.synthetic.people.poses import Pose, sample_pose


def pose(**angles: float) -> Pose:
    hanging = {"left_shoulder_elevation": 8.0, "right_shoulder_elevation": 8.0}
    return Pose("made", dict.fromkeys(LIMITS, 0.0) | hanging | {name: float(v) for name, v in angles.items()})


def joints(*poses: Pose) -> list[dict[str, np.ndarray]]:
    """Return the starts of the bones; x to the person's left, y to the back, z up."""
    articulation = body_model().articulation
    found = articulation.joints(articulation.rotations(poses))
    return [dict(zip(articulation.bones, one, strict=True)) for one in found]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


@pytest.mark.parametrize("family", FAMILIES)
def test_poses_of_each_family_stay_within_the_limits(family):
    rng = np.random.default_rng(0)
    for _ in range(40):
        drawn = sample_pose(rng, family)
        assert drawn.family == family
        assert set(drawn.angles) == set(LIMITS)
        for name, (low, high) in LIMITS.items():
            assert low <= drawn.angles[name] <= high, name
        assert drawn.angles == clamp_to_limits(drawn.angles)  # no further correction


def test_straight_knee_prevents_full_flexion_of_the_hip():
    straight = clamp_to_limits(pose(left_hip_flexion=120).angles)  # a gymnast's leg at most
    bent = clamp_to_limits(pose(left_hip_flexion=120, left_knee_flexion=130).angles)
    assert straight["left_hip_flexion"] < 115
    assert bent["left_hip_flexion"] == 120


def test_mixture_contains_all_families():
    rng = np.random.default_rng(0)
    assert {sample_pose(rng).family for _ in range(600)} == set(FAMILIES)


def test_bones_keep_their_length():
    rng = np.random.default_rng(1)
    articulation = body_model().articulation
    found = articulation.joints(articulation.rotations([sample_pose(rng) for _ in range(20)]))
    parents = np.array(articulation.parents[1:])
    length = np.linalg.norm(found[:, 1:] - found[:, parents], axis=-1)
    rest = np.linalg.norm(articulation.heads[1:] - articulation.heads[parents], axis=-1)
    np.testing.assert_allclose(length, np.broadcast_to(rest, length.shape), atol=1e-9)


@pytest.mark.parametrize(("side", "end"), [("left", "L"), ("right", "R")])
@pytest.mark.parametrize("flexion", [0.0, 40.0, 130.0])
def test_knees_bend_backward_and_elbows_forward_by_the_given_angle(side, end, flexion):
    (at,) = joints(pose(**{f"{side}_knee_flexion": flexion, f"{side}_elbow_flexion": flexion}))
    thigh, shin = at[f"lowerleg01.{end}"] - at[f"upperleg01.{end}"], at[f"foot.{end}"] - at[f"lowerleg01.{end}"]
    upper, fore = at[f"lowerarm01.{end}"] - at[f"upperarm01.{end}"], at[f"wrist.{end}"] - at[f"lowerarm01.{end}"]
    assert angle(thigh, shin) == pytest.approx(flexion, abs=6)  # the thigh bone is not quite straight
    assert angle(upper, fore) == pytest.approx(flexion, abs=1)
    if flexion > 0:
        assert shin[1] > thigh[1] + 0.1
        assert fore[1] < upper[1] - 0.1


@pytest.mark.parametrize(("side", "end", "outward"), [("left", "L", 1), ("right", "R", -1)])
def test_directions_of_hips_and_shoulders(side, end, outward):
    neutral, hip, out, forward, sideways, up = joints(
        pose(),
        pose(**{f"{side}_hip_flexion": 90, f"{side}_knee_flexion": 60}),
        pose(**{f"{side}_hip_abduction": 40}),
        pose(**{f"{side}_shoulder_elevation": 90, f"{side}_shoulder_plane": 90}),
        pose(**{f"{side}_shoulder_elevation": 90, f"{side}_shoulder_plane": 0}),
        pose(**{f"{side}_shoulder_elevation": 165, f"{side}_shoulder_plane": 0}),
    )
    knee, elbow, shoulder = f"lowerleg01.{end}", f"lowerarm01.{end}", f"upperarm01.{end}"
    assert hip[knee][1] < neutral[knee][1] - 0.25  # to the front
    assert outward * (out[knee][0] - neutral[knee][0]) > 0.15
    assert forward[elbow][1] < forward[shoulder][1] - 0.2
    assert outward * (sideways[elbow][0] - sideways[shoulder][0]) > 0.2
    assert up[elbow][2] > up[shoulder][2] + 0.2


def test_trunk_bends_forward_and_to_the_left():
    neutral, forward, left = joints(pose(), pose(trunk_flexion=60), pose(trunk_bend=25))
    assert forward["head"][1] < neutral["head"][1] - 0.2
    assert left["head"][0] > neutral["head"][0] + 0.1


def test_swapping_left_and_right_mirrors_the_body():
    rng = np.random.default_rng(3)
    drawn = sample_pose(rng, "lunging")
    swap = {"left": "right", "right": "left"}
    mirrored = {}
    for name, value in drawn.angles.items():
        side, _, rest = name.partition("_")
        mirrored[f"{swap[side]}_{rest}" if side in swap else name] = value
    for name in ("trunk_bend", "trunk_twist", "neck_bend", "neck_twist"):
        mirrored[name] = -mirrored[name]
    one, other = joints(drawn, Pose("mirrored", mirrored))
    for bone in ("wrist", "lowerarm01", "foot", "lowerleg01", "upperarm01"):
        np.testing.assert_allclose(one[f"{bone}.L"] * [-1, 1, 1], other[f"{bone}.R"], atol=0.01)


def test_drawn_poses_have_fewer_collisions():
    articulation = body_model().articulation
    legs_through_each_other = pose(left_hip_abduction=-15, right_hip_abduction=-15)
    assert penetration_m(articulation, [pose()])[0] == 0
    assert penetration_m(articulation, [legs_through_each_other])[0] > 0.02
    rng = np.random.default_rng(0)
    chosen = penetration_m(articulation, [draw_pose(rng, articulation) for _ in range(40)])
    blind = penetration_m(articulation, [sample_pose(rng) for _ in range(40)])
    assert (chosen > 0.015).mean() < 0.1
    assert chosen.mean() < blind.mean()
