"""The built-in body: variance of its ten coefficients, joint positions, and symmetry."""

from pathlib import Path

import numpy as np
import pytest
import torch
from roma import random_rotmat

from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_pose
from hamipose.synthetic.people.poses import Pose, sample_pose
from meshtto.body import Body, load_body, mean_parameters
from meshtto.body.arrays import BodyArrays, read_arrays, write_arrays
from meshtto.body.builtin import People, _anny, sample_people
from meshtto.body.loading import builtin_path
from meshtto.body.regressor_fit import mirror_vertices, sparse_regressor
from meshtto.body.retarget import SMPL_FROM_ANNY, bone_chain, joint_rotations, t_pose
from meshtto.joints import H36M17, JOINTS49, MIRROR24, MIRROR49, MIRROR_H36M17, PARENTS24, SMPL24

FLIP = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def arrays(body: Body) -> BodyArrays:
    return read_arrays(builtin_path())


@pytest.fixture(scope="module")
def strangers() -> People:
    """Return people that the body was not built from."""
    return sample_people(_anny(), 48, seed=12345)


def rest(batch: int = 1) -> torch.Tensor:
    return torch.eye(3).expand(batch, 24, 3, 3)


def some_poses(count: int, seed: int = 0) -> tuple[torch.Tensor, list[Pose]]:
    rng, articulation = np.random.default_rng(seed), body_model().articulation
    poses = [draw_pose(rng, articulation) for _ in range(count)]
    return torch.from_numpy(joint_rotations(articulation, poses, [0.0] * count)).float(), poses


