"""Images and labels of people: sides, visibility, ray hits, and determinism."""

import subprocess
import sys

import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.labels import label_person
from hamipose.synthetic.people.body_model import PARTS, body_model, sample_shape
from hamipose.synthetic.people.coarse_body import body_model_for
from hamipose.synthetic.people.joint_limits import LIMITS
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.people.sample import render_person
from hamipose.synthetic.people.scene_setup import build_scene
from hamipose.synthetic.renderer.raycast import Renderer, get_renderer
from hamipose.synthetic.scene.appearance import STYLES
from hamipose.synthetic.scene.scene import Camera

SIZE = 64


def standing(**angles: float) -> Pose:
    hanging = {"left_shoulder_elevation": 15.0, "right_shoulder_elevation": 15.0}
    return Pose("standing", dict.fromkeys(LIMITS, 0.0) | hanging | {name: float(v) for name, v in angles.items()})


def render_pose(pose: Pose, *, from_behind: bool = False, focal_px: float = 200.0, style: str = "plain"):
    """Render an average adult from 4 m; return labels by skeleton, mask and image."""
    surface, rng = body_model(), np.random.default_rng(0)
    body = surface.pose_body({}, pose)
    scene = build_scene(rng, surface, body, pose, style=style, size=(128, 128), heading=0.0, backgrounds=None)
    # The camera looks along +y at a person who faces -y; from behind the other way round.
    sign = -1.0 if from_behind else 1.0
    axes = np.array([[sign, 0, 0], [0, 0, -1], [0, sign, 0]], float)
    scene.camera = Camera(np.array([0.0, -4.0 * sign, -0.05]), axes, focal_px, (128, 128))
    scene.solids = type(scene.solids)()
    renderer = get_renderer("cpu")
    renderer.load(scene)
    linear, cover = renderer.render()
    return label_person(renderer, scene.camera, body, (BODY16, COCO17)), cover > 0.5, linear


def test_left_and_right_are_those_of_the_person():
    front, _, _ = render_pose(standing())
    behind, _, _ = render_pose(standing(), from_behind=True)
    for name, skeleton in (("body16", BODY16), ("coco17", COCO17)):
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            left, right = skeleton.index(f"left_{joint}"), skeleton.index(f"right_{joint}")
            assert front[name].keypoints_px[left, 0] > front[name].keypoints_px[right, 0] + 3
            assert behind[name].keypoints_px[left, 0] < behind[name].keypoints_px[right, 0] - 3
    only_left, _, _ = render_pose(standing(left_shoulder_elevation=160))
    wrist = only_left["body16"].keypoints_px[[BODY16.index("left_wrist"), BODY16.index("right_wrist")]]
    assert wrist[0, 1] < wrist[1, 1] - 20  # the left hand, right in the image, is raised
    assert wrist[0, 0] > wrist[1, 0]


def test_joints_have_anatomical_order():
    labels, _, _ = render_pose(standing())
    down = ["head", "neck", "thorax", "pelvis", "left_knee", "left_ankle"]
    rows = labels["body16"].keypoints_px[BODY16.indices(tuple(down)), 1]
    assert (np.diff(rows) > 1).all()
    nose, ear = labels["coco17"].joints_m[[COCO17.index("nose"), COCO17.index("left_ear")]]
    assert nose[2] < ear[2] - 0.05  # nearer to the camera


def test_visibility_matches_the_view_of_the_camera():
    front, mask, _ = render_pose(standing())
    assert (front["body16"].visibility == 2).all()
    assert (front["coco17"].visibility == 2).all()
    inside = np.round(front["body16"].keypoints_px).astype(int)
    assert mask[inside[:, 1], inside[:, 0]].sum() >= 15  # the crown is on the outline

    behind, _, _ = render_pose(standing(), from_behind=True)
    face = COCO17.indices(("nose", "left_eye", "right_eye"))
    assert (behind["coco17"].visibility[face] == 1).all()

    hands = {"left_shoulder_elevation": 40, "left_shoulder_plane": -60, "left_shoulder_rotation": 70}
    folded, _, _ = render_pose(standing(**hands, left_elbow_flexion=95))
    assert folded["body16"].visibility[BODY16.index("left_wrist")] == 1
    assert folded["body16"].visibility[BODY16.index("right_wrist")] == 2

    near, _, _ = render_pose(standing(), focal_px=600.0)
    assert near["body16"].visibility[BODY16.index("left_ankle")] == 0
    assert near["body16"].visibility[BODY16.index("pelvis")] == 2


