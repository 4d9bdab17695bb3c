from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from meshtto.joints import JOINTS49
from meshtto.losses import (
    LossWeights,
    MeshTarget,
    Target,
    camera_loss,
    joint_loss,
    keypoint_loss,
    lower_leg_confidence,
    lower_leg_loss,
    mesh_terms,
    total,
)
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction

SIZE = (256, 192)
WEIGHTS = LossWeights(openpose=0.5, shape_prior=0.01)


def prediction(batch: int = 3, seed: int = 0) -> BodyPrediction:
    torch.manual_seed(seed)
    shapes = ((24, 3, 3), (10,), (3,), (40, 3), (49, 3), (49, 2))
    return BodyPrediction(*(torch.randn(batch, *shape, requires_grad=True) for shape in shapes))


def target(batch: int = 3, seed: int = 1) -> Target:
    p = prediction(batch, seed)
    confidence = torch.rand(2, batch, 49) * (torch.rand(2, batch, 49) > 0.3)
    hips = [JOINTS49.index("left_hip"), JOINTS49.index("right_hip")]
    confidence[1][:, hips] = 1
    mesh = MeshTarget(p.joints_m, confidence[1], p.rotations, p.shape, p.vertices_m, torch.ones(batch).bool())
    return Target(p.keypoints_px * 50, confidence[0], mesh)


def reference_loss(p: BodyPrediction, t: Target, j: int) -> float:
    """Compute the weighted sum of one sample number by number."""
    mesh = t.mesh
    assert mesh is not None
    vertices = sum(abs(a - b) for a, b in zip(flat(p.vertices_m[j]), flat(mesh.vertices_m[j]), strict=True)) / (40 * 3)
    keypoints = joints = 0.0
    hip = (JOINTS49.index("right_hip"), JOINTS49.index("left_hip"))
    for k in range(49):
        confidence = float(t.keypoints_confidence[j, k]) * (0.5 if k < 25 else 1.0)
        for axis, side in ((0, SIZE[1]), (1, SIZE[0])):
            ours, theirs = (2 * float(x[j, k, axis]) / side - 1 for x in (p.keypoints_px, t.keypoints_px))
            keypoints += confidence * (ours - theirs) ** 2 / (49 * 2)
        for axis in range(3):
            difference = 0.0
            for x, sign in ((p.joints_m, 1), (mesh.joints_m, -1)):
                difference += sign * float(x[j, k, axis] - (x[j, hip[0], axis] + x[j, hip[1], axis]) / 2)
            if k >= 25:
                joints += float(mesh.joints_confidence[j, k]) * difference**2 / (24 * 3)
    rotations = sum((a - b) ** 2 for a, b in zip(flat(p.rotations[j]), flat(mesh.rotations[j]), strict=True)) / 216
    shape = sum((a - b) ** 2 for a, b in zip(flat(p.shape[j]), flat(mesh.shape[j]), strict=True)) / 10
    prior = sum(a**2 for a in flat(p.shape[j])) / 10
    camera = float(torch.exp(-10 * p.camera[j, 0])) ** 2
    return 0.5 * vertices + 5 * keypoints + 5 * joints + rotations + 0.001 * shape + camera + 0.01 * prior


def flat(x: torch.Tensor) -> list[float]:
    return x.flatten().tolist()


def test_total_equals_a_slow_implementation():
    p, t = prediction(), target()
    actual = total(mesh_terms(p, t, SIZE, WEIGHTS), WEIGHTS)
    for j in range(3):
        assert float(actual[j]) == pytest.approx(reference_loss(p, t, j), rel=1e-4)


def test_loss_weights_equal_reference_code():
    w = LossWeights()
    assert (w.vertices, w.keypoints, w.joints, w.rotations, w.shape, w.camera) == (0.5, 5, 5, 1, 0.001, 1)
    assert (w.openpose, w.truth, w.outer, w.shape_prior) == (0, 1, 60, 0)


