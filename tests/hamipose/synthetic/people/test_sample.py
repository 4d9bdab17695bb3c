"""Pictures and labels: left is left, hidden is hidden, rays hit what they should, a seed gives the same bytes."""

import subprocess
import sys

import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.people.bodies import PARTS, bodies, bodies_for, sample_shape
from hamipose.synthetic.people.labels import box_of, label, run_lengths
from hamipose.synthetic.people.pose_distributions import LIMITS
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.people.sample import LOOKS, picture_person
from hamipose.synthetic.renderer.raycast import Renderer, renderer
from hamipose.synthetic.scene.scene import Camera
from hamipose.synthetic.scene.scene_setup import stage

SIZE = 64


def standing(**angles: float) -> Pose:
    hanging = {"left_shoulder_elevation": 15.0, "right_shoulder_elevation": 15.0}
    return Pose("standing", dict.fromkeys(LIMITS, 0.0) | hanging | {name: float(v) for name, v in angles.items()})


def photographed(pose: Pose, *, from_behind: bool = False, focal_px: float = 200.0, look: str = "plain"):
    """Labels (by skeleton), mask and picture of an average adult seen level from 4 m."""
    surface, rng = bodies(), np.random.default_rng(0)
    body = surface.body({}, pose)
    scene = stage(rng, surface, body, pose, look=look, size=(128, 128), heading=0.0, backgrounds=None)
    # The camera looks along +y at a person who faces -y; from behind the other way round.
    sign = -1.0 if from_behind else 1.0
    axes = np.array([[sign, 0, 0], [0, 0, -1], [0, sign, 0]], float)
    scene.camera = Camera(np.array([0.0, -4.0 * sign, -0.05]), axes, focal_px, (128, 128))
    scene.solids = type(scene.solids)()
    caster = renderer("cpu")
    caster.load(scene)
    linear, cover = caster.picture()
    return label(caster, scene.camera, body, (BODY16, COCO17)), cover > 0.5, linear


def test_left_and_right_are_the_persons():
    front, _, _ = photographed(standing())
    behind, _, _ = photographed(standing(), from_behind=True)
    for name, skeleton in (("body16", BODY16), ("coco17", COCO17)):
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            left, right = skeleton.index(f"left_{joint}"), skeleton.index(f"right_{joint}")
            assert front[name].keypoints_px[left, 0] > front[name].keypoints_px[right, 0] + 3
            assert behind[name].keypoints_px[left, 0] < behind[name].keypoints_px[right, 0] - 3
    only_left, _, _ = photographed(standing(left_shoulder_elevation=160))
    wrist = only_left["body16"].keypoints_px[[BODY16.index("left_wrist"), BODY16.index("right_wrist")]]
    assert wrist[0, 1] < wrist[1, 1] - 20  # the left hand, to the right in the picture, is the raised one
    assert wrist[0, 0] > wrist[1, 0]


def test_joints_stand_in_anatomical_order():
    labels, _, _ = photographed(standing())
    down = ["head", "neck", "thorax", "pelvis", "left_knee", "left_ankle"]
    rows = labels["body16"].keypoints_px[BODY16.indices(tuple(down)), 1]
    assert (np.diff(rows) > 1).all()
    nose, ear = labels["coco17"].joints_m[[COCO17.index("nose"), COCO17.index("left_ear")]]
    assert nose[2] < ear[2] - 0.05  # nearer to the camera


def test_visibility_is_what_the_camera_sees():
    front, mask, _ = photographed(standing())
    assert (front["body16"].visibility == 2).all()
    assert (front["coco17"].visibility == 2).all()
    inside = np.round(front["body16"].keypoints_px).astype(int)
    assert mask[inside[:, 1], inside[:, 0]].sum() >= 15  # the crown is on the outline

    behind, _, _ = photographed(standing(), from_behind=True)
    face = COCO17.indices(("nose", "left_eye", "right_eye"))
    assert (behind["coco17"].visibility[face] == 1).all()

    hands = {"left_shoulder_elevation": 40, "left_shoulder_plane": -60, "left_shoulder_rotation": 70}
    folded, _, _ = photographed(standing(**hands, left_elbow_flexion=95))
    assert folded["body16"].visibility[BODY16.index("left_wrist")] == 1
    assert folded["body16"].visibility[BODY16.index("right_wrist")] == 2

    near, _, _ = photographed(standing(), focal_px=600.0)
    assert near["body16"].visibility[BODY16.index("left_ankle")] == 0
    assert near["body16"].visibility[BODY16.index("pelvis")] == 2


