"""Synthetic hands: articulation, labels, view directions and determinism."""

import cv2
import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.articulation import draw_hand_pose
from hamipose.synthetic.hands.hand_model import hand_model
from hamipose.synthetic.hands.poses import (
    FINGERS,
    HAND_FAMILIES,
    HAND_LIMITS,
    HandPose,
    clamp_to_hand_limits,
    sample_hand_pose,
)
from hamipose.synthetic.hands.sample import get_hand_renderer, render_hand
from hamipose.synthetic.hands.scene_setup import build_hand_scene, draw_hand_rotation, fit_hand_camera
from hamipose.synthetic.labels import label_hand
from hamipose.synthetic.people.sample import render_person
from hamipose.synthetic.scene.scene import Camera

SIZE = 64
TIPS = {name: HAND21.index(f"{name}_tip") for name in ("thumb", *FINGERS)}


def posed(**angles: float) -> np.ndarray:
    """Return the joints of the reference hand in axes towards the little finger, along the fingers, out of the palm."""
    surface = hand_model()
    whole = dict.fromkeys(HAND_LIMITS, 0.0) | {name: float(v) for name, v in angles.items()}
    a = surface.articulation
    axes = np.stack([a._side, a._hand, a._palm])
    return surface.pose_hand({}, HandPose("test", whole)).points_m @ axes.T


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


def bones(joints: np.ndarray, finger: str) -> np.ndarray:
    chain = joints[HAND21.indices(("wrist", *(f"{finger}_{j}" for j in ("mcp", "pip", "dip", "tip"))))]
    return np.diff(chain, axis=0)


def test_hand_is_a_left_hand():
    joints = posed()
    wrist, index, little = (joints[HAND21.index(k)] for k in ("wrist", "index_mcp", "little_mcp"))
    curled = posed(**{f"{f}_mcp": 60 for f in FINGERS})
    inward = (curled - joints)[list(TIPS.values())[1:]].mean(0)
    # index × little about the wrist points out of the back of a left hand, fingers curl towards its palm.
    assert np.cross(index - wrist, little - wrist) @ inward < 0
    # And on the body the left arm is on the side of +x.
    assert hand_model().rest_m[:, 0].min() > 0.2


@pytest.mark.parametrize("finger", FINGERS)
def test_fingers_are_straight_at_zero_and_bend_by_the_given_angle(finger: str):
    straight = bones(posed(), finger)
    assert all(angle(straight[i], straight[i + 1]) < 14 for i in (1, 2))
    for joint, place in (("mcp", 1), ("pip", 2), ("dip", 3)):
        bent = bones(posed(**{f"{finger}_{joint}": 50}), finger)
        assert angle(bent[place - 1], bent[place]) == pytest.approx(50, abs=12)
        moved = posed(**{f"{finger}_{joint}": 50}) - posed()
        assert moved[TIPS[finger], 2] > 0.005  # out of the palm
        others = [t for name, t in TIPS.items() if name != finger]
        assert np.abs(moved[others]).max() < 1e-4


def test_spread_moves_fingers_apart_and_the_thumb_opposes():
    rest = posed()
    assert (posed(index_spread=15) - rest)[TIPS["index"], 0] < -0.01
    assert (posed(little_spread=15) - rest)[TIPS["little"], 0] > 0.01
    assert (posed(thumb_radial=-30) - rest)[TIPS["thumb"], 1] > 0.01  # to the fingers
    opposed = (posed(thumb_opposition=40) - rest)[TIPS["thumb"]]
    assert opposed[0] > 0.02  # across the palm
    assert opposed[2] > 0.005
    assert (posed(thumb_ip=50) - rest)[TIPS["thumb"], 0] > 0.01
    assert (posed(wrist_deviation=20) - rest)[TIPS["middle"], 0] > 0.02
    assert (posed(wrist_flexion=40) - rest)[TIPS["middle"], 2] > 0.05


def test_chain_of_joints_matches_the_body_model():
    surface = hand_model()
    rng = np.random.default_rng(0)
    for _ in range(4):
        pose = sample_hand_pose(rng)
        hand = surface.pose_hand({}, pose)
        chain = surface.articulation.chains(surface.articulation.rotations([pose]))[0].reshape(20, 3)
        found = hand.points_m[1:] + surface.articulation._at["wrist.L"]
        joints = [k for k in range(20) if k % 4 != 3]
        assert np.allclose(chain[joints], found[joints], atol=1e-5)
        assert np.allclose(chain, found, atol=4e-3)  # tips are points of the skin