def test_losses_of_samples_are_independent():
    p, t = prediction(), target()
    actual = total(mesh_terms(p, t, SIZE, WEIGHTS), WEIGHTS)
    gradients = torch.autograd.grad(actual[0], p)
    assert all(g[0].any() for g in gradients)
    assert not any(g[1:].any() for g in gradients)


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_losses_ignore_unlabeled_values(value: float):
    p, t = prediction(), target()
    assert t.mesh is not None
    has_mesh = torch.tensor([True, False, True])

    def spoilt(x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        return torch.where(known.view(*known.shape, *[1] * (x.ndim - known.ndim)), x, value)

    mesh = MeshTarget(
        t.mesh.joints_m.where(t.mesh.joints_confidence[..., None] > 0, value),
        t.mesh.joints_confidence,
        *(spoilt(x, has_mesh) for x in (t.mesh.rotations, t.mesh.shape, t.mesh.vertices_m)),
        has_mesh,
    )
    odd = Target(spoilt(t.keypoints_px, t.keypoints_confidence > 0), t.keypoints_confidence, mesh)
    actual = mesh_terms(p, odd, SIZE, WEIGHTS)
    full = mesh_terms(p, t, SIZE, WEIGHTS)
    for name in ("keypoints", "joints", "camera"):
        torch.testing.assert_close(getattr(actual, name), getattr(full, name))
    for name in ("vertices", "rotations", "shape"):
        torch.testing.assert_close(getattr(actual, name), getattr(full, name) * has_mesh)
    gradients = torch.autograd.grad(total(actual, WEIGHTS).sum(), p)
    assert all(g.isfinite().all() for g in gradients)


def test_losses_without_mesh_use_only_evidence():
    p, t = prediction(), target()
    actual = mesh_terms(p, t._replace(mesh=None), SIZE, WEIGHTS)
    assert not any(x.any() for x in (actual.vertices, actual.joints, actual.rotations, actual.shape))
    assert actual.keypoints.all()


def test_keypoint_loss_is_independent_of_resolution():
    p, t = torch.rand(2, 2, 49, 2) * 100
    confidence = torch.ones(2, 49)
    torch.testing.assert_close(
        keypoint_loss(2 * p, 2 * t, confidence, (256, 192)), keypoint_loss(p, t, confidence, (128, 96))
    )


def test_joint_loss_is_relative_to_the_hips():
    x = torch.randn(2, 49, 3)
    assert joint_loss(x + 7, x, torch.ones(2, 49)).max() < 1e-9
    hipless = torch.ones(2, 49)
    hipless[0, JOINTS49.index("left_hip")] = 0
    actual = joint_loss(torch.randn(2, 49, 3), x, hipless)
    assert actual[0] == 0
    assert actual[1] > 0


def test_camera_loss_keeps_the_scale_positive():
    assert camera_loss(torch.tensor([[-0.1, 0, 0]])) > 1 > 1e-3 > camera_loss(torch.tensor([[0.9, 0, 0]]))


def test_lower_leg_loss_equals_hand_calculation():
    """One leg at a right angle, the other in the right direction and twice as long; other joints do not matter."""
    names = [JOINTS49.index(n) for n in ("right_knee", "right_ankle", "left_knee", "left_ankle")]
    predicted, target_px = torch.randn(1, 49, 2), torch.randn(1, 49, 2)
    predicted[0, names] = torch.tensor([[0.0, 0.0], [0.0, 30.0], [50.0, 0.0], [50.0, 20.0]])
    target_px[0, names] = torch.tensor([[5.0, 5.0], [45.0, 5.0], [70.0, 0.0], [70.0, 40.0]])
    confidence = torch.zeros(1, 49)
    confidence[0, names] = torch.tensor([0.5, 0.8, 1.0, 1.0])
    legs = lower_leg_confidence(confidence)
    torch.testing.assert_close(legs, torch.tensor([[0.4, 1.0]]))
    predicted.requires_grad_()
    actual = lower_leg_loss(predicted, target_px, legs, (200, 200))
    torch.testing.assert_close(actual, torch.tensor([0.4]))
    actual.sum().backward()
    assert predicted.grad is not None
    moved = predicted.grad.abs().sum(-1)[0] > 0
    assert moved.nonzero()[:, 0].tolist() == sorted(names[:2])


def test_lower_leg_loss_ignores_invisible_legs():
    """Unknown, NaN and end-on legs have loss 0 and gradient 0; so does the gradient of a predicted leg of length 0."""
    predicted, target_px = torch.randn(3, 49, 2), torch.randn(3, 49, 2) * 50
    knees, ankles = ([JOINTS49.index(f"{side}_{joint}") for side in ("right", "left")] for joint in ("knee", "ankle"))
    target_px[0], target_px[1, ankles] = float("nan"), target_px[1, knees] + 0.5
    predicted[2, ankles] = predicted[2, knees]
    predicted.requires_grad_()
    confidence = torch.ones(3, 2)
    confidence[0] = 0
    actual = lower_leg_loss(predicted, target_px, confidence, (200, 200))
    assert actual[:2].tolist() == [0, 0]
    actual.sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert not predicted.grad[:2].any()


def test_distances_are_means_of_norms():
    """Check the terms of `distances` against NumPy, and that equal joints have a finite gradient."""
    p, t = prediction(), target()
    weights = replace(WEIGHTS, distances=True)
    terms = mesh_terms(p, t, SIZE, weights)
    p, t = (tree_map(lambda x: None if x is None else x.detach().numpy(), part) for part in (p, t))
    share = np.where(np.arange(49) < 25, weights.openpose, weights.truth)
    away = np.linalg.norm((p.keypoints_px - t.keypoints_px) / [SIZE[1] / 2, SIZE[0] / 2], axis=-1)
    np.testing.assert_allclose(terms.keypoints.detach(), (away * t.keypoints_confidence * share).mean(1), rtol=1e-4)
    turned = np.linalg.norm((p.rotations - t.mesh.rotations).reshape(3, 24, 9), axis=-1).mean(1)
    np.testing.assert_allclose(terms.rotations.detach(), turned, rtol=1e-4)
    hips = [JOINTS49.index(f"{side}_hip") for side in ("left", "right")]
    first, second = (x.joints_m - x.joints_m[:, hips].mean(1, keepdims=True) for x in (p, t.mesh))
    apart = np.linalg.norm(first - second, axis=-1)[:, 25:] * t.mesh.joints_confidence[:, 25:]
    np.testing.assert_allclose(terms.joints.detach(), apart.mean(1), rtol=1e-4)
    points = torch.zeros(1, 3, 2, requires_grad=True)
    keypoint_loss(points, torch.zeros(1, 3, 2), torch.ones(1, 3), (2, 2), distances=True).sum().backward()
    assert torch.equal(points.grad, torch.zeros(1, 3, 2))


def test_adaptation_uses_squares():
    assert not Phase().weights(LossWeights(distances=True)).distances