def test_what_stands_in_the_way_hides():
    surface, rng, pose = bodies(), np.random.default_rng(0), standing()
    body = surface.body({}, pose)
    scene = stage(rng, surface, body, pose, look="plain", size=(64, 64), heading=0.0, backgrounds=None)
    axes = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    scene.camera = Camera(np.array([0.0, -4.0, -0.05]), axes, 90.0, (64, 64))
    caster = renderer("cpu")
    knee = BODY16.index("left_knee")
    for kind in ("box", "ellipsoid", "cylinder"):
        scene.solids = type(scene.solids)()
        scene.solids.add(kind, body.points_m["left_knee"] * [1, 0, 1] + [0, -1, 0], np.eye(3), [0.1] * 3, 0)
        caster.load(scene)
        labels = label(caster, scene.camera, body, (BODY16,))["body16"]
        assert labels.visibility[knee] == 1, kind
        assert labels.visibility[BODY16.index("pelvis")] == 2, kind


def reference_first_hit(vertices, faces, eye, way):
    """Möller and Trumbore over all triangles, in double precision."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    p = np.cross(way, c - a)
    det = np.einsum("ij,ij->i", b - a, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.einsum("ij,ij->i", eye - a, p) / det
        q = np.cross(eye - a, b - a)
        v, t = q @ way / det, np.einsum("ij,ij->i", c - a, q) / det
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
    return t[hit].min() if hit.any() else np.inf


def test_rays_hit_what_a_slow_loop_over_triangles_hits():
    person = picture_person("plain", 5, size=SIZE, device="cpu")
    person.scene.solids = type(person.scene.solids)()
    person.scene.ground_m = None
    caster = renderer("cpu", bodies_for(SIZE))
    caster.load(person.scene)
    rng, eye, surface = np.random.default_rng(0), person.scene.camera.position_m, bodies_for(SIZE)
    points = person.scene.vertices_m[rng.integers(len(person.scene.vertices_m), size=40)] + rng.normal(0, 0.05, (40, 3))
    distance, part = caster.first_hits(points)
    for point, found, seen in zip(points, distance, part, strict=True):
        way = (point - eye) / np.linalg.norm(point - eye)
        expected = reference_first_hit(person.scene.vertices_m, surface.faces, eye, way)
        if np.isinf(expected):
            assert seen == -1
        else:
            assert found == pytest.approx(expected, abs=1e-3)


def with_everything_expected_everywhere(monkeypatch, picture):
    projected = Renderer._projected

    def near_the_camera(self, points_m):
        return projected(self, points_m)[0], np.zeros(points_m.shape[:-2], bool)

    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "_projected", near_the_camera)
        return picture()


@pytest.mark.parametrize("look", LOOKS)
def test_leaving_out_what_cannot_be_seen_changes_nothing(look, monkeypatch):
    for index in range(6):
        fast = picture_person(look, index, size=SIZE, device="cpu")
        slow = with_everything_expected_everywhere(
            monkeypatch, lambda index=index: picture_person(look, index, size=SIZE, device="cpu")
        )
        np.testing.assert_array_equal(fast.image, slow.image)
        np.testing.assert_array_equal(fast.mask, slow.mask)


@pytest.mark.parametrize("ahead_m", [0.0, 1.0, 2.5])
def test_many_solids_and_a_camera_among_them(ahead_m, monkeypatch):
    """More solids than bits, a picture that is not square, a camera so near that things lie beside and behind it."""
    scene = picture_person("photo", 3, size=SIZE, device="cpu").scene
    rng, camera = np.random.default_rng(0), scene.camera
    for _ in range(40):
        at, half = rng.normal(0, 1.2, 3), rng.uniform(0.03, 0.2, 3)
        scene.solids.add(("box", "ellipsoid", "cylinder")[rng.integers(3)], at, np.eye(3), half, 0)
    camera.position_m = camera.position_m + ahead_m * camera.rotation[2]
    camera.size, scene.far = (60, 84), np.zeros((60, 84, 3))
    caster = renderer("cpu", bodies_for(SIZE))
    caster.load(scene)
    assert caster._seen().any()
    fast = caster.picture()
    for ours, expected in zip(fast, with_everything_expected_everywhere(monkeypatch, caster.picture), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_light_from_above_leaves_a_shadow_on_the_floor():
    person = next(p for i in range(9) if (p := picture_person("plain", i, size=SIZE)).scene.ground_m is not None)
    scene, caster = person.scene, renderer("cpu", bodies_for(SIZE))
    scene.lights.towards = np.array([[0.0, 0.0, 1.0]])
    down = np.array([[1, 0, 0], [0, -(0.5**0.5), -(0.5**0.5)], [0, 0.5**0.5, -(0.5**0.5)]])
    scene.camera = Camera(np.array([0, -3.0, 3.0]), down, 60.0, (64, 64))
    caster.load(scene)
    with_body, mask = caster.picture()
    scene.vertices_m = scene.vertices_m + np.array([0, 0, 500.0])  # out of sight, and the light passes
    caster.load(scene)
    without, _ = caster.picture()
    darker = (with_body.sum(-1) < 0.8 * without.sum(-1)) & (mask < 0.5)
    assert darker.sum() > 10


@pytest.mark.parametrize("look", LOOKS)
def test_the_same_seed_gives_the_same_bytes_whatever_came_before(look):
    first = picture_person(look, 3, size=SIZE, seed=4, device="cpu")
    picture_person(look, 9, size=SIZE, seed=4, device="cpu")
    again = picture_person(look, 3, size=SIZE, seed=4, device="cpu")
    assert first.jpeg == again.jpeg
    np.testing.assert_array_equal(first.labels["body16"].keypoints_px, again.labels["body16"].keypoints_px)
    other = picture_person(look, 3, size=SIZE, seed=5, device="cpu")
    assert other.jpeg != first.jpeg


def test_the_scene_does_not_depend_on_the_size():
    small, large = (picture_person("photo", 2, size=size, device="cpu") for size in (SIZE, 2 * SIZE))
    np.testing.assert_allclose(
        (small.labels["body16"].keypoints_px + 0.5) * 2, large.labels["body16"].keypoints_px + 0.5, atol=2.0
    )


@pytest.mark.parametrize("look", LOOKS)
def test_labels_agree_with_each_other(look):
    for index in range(4):
        person = picture_person(look, index, size=SIZE, device="cpu")
        for skeleton in (BODY16, COCO17):
            labels = person.labels[skeleton.name]
            pixels = labels.joints_m @ person.scene.camera.intrinsics.T
            np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], labels.keypoints_px, atol=1e-6)
        for name in set(BODY16.keypoints) & set(COCO17.keypoints):
            one, other = BODY16.index(name), COCO17.index(name)
            body, coco = person.labels["body16"], person.labels["coco17"]
            np.testing.assert_array_equal(body.keypoints_px[one], coco.keypoints_px[other])
            assert body.visibility[one] == coco.visibility[other]


def test_bodies_come_from_children_to_tall_adults():
    rng, surface = np.random.default_rng(0), bodies()
    heights = [surface.body(sample_shape(rng), standing()).height_m for _ in range(25)]
    assert min(heights) < 1.45
    assert max(heights) > 1.75
    assert set(np.unique(surface.face_part)) == set(range(len(PARTS)))


def test_run_lengths_and_box():
    mask = np.random.default_rng(0).random((7, 5)) < 0.4
    runs = run_lengths(mask)
    values = np.repeat(np.arange(len(runs["counts"])) % 2 == 1, runs["counts"])
    np.testing.assert_array_equal(values.reshape(mask.shape, order="F"), mask)
    assert box_of(np.zeros((4, 4), bool)) == [0, 0, 0, 0]
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    assert box_of(mask) == [3, 2, 5, 3]


def test_unknown_look_is_named():
    with pytest.raises(UserError, match="look is 'cartoon', expected one of plain, photo"):
        picture_person("cartoon", 0)


def test_importing_the_package_loads_neither_anny_nor_warp():
    code = "import hamipose.synthetic, hamipose.data.datasets.synthetic.people, sys; print('anny' in sys.modules or 'warp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
