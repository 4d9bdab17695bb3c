"""People are seen from all sides, and style different from the front and from behind."""

import numpy as np
import pytest

from hamipose.synthetic.people.accessories import add_accessories
from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.clothing import OUTFIT_FIELDS, draw_outfit
from hamipose.synthetic.people.coarse_body import body_model_for
from hamipose.synthetic.people.joint_limits import LIMITS
from hamipose.synthetic.people.poses import Pose, sample_pose
from hamipose.synthetic.people.scene_setup import build_scene, fit_camera
from hamipose.synthetic.renderer.raycast import get_renderer
from hamipose.synthetic.scene.scene import Camera, Lights, Materials, Solids

SIZE = 96


@pytest.fixture(scope="module")
def views():
    """Return, for many people, how much the trunk faces the camera, and its angle in the image in degrees."""
    rng, articulation = np.random.default_rng(0), body_model().articulation
    poses = [sample_pose(rng) for _ in range(600)]
    at = {name: k for k, name in enumerate(articulation.bones)}
    facing, turned = [], []
    x, y, z = np.eye(3)
    for pose, joints in zip(poses, articulation.joints(articulation.rotations(poses)), strict=True):
        heading = rng.uniform(-180, 180) if abs(pose.pitch) > 45 else 0.0
        whole = axis_rotation(z, np.asarray(heading)) @ axis_rotation(x, np.asarray(pose.pitch))
        points = (joints - joints[0]) @ (whole @ axis_rotation(y, np.asarray(pose.roll))).T
        camera = fit_camera(rng, points, (SIZE, SIZE), float(points[:, 2].min()))
        hips = (points[at["upperleg01.L"]] + points[at["upperleg01.R"]]) / 2
        front = np.cross(points[at["upperarm01.L"]] - points[at["upperarm01.R"]], points[at["neck01"]] - hips)
        towards = camera.position_m - hips
        facing.append(front @ towards / np.linalg.norm(front) / np.linalg.norm(towards))
        across, down = np.diff(camera.project(np.stack([hips, points[at["neck01"]]])), axis=0)[0]
        turned.append(np.rad2deg(np.arctan2(across, -down)))
    return np.array(facing), np.abs(turned)


def test_people_are_seen_from_the_front_the_side_and_behind(views):
    facing, _ = views
    assert (facing > 0.5).mean() == pytest.approx(0.38, abs=0.08)
    assert (np.abs(facing) < 0.5).mean() == pytest.approx(0.39, abs=0.08)
    assert (facing < -0.5).mean() == pytest.approx(0.23, abs=0.06)


def test_people_stand_lie_and_hang_in_the_image(views):
    _, turned = views
    assert (turned < 30).mean() > 0.5
    assert (turned > 60).mean() > 0.15
    assert (turned > 120).mean() > 0.08


def render_trunk(behind: bool, seed: int, alike: bool = False) -> np.ndarray:
    """Render the trunk of a clothed person in ambient light; the image from behind is mirrored."""
    surface = body_model_for(SIZE)
    pose = Pose("standing", dict.fromkeys(LIMITS, 0.0) | {f"{s}_shoulder_elevation": 40.0 for s in ("left", "right")})
    body, rng = surface.pose_body({}, pose), np.random.default_rng(seed)
    scene = build_scene(rng, surface, body, pose, style="plain", size=(SIZE, SIZE), heading=0.0, backgrounds=None)
    sign = -1.0 if behind else 1.0
    axes = np.array([[sign, 0, 0], [0, 0, -1], [0, sign, 0]], float)
    scene.camera = Camera(np.array([0.0, -4.0 * sign, 0.25]), axes, 500.0, (SIZE, SIZE))
    if alike:  # the front is like the back
        for name in ("neck_depth", "opening", "print_width", "back_width", "pocket"):
            scene.outfit[OUTFIT_FIELDS.index(name)] = -1.0 if name != "neck_depth" else 0.0
    scene.solids, scene.ground_m, scene.normals = Solids(), None, np.tile([0.0, 0.0, 1.0], (len(scene.normals), 1))
    scene.lights = Lights(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.full(3, 0.9), np.full(3, 0.9))
    renderer = get_renderer("cpu", surface)
    renderer.load(scene)
    picture = renderer.render()[0][24:72, 40:56]
    return picture[:, ::-1] if behind else picture


def test_front_of_most_outfits_differs_from_the_back():
    def share(alike: bool) -> float:
        pairs = [(render_trunk(False, seed, alike), render_trunk(True, seed, alike)) for seed in range(12)]
        return float(np.mean([(np.abs(front - back).max(-1) > 0.08).mean() > 0.1 for front, back in pairs]))

    assert share(alike=False) >= 0.5
    assert share(alike=True) == 0


def test_hair_is_behind_and_peak_is_in_front():
    rng, body = np.random.default_rng(0), body_model().pose_body({}, Pose("standing", dict.fromkeys(LIMITS, 0.0)))
    behind, peaks = 0, 0
    for _ in range(150):
        materials, solids = Materials(), Solids()
        outfit = draw_outfit(rng, materials, "photo", body_model().eye_m)
        add_accessories(rng, body, solids, materials, outfit, np.full(3, 0.5))
        hair = outfit[OUTFIT_FIELDS.index("hair")]
        for center, material in zip(solids.center_m, solids.material, strict=True):
            if material == hair:
                behind += 1
                assert center[1] > body.points_m["left_ear"][1]
            elif material == outfit[OUTFIT_FIELDS.index("hat")]:
                peaks += 1
                assert center[1] < body.points_m["left_eye"][1]
    assert behind > 5
    assert peaks > 2