def winding(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the winding number of a closed surface around each point by solid angles (Van Oosterom and Strackee)."""
    a, b, c = (triangles[None, :, i] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    rest_of_it = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * np.arctan2(volume, rest_of_it).sum(1) / (4 * np.pi)


def test_builtin_rest_pose_is_a_t(body: Body):
    out = body(rest(), torch.zeros(1, 10))
    at = dict(zip(SMPL24, out.skeleton_m[0], strict=True))
    assert torch.linalg.norm(at["pelvis"]) < 0.02
    for side, sign in (("left", 1), ("right", -1)):
        arm = at[f"{side}_wrist"] - at[f"{side}_shoulder"]
        leg = at[f"{side}_ankle"] - at[f"{side}_hip"]
        assert sign * arm[0] > 0.999 * torch.linalg.norm(arm) > 0.4  # horizontal, to its own side
        assert -leg[1] > 0.999 * torch.linalg.norm(leg) > 0.7  # upright
        assert at[f"{side}_foot"][2] > at[f"{side}_ankle"][2] + 0.1  # toes forward
    height = float(out.vertices_m[0, :, 1].max() - out.vertices_m[0, :, 1].min())
    assert 1.6 < height < 1.8
    nose = out.joints_m[0, JOINTS49.index("nose")]
    assert nose[2] > at["head"][2] + 0.05
    assert nose[1] > at["neck"][1]


def test_t_pose_does_not_rotate_the_feet():
    articulation = body_model().articulation
    world = bone_chain(t_pose(articulation.bones, articulation.heads[None]), articulation.parents)[0]
    for bone in ("foot.L", "foot.R", "root", "head"):
        assert np.allclose(world[articulation.bones.index(bone)], np.eye(3), atol=1e-12)
    assert not np.allclose(world[articulation.bones.index("lowerleg01.L")], np.eye(3), atol=1e-2)


def test_joint_tree_equals_smpl(arrays: BodyArrays):
    """The joint with the largest weight of a vertex, or its parent, is among the nearest bones."""
    joints = arrays.joint_regressor @ arrays.template_m
    ends = np.stack([joints[list(PARENTS24[1:])], joints[1:]], 1)
    along = ends[:, 1] - ends[:, 0]
    place = np.einsum("vbc,bc->vb", arrays.template_m[:, None] - ends[:, 0], along) / (along**2).sum(1)
    away = np.linalg.norm(arrays.template_m[:, None] - ends[:, 0] - np.clip(place, 0, 1)[..., None] * along, axis=-1)
    nearest = np.argsort(away, 1)[:, :4]  # bones, which end at joints 1 to 23
    strongest = arrays.weights.argmax(1)
    moved_by = np.array([[PARENTS24[b + 1] for b in range(23)]])[0][nearest]
    own = (moved_by == strongest[:, None]) | (nearest + 1 == strongest[:, None])
    assert own.any(1).mean() > 0.95


def test_shape_directions_are_orthogonal_and_generalize(arrays: BodyArrays, strangers: People):
    directions = arrays.shape_dirs.reshape(-1, 10).astype(np.float64)
    row_norms = np.linalg.norm(directions, axis=0)
    assert abs(directions.T @ directions / np.outer(row_norms, row_norms) - np.eye(10)).max() < 1e-5
    assert (np.diff(row_norms) < 0).all()  # strongest first
    away = (strangers.vertices_m - arrays.template_m).reshape(len(strangers.vertices_m), -1)
    coefficients = away @ directions / row_norms**2
    left = away - coefficients @ directions.T
    spread = away - away.mean(0)
    assert (left**2).sum() < 0.002 * (spread**2).sum()
    assert np.sqrt((left.reshape(len(left), -1, 3) ** 2).sum(-1).mean()) < 0.005
    assert 0.6 < coefficients.std(0).min() < coefficients.std(0).max() < 1.6  # one unit is one standard deviation


def test_rest_joints_equal_anny(arrays: BodyArrays, strangers: People):
    actual = np.einsum("kv,bvc->bkc", arrays.joint_regressor, strangers.vertices_m)
    error = np.linalg.norm(actual - strangers.joints_m, axis=-1).mean(0)
    limbs = [SMPL24.index(f"{s}_{j}") for s in ("left", "right") for j in ("knee", "ankle", "elbow", "wrist")]
    assert error[limbs].max() < 0.012
    assert error.max() < 0.015


def test_joints_lie_inside_the_body(body: Body):
    shape = torch.randn(2, 10).clamp(-2, 2)
    poses, _ = some_poses(1, seed=3)
    out = body(torch.cat([rest(), poses]), shape)
    for vertices, skeleton, joints in zip(
        out.vertices_m, out.skeleton_m, body.h36m_joints(out.vertices_m), strict=True
    ):
        triangles = vertices[body.faces].numpy().astype(np.float64)
        inner = [k for k, name in enumerate(H36M17) if name not in ("jaw", "head")]
        points = torch.cat([skeleton, joints[inner]]).numpy().astype(np.float64)
        assert (winding(points, triangles) > 0.5).all()


def test_picked_vertices_lie_on_face_feet_and_hands(body: Body):
    out = body(rest(), torch.zeros(1, 10))
    at = dict(zip(JOINTS49, out.joints_m[0], strict=True))
    assert at["head_top"][1] == pytest.approx(float(out.vertices_m[0, :, 1].max()), abs=0.02)
    assert at["head_top"][1] > at["head"][1] > at["nose"][1] > at["jaw"][1] > at["neck"][1] > at["thorax"][1]
    assert at["left_eye"][0] > 0 > at["right_eye"][0]
    assert at["openpose_left_big_toe"][2] > at["left_ankle"][2] > at["openpose_left_heel"][2]
    assert at["openpose_left_small_toe"][0] > at["openpose_left_big_toe"][0]
    assert torch.allclose(at["pelvis"], (at["left_hip"] + at["right_hip"]) / 2, atol=0.02)
    tip = arrays_vertex(body, "left_middle")
    assert tip[0] > at["left_wrist"][0] + 0.12


def arrays_vertex(body: Body, name: str) -> torch.Tensor:
    from meshtto.joints import PICKED_VERTICES

    picked = read_arrays(builtin_path()).picked[PICKED_VERTICES.index(name)]
    return body(rest(), torch.zeros(1, 10)).vertices_m[0, int(picked)]


def test_mirrored_pose_gives_the_mirrored_body(body: Body, arrays: BodyArrays):
    rotations, shape = random_rotmat((2, 24)), torch.randn(2, 10)
    mirrored = (FLIP[:, None] * rotations * FLIP)[:, list(MIRROR24)]
    one, other = body(rotations, shape), body(mirrored, shape)
    vertex = mirror_vertices(arrays.template_m.astype(np.float64))
    torch.testing.assert_close(other.vertices_m, one.vertices_m[:, vertex] * FLIP, atol=2e-5, rtol=0)
    torch.testing.assert_close(other.skeleton_m, one.skeleton_m[:, list(MIRROR24)] * FLIP, atol=2e-5, rtol=0)
    torch.testing.assert_close(other.joints_m, one.joints_m[:, list(MIRROR49)] * FLIP, atol=2e-5, rtol=0)
    torch.testing.assert_close(
        body.h36m_joints(other.vertices_m),
        body.h36m_joints(one.vertices_m)[:, list(MIRROR_H36M17)] * FLIP,
        atol=2e-5,
        rtol=0,
    )


def test_joint_rotations_reproduce_synthetic_poses(body: Body):
    """The 24 joints coincide with anny's bones in the body on which the angles are measured."""
    articulation = body_model().articulation
    rotations, poses = some_poses(6, seed=1)
    joints = articulation.joints(articulation.rotations(poses))
    index = {name: i for i, name in enumerate(articulation.bones)}
    skeleton = body(rotations, torch.zeros(6, 10)).skeleton_m.numpy()
    for pose, k in zip(poses, range(6), strict=True):
        x, y, _ = np.eye(3)
        whole = axis_rotation(x, np.array(pose.pitch)) @ axis_rotation(y, np.array(pose.roll))
        for first, second, bones in (
            ("left_knee", "left_ankle", ("lowerleg01.L", "foot.L")),
            ("right_elbow", "right_wrist", ("lowerarm01.R", "wrist.R")),
            ("left_hip", "left_knee", ("upperleg01.L", "lowerleg01.L")),
        ):
            expected = SMPL_FROM_ANNY @ whole @ (joints[k, index[bones[1]]] - joints[k, index[bones[0]]])
            actual = skeleton[k, SMPL24.index(second)] - skeleton[k, SMPL24.index(first)]
            cosine = expected @ actual / np.linalg.norm(expected) / np.linalg.norm(actual)
            assert np.rad2deg(np.arccos(min(cosine, 1))) < 4


def test_heading_rotates_about_the_vertical_axis(body: Body):
    articulation = body_model().articulation
    pose = sample_pose(np.random.default_rng(0), "standing")
    ahead, left = (torch.from_numpy(joint_rotations(articulation, [pose], [h])).float() for h in (0.0, 90.0))
    a, b = (body(r, torch.zeros(1, 10)).skeleton_m[0] for r in (ahead, left))
    a, b = a - a[0], b - b[0]
    quarter = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # z (forward) becomes x (left)
    torch.testing.assert_close(b, a @ quarter.T, atol=1e-5, rtol=0)


def test_mean_parameters_are_upright_and_face_the_camera(body: Body):
    pose, shape, camera = mean_parameters(body)
    columns = pose.view(24, 3, 2)
    rotations = torch.cat([columns, torch.linalg.cross(columns[..., 0], columns[..., 1])[..., None]], -1)
    out = body(rotations[None], shape[None])
    at = dict(zip(SMPL24, out.skeleton_m[0], strict=True))
    assert at["head"][1] < at["pelvis"][1] < at["left_ankle"][1]  # y points down
    assert at["left_wrist"][0] > 0  # facing the camera, the left is at the right of the image
    assert at["left_foot"][2] < at["left_ankle"][2]  # towards the camera
    assert camera.tolist() == pytest.approx([0.9, 0, 0])
    pose.zero_()
    assert mean_parameters(body)[0].abs().sum() > 0  # a copy


def test_arrays_round_trip(arrays: BodyArrays, tmp_path: Path):
    write_arrays(arrays, tmp_path / "body.safetensors")
    again = read_arrays(tmp_path / "body.safetensors")
    assert again.name == arrays.name
    assert all(np.array_equal(getattr(again, f), getattr(arrays, f)) for f in ("template_m", "weights", "faces"))
    assert [p.name for p in tmp_path.iterdir()] == ["body.safetensors"]


def test_sparse_regressor_uses_few_vertices():
    rng = np.random.default_rng(0)
    surface = rng.standard_normal((50, 30, 3))
    weights = np.zeros(30)
    weights[[3, 7, 20]] = 0.5, 0.3, 0.2
    actual = sparse_regressor(np.einsum("v,bvc->bc", weights, surface), surface, np.arange(30))
    assert np.allclose(actual, weights, atol=1e-6)
    without = sparse_regressor(np.einsum("v,bvc->bc", weights, surface), surface, np.arange(7))
    assert (without >= 0).all()
    assert without.sum() == pytest.approx(1)
    assert (without[7:] == 0).all()


def test_mirror_vertices_pairs_vertices():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((20, 3)) + np.array([3, 0, 0])
    middle = rng.standard_normal((5, 3)) * [0, 1, 1]
    close = np.array([[1e-5, 0, 9], [-1e-5, 0, 9.00001], [0, 0, 9.00002]])  # three vertices in one place
    points = np.concatenate([half, half * [-1, 1, 1], middle, close])
    other = mirror_vertices(points)
    assert other[:20].tolist() == list(range(20, 40))
    assert other[40:45].tolist() == list(range(40, 45))
    assert (other[other] == np.arange(len(points))).all()
    with pytest.raises(ValueError, match="not symmetric"):
        mirror_vertices(points[:-4] + np.array([0.1, 0, 0]))