@pytest.mark.parametrize("family", HAND_FAMILIES)
def test_poses_stay_within_limits_and_their_family(family: str):
    rng = np.random.default_rng(0)
    for _ in range(30):
        pose = sample_hand_pose(rng, family)
        assert pose.family == family
        assert set(pose.angles) == set(HAND_LIMITS)
        assert all(low <= pose.angles[n] <= high for n, (low, high) in HAND_LIMITS.items())
        assert clamp_to_hand_limits(pose.angles) == pytest.approx(pose.angles, abs=9)  # spread shrinks once more
        if family in ("fist", "thumb_up"):
            assert min(pose.angles[f"{f}_pip"] for f in FINGERS) > 60
        if family == "pointing":
            assert pose.angles["index_pip"] < 30
            assert pose.angles["little_pip"] > 60


def test_mixture_contains_all_families():
    rng = np.random.default_rng(0)
    assert {sample_hand_pose(rng).family for _ in range(400)} == set(HAND_FAMILIES)


def test_drawn_poses_have_fewer_collisions_and_pinches_nearly_touch():
    articulation = hand_model().articulation
    rng = np.random.default_rng(0)
    drawn = [draw_hand_pose(rng, articulation) for _ in range(60)]
    plain = [sample_hand_pose(rng, p.family) for p in drawn]
    depth, before = articulation.penetration_m(drawn), articulation.penetration_m(plain)
    assert depth.mean() < 0.5 * before.mean()
    assert np.median(depth) < 0.006
    pinches = [draw_hand_pose(rng, articulation, family="pinch") for _ in range(12)]
    chains = articulation.chains(articulation.rotations(pinches))
    assert np.median(np.linalg.norm(chains[:, 0, 3] - chains[:, 1, 3], axis=1)) < 0.025


def test_penetrating_fingers_are_detected():
    articulation = hand_model().articulation
    flat = dict.fromkeys(HAND_LIMITS, 0.0)
    free, through = articulation.penetration_m(
        [HandPose("a", flat), HandPose("b", flat | {"index_spread": -18.0, "middle_spread": -18.0})]
    )
    assert free < 0.002
    assert through > 0.01


def render_from(side: float, style: str = "plain", **angles: float):
    """Render the reference hand from the side of its palm (1) or of its back (-1)."""
    surface = hand_model()
    whole = dict.fromkeys(HAND_LIMITS, 0.0) | {name: float(v) for name, v in angles.items()}
    hand = surface.pose_hand({}, HandPose("test", whole))
    scene, _ = build_hand_scene(
        np.random.default_rng(0), surface, hand, style=style, size=(128, 128), backgrounds=None, backdrops=["flat"]
    )
    a = surface.articulation
    scene.solids = type(scene.solids)()
    forward = -side * a._palm
    scene.vertices_m, scene.normals = hand.vertices_m, hand.normals
    axes = np.stack([np.cross(-a._hand, forward), -a._hand, forward])
    scene.camera = Camera(hand.points_m.mean(0) - 0.6 * forward, axes, 300.0, (128, 128))
    renderer = get_hand_renderer("cpu")
    renderer.load(scene)
    _, cover = renderer.render()
    return label_hand(renderer, scene.camera, hand.points_m, hand.length_m), cover > 0.5, scene, renderer, hand


def test_fingers_have_the_order_of_a_left_hand():
    for side in (1.0, -1.0):
        labels, *_ = render_from(side)
        x = labels.keypoints_px[[TIPS[f] for f in ("thumb", *FINGERS)], 0]
        # In a view of the palm of a left hand with the fingers up, the thumb is on the left.
        assert (np.diff(x) * side > 3).all()
        y = labels.keypoints_px[HAND21.indices(tuple(f"middle_{j}" for j in ("mcp", "pip", "dip", "tip"))), 1]
        assert (np.diff(y) < -2).all()
        assert labels.keypoints_px[0, 1] > y[0] + 20


def test_visibility_matches_the_view_of_the_camera():
    flat, mask, *_ = render_from(-1.0)
    four = [k for k, name in enumerate(HAND21.keypoints) if not name.startswith("thumb")]
    assert (flat.visibility[four] == 2).all()
    at = np.rint(flat.keypoints_px).astype(int)
    assert mask[at[:, 1], at[:, 0]].all()

    fist = {f"{f}_{j}": v for f in FINGERS for j, v in (("mcp", 85), ("pip", 100), ("dip", 40))}
    behind, *_ = render_from(-1.0, **fist)
    tips = [TIPS[f] for f in FINGERS]
    assert (behind.visibility[tips] == 1).all()  # behind the back of the hand
    front, *_ = render_from(1.0, **fist)
    assert (front.visibility[tips] == 2).sum() >= 3
    assert (front.visibility[HAND21.indices(tuple(f"{f}_mcp" for f in FINGERS))] == 1).all()


