"""The body layer against smplx's own forward, and its properties."""

import pytest
import torch
from roma import random_rotmat
from smplx.lbs import batch_rigid_transform

from meshtto.body import Body, load_body
from meshtto.body.layer import _skin, joint_chain
from meshtto.joints import CANDIDATES, EVALUATION14, H36M17, PARENTS24
from tests.helpers.bodies import compute_with_smplx, make_arrays, make_inputs


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.mark.parametrize("features", [0, 207])
def test_joints_equal_those_of_forward(features: int):
    """Compare values and gradients, with and without pose corrections."""
    layer, (rotations, shape, _) = Body(make_arrays(features=features)), make_inputs(6)
    rotations.requires_grad_()
    whole, alone = layer(rotations, shape).joints_m, layer.joints(rotations, shape)
    torch.testing.assert_close(alone, whole)
    for actual, reference in zip(
        *(torch.autograd.grad(joints.sin().sum(), rotations) for joints in (alone, whole)), strict=True
    ):
        torch.testing.assert_close(actual, reference)
    joints = layer.extra_rows @ layer(rotations, shape).vertices_m[:, layer.extra_index]
    kept = [k - 24 for k in CANDIDATES if k >= 24]
    torch.testing.assert_close(whole[:, [i for i, k in enumerate(CANDIDATES) if k >= 24]], joints[:, kept])


def test_body_with_pose_corrections_equals_smplx():
    arrays = make_arrays()
    rotations, shape, translation = make_inputs(4)
    ours = Body(arrays)(rotations, shape, translation)
    vertices, joints = compute_with_smplx(arrays, rotations, shape, translation)
    torch.testing.assert_close(ours.vertices_m, vertices, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.skeleton_m, joints[:, :24], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.joints_m, joints[:, list(CANDIDATES)], atol=1e-5, rtol=1e-5)


def test_body_without_pose_corrections_equals_smplx():
    arrays = make_arrays(features=0)
    rotations, shape, translation = make_inputs(3)
    ours = Body(arrays)(rotations, shape, translation)
    vertices, joints = compute_with_smplx(arrays, rotations, shape, translation)
    torch.testing.assert_close(ours.vertices_m, vertices, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.joints_m, joints[:, list(CANDIDATES)], atol=1e-5, rtol=1e-5)


def test_joint_chain_equals_a_loop_over_joints():
    rotations, _, _ = make_inputs(3, torch.float64)
    rest = torch.randn(3, 24, 3, dtype=torch.float64)
    turned, placed = joint_chain(rotations, rest)
    expected, transforms = batch_rigid_transform(rotations, rest, torch.tensor(PARENTS24), torch.float64)
    torch.testing.assert_close(placed, expected)
    torch.testing.assert_close(turned, transforms[:, :, :3, :3])


def test_regressed_joints_equal_a_dense_product():
    arrays = make_arrays()
    vertices = torch.randn(2, 40, 3)
    ours = Body(arrays)
    plain = torch.einsum("kv,bvc->bkc", torch.tensor(arrays.h36m_regressor, dtype=torch.float32), vertices)
    torch.testing.assert_close(ours.h36m_joints(vertices), plain)
    # Rows of J_regressor_h36m as selected by SPIN and Meta-HMR.
    rows = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
    torch.testing.assert_close(ours.evaluation_joints(vertices), plain[:, rows] - plain[:, :1])
    assert tuple(H36M17[r] for r in rows) == EVALUATION14


def test_body_batch_equals_single_samples(body: Body):
    rotations, shape, translation = make_inputs(3)
    together = body(rotations, shape, translation)
    for k in range(3):
        alone = body(rotations[k : k + 1], shape[k : k + 1], translation[k : k + 1])
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[k : k + 1], one, atol=2e-6, rtol=1e-5)


def test_body_gradients_and_second_derivatives():
    ours = Body(make_arrays()).double()
    rotations, shape, translation = (x.requires_grad_() for x in make_inputs(1, torch.float64))

    def summary(*inputs: torch.Tensor) -> torch.Tensor:
        vertices, joints, skeleton = ours(*inputs)
        return torch.stack([vertices.pow(2).mean(), joints.sin().sum(), skeleton.pow(3).sum()])

    torch.autograd.gradcheck(summary, (rotations, shape, translation), fast_mode=True)
    torch.autograd.gradgradcheck(lambda r, s: summary(r, s, translation)[:1], (rotations, shape), fast_mode=True)


def test_skin_derivatives_equal_autograd():
    """Compare first and second derivatives with respect to all inputs."""
    surface, turned, moved = (torch.randn(2, *shape, dtype=torch.float64) for shape in ((3, 30), (24, 3, 3), (24, 3)))
    weights = torch.rand(24, 30, dtype=torch.float64)
    inputs = tuple(x.requires_grad_() for x in (surface, turned, moved))
    maps = torch.cat([turned, moved[..., None]], 3)
    points = torch.cat([surface, torch.ones_like(surface[:, :1])], 1)
    expected = torch.einsum("kv,bkic,bcv->biv", weights, maps, points)
    torch.testing.assert_close(_skin(*inputs, weights), expected)
    torch.autograd.gradcheck(lambda *x: _skin(*x, weights).sin(), inputs, fast_mode=True)
    torch.autograd.gradgradcheck(lambda *x: _skin(*x, weights).sin(), inputs, fast_mode=True)


@pytest.mark.parametrize("further", [False, True])
def test_skin_gradients_ignore_autocast(further: bool):
    inputs = [torch.randn(2, *shape, requires_grad=True) for shape in ((3, 30), (24, 3, 3), (24, 3))]
    weights = torch.rand(24, 30)
    vertices = _skin(*inputs, weights)
    expected = torch.autograd.grad(vertices.sum(), inputs, create_graph=further, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        gradients = torch.autograd.grad(vertices.sum(), inputs, create_graph=further)
    for actual, reference in zip(gradients, expected, strict=True):
        torch.testing.assert_close(actual, reference)


def test_root_rotation_is_about_the_pelvis(body: Body):
    rotations, shape, _ = make_inputs(2)
    turn = random_rotmat(2)
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    before, after = body(rotations, shape), body(turned, shape)
    pelvis = before.skeleton_m[:, :1]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, (old - pelvis) @ turn.mT + pelvis, atol=2e-6, rtol=1e-5)


def test_body_ignores_autocast(body: Body):
    rotations, shape, _ = make_inputs(1)
    with torch.autocast("cpu", torch.bfloat16):
        vertices = body(rotations, shape).vertices_m
        joints = body.evaluation_joints(vertices)
    assert vertices.dtype == torch.float32
    torch.testing.assert_close(vertices, body(rotations, shape).vertices_m)
    torch.testing.assert_close(joints, body.evaluation_joints(vertices))


def test_body_has_no_parameters_and_no_state(body: Body):
    assert not list(body.parameters())
    assert not body.state_dict()