def test_occluder_hides_a_joint():
    surface, rng, pose = body_model(), np.random.default_rng(0), standing()
    body = surface.pose_body({}, pose)
    scene = build_scene(rng, surface, body, pose, style="plain", size=(64, 64), heading=0.0, backgrounds=None)
    axes = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    scene.camera = Camera(np.array([0.0, -4.0, -0.05]), axes, 90.0, (64, 64))
    renderer = get_renderer("cpu")
    knee = BODY16.index("left_knee")
    for kind in ("box", "ellipsoid", "cylinder"):
        scene.solids = type(scene.solids)()
        scene.solids.add(kind, body.points_m["left_knee"] * [1, 0, 1] + [0, -1, 0], np.eye(3), [0.1] * 3, 0)
        renderer.load(scene)
        labels = label_person(renderer, scene.camera, body, (BODY16,))["body16"]
        assert labels.visibility[knee] == 1, kind
        assert labels.visibility[BODY16.index("pelvis")] == 2, kind


def reference_first_hit(vertices, faces, eye, way):
    """Return the first hit by the method of Möller and Trumbore over all triangles, in double precision."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    p = np.cross(way, c - a)
    det = np.einsum("ij,ij->i", b - a, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.einsum("ij,ij->i", eye - a, p) / det
        q = np.cross(eye - a, b - a)
        v, t = q @ way / det, np.einsum("ij,ij->i", c - a, q) / det
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
    return t[hit].min() if hit.any() else np.inf


def test_rays_agree_with_a_loop_over_all_triangles():
    person = render_person("plain", 5, size=SIZE, device="cpu")
    person.scene.solids = type(person.scene.solids)()
    person.scene.ground_m = None
    renderer = get_renderer("cpu", body_model_for(SIZE))
    renderer.load(person.scene)
    rng, eye, surface = np.random.default_rng(0), person.scene.camera.position_m, body_model_for(SIZE)
    points = person.scene.vertices_m[rng.integers(len(person.scene.vertices_m), size=40)] + rng.normal(0, 0.05, (40, 3))
    distance, part = renderer.first_hits(points)
    for point, found, seen in zip(points, distance, part, strict=True):
        way = (point - eye) / np.linalg.norm(point - eye)
        expected = reference_first_hit(person.scene.vertices_m, surface.faces, eye, way)
        if np.isinf(expected):
            assert seen == -1
        else:
            assert found == pytest.approx(expected, abs=1e-3)


def without_culling(monkeypatch, render):
    projected = Renderer._project

    def nothing_in_front(self, points_m):
        return projected(self, points_m)[0], np.zeros(points_m.shape[:-2], bool)

    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "_project", nothing_in_front)
        return render()


@pytest.mark.parametrize("style", STYLES)
def test_culling_changes_no_pixel(style, monkeypatch):
    for index in range(6):
        fast = render_person(style, index, size=SIZE, device="cpu")
        slow = without_culling(monkeypatch, lambda index=index: render_person(style, index, size=SIZE, device="cpu"))
        np.testing.assert_array_equal(fast.image, slow.image)
        np.testing.assert_array_equal(fast.mask, slow.mask)


@pytest.mark.parametrize("ahead_m", [0.0, 1.0, 2.5])
def test_culling_with_many_solids_around_the_camera(ahead_m, monkeypatch):
    """Use more solids than bits, an image that is not square, and solids beside and behind the camera."""
    scene = render_person("photo", 3, size=SIZE, device="cpu").scene
    rng, camera = np.random.default_rng(0), scene.camera
    for _ in range(40):
        at, half = rng.normal(0, 1.2, 3), rng.uniform(0.03, 0.2, 3)
        scene.solids.add(("box", "ellipsoid", "cylinder")[rng.integers(3)], at, np.eye(3), half, 0)
    camera.position_m = camera.position_m + ahead_m * camera.rotation[2]
    camera.size, scene.background = (60, 84), np.zeros((60, 84, 3))
    renderer = get_renderer("cpu", body_model_for(SIZE))
    renderer.load(scene)
    assert renderer._solid_bits().any()
    fast = renderer.render()
    for ours, expected in zip(fast, without_culling(monkeypatch, renderer.render), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_light_from_above_casts_a_shadow_on_the_floor():
    person = next(p for i in range(9) if (p := render_person("plain", i, size=SIZE)).scene.ground_m is not None)
    scene, renderer = person.scene, get_renderer("cpu", body_model_for(SIZE))
    scene.lights.towards = np.array([[0.0, 0.0, 1.0]])
    down = np.array([[1, 0, 0], [0, -(0.5**0.5), -(0.5**0.5)], [0, 0.5**0.5, -(0.5**0.5)]])
    scene.camera = Camera(np.array([0, -3.0, 3.0]), down, 60.0, (64, 64))
    renderer.load(scene)
    with_body, mask = renderer.render()
    scene.vertices_m = scene.vertices_m + np.array([0, 0, 500.0])  # outside the view and without a shadow
    renderer.load(scene)
    without, _ = renderer.render()
    darker = (with_body.sum(-1) < 0.8 * without.sum(-1)) & (mask < 0.5)
    assert darker.sum() > 10


@pytest.mark.parametrize("style", STYLES)
def test_image_depends_on_the_seed_only(style):
    first = render_person(style, 3, size=SIZE, seed=4, device="cpu")
    render_person(style, 9, size=SIZE, seed=4, device="cpu")
    again = render_person(style, 3, size=SIZE, seed=4, device="cpu")
    assert first.jpeg == again.jpeg
    np.testing.assert_array_equal(first.labels["body16"].keypoints_px, again.labels["body16"].keypoints_px)
    other = render_person(style, 3, size=SIZE, seed=5, device="cpu")
    assert other.jpeg != first.jpeg


def test_scene_does_not_depend_on_the_size():
    small, large = (render_person("photo", 2, size=size, device="cpu") for size in (SIZE, 2 * SIZE))
    np.testing.assert_allclose(
        (small.labels["body16"].keypoints_px + 0.5) * 2, large.labels["body16"].keypoints_px + 0.5, atol=2.0
    )


@pytest.mark.parametrize("style", STYLES)
def test_labels_are_consistent(style):
    for index in range(4):
        person = render_person(style, index, size=SIZE, device="cpu")
        for skeleton in (BODY16, COCO17):
            labels = person.labels[skeleton.name]
            pixels = labels.joints_m @ person.scene.camera.intrinsics.T
            np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], labels.keypoints_px, atol=1e-6)
        for name in set(BODY16.keypoints) & set(COCO17.keypoints):
            one, other = BODY16.index(name), COCO17.index(name)
            body, coco = person.labels["body16"], person.labels["coco17"]
            np.testing.assert_array_equal(body.keypoints_px[one], coco.keypoints_px[other])
            assert body.visibility[one] == coco.visibility[other]


def test_body_heights_range_from_children_to_tall_adults():
    rng, surface = np.random.default_rng(0), body_model()
    heights = [surface.pose_body(sample_shape(rng), standing()).height_m for _ in range(25)]
    assert min(heights) < 1.45
    assert max(heights) > 1.75
    assert set(np.unique(surface.face_part)) == set(range(len(PARTS)))


def test_unknown_style_is_named():
    with pytest.raises(UserError, match="style is 'cartoon', but must be one of plain, photo"):
        render_person("cartoon", 0)


def test_importing_the_package_loads_neither_anny_nor_warp():
    code = "import sys, hamipose.data.datasets.synthetic.people; print({'anny', 'warp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