def test_occluder_hides_a_joint():
    _, _, scene, renderer, hand = render_from(-1.0)
    joint = HAND21.index("middle_pip")
    at = hand.points_m[joint] + 0.4 * (scene.camera.position_m - hand.points_m[joint])
    scene.solids.add("ellipsoid", at, np.eye(3), [0.004] * 3, 0)
    renderer.load(scene)
    labels = label_hand(renderer, scene.camera, hand.points_m, hand.length_m)
    assert labels.visibility[joint] == 1
    assert labels.visibility[TIPS["middle"]] == 2


def test_camera_shows_the_joints_and_never_the_elbow_in_front():
    hand = hand_model().pose_hand({}, HandPose("flat", dict.fromkeys(HAND_LIMITS, 0.0)))
    rng = np.random.default_rng(0)
    inside, shares = [], []
    for _ in range(200):
        turn = draw_hand_rotation(rng, hand)
        assert np.allclose(turn @ turn.T, np.eye(3))
        assert np.linalg.det(turn) == pytest.approx(1)
        points, elbow = hand.points_m @ turn.T, turn @ hand.vertices_m[-1]
        arm = points[9] - elbow
        assert arm[1] / np.linalg.norm(arm) < 0.5 + 1e-6  # not pointing away from the camera on the -y side
        camera = fit_hand_camera(rng, points, (SIZE, SIZE))
        flat = camera.project(points)
        shares.append((flat.max(0) - flat.min(0)).max() / SIZE)
        inside.append(((flat >= -0.5) & (flat < SIZE)).all())
    assert np.mean(inside) > 0.9
    assert min(shares) > 0.45
    assert max(shares) < 1.2


@pytest.mark.parametrize("facing", ["palm", "back", "edge"])
def test_hands_face_the_camera_with_the_selected_side(facing: str):
    hand = hand_model().pose_hand({}, HandPose("flat", dict.fromkeys(HAND_LIMITS, 0.0)))
    palm, rng = hand_model().articulation._palm, np.random.default_rng(0)
    for _ in range(30):
        turn = draw_hand_rotation(rng, hand, [facing], 20.0)
        towards = -(turn @ palm)[1]  # the camera is on the -y side
        assert {"palm": towards > 0.6, "back": towards < -0.6, "edge": abs(towards) < 0.68}[facing]
        up = turn @ (hand.points_m[9] - hand.vertices_m[-1])
        assert abs(np.rad2deg(np.arctan2(up[0], up[2]))) < 20.5


@pytest.mark.parametrize("style", ["plain", "photo"])
def test_image_depends_on_the_seed_only(style: str):
    first = render_hand(style, 7, size=SIZE, device="cpu")
    render_hand(style, 8, size=SIZE, device="cpu")
    again = render_hand(style, 7, size=SIZE, device="cpu")
    assert first.jpeg == again.jpeg
    assert np.array_equal(first.labels.keypoints_px, again.labels.keypoints_px)
    assert first.jpeg != render_hand(style, 7, seed=1, size=SIZE, device="cpu").jpeg
    person = render_person(style, 7, size=SIZE, device="cpu")  # the two renderers are independent
    assert first.jpeg == render_hand(style, 7, size=SIZE, device="cpu").jpeg
    assert person.jpeg == render_person(style, 7, size=SIZE, device="cpu").jpeg
    with pytest.raises(UserError, match="style is 'oil'"):
        render_hand("oil", 0)


def test_visible_joints_lie_on_the_hand():
    on, total = 0, 0
    for style in ("plain", "photo"):
        for index in range(20):
            picture = render_hand(style, index, seed=4, size=SIZE, device="cpu")
            near = cv2.dilate(picture.mask.astype(np.uint8), np.ones((3, 3), np.uint8))
            seen = picture.labels.visibility == 2
            at = np.rint(picture.labels.keypoints_px[seen]).astype(int)
            on += int(near[at[:, 1], at[:, 0]].sum())
            total += len(at)
    assert total > 400
    assert on / total > 0.99
