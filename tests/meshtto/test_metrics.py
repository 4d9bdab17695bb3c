import numpy as np
import pytest
import torch

from meshtto.metrics import (
    MPJPE,
    PAMPJPE,
    PVE,
    ErrorCorrelation,
    Protocol,
    ReprojectionError,
    aligned_joint_errors,
    joint_errors,
    reprojection_errors,
)
from meshtto.procrustes import align


def test_joint_errors_are_euclidean():
    shifted = torch.zeros(1, 2, 3)
    shifted[0, 1] = torch.tensor([0.03, 0.04, 0.0])
    metric = MPJPE(2)
    metric.update(shifted, torch.zeros(1, 2, 3))
    torch.testing.assert_close(metric.per_point(), torch.tensor([0.0, 50.0], dtype=torch.float64))
    assert metric.compute() == pytest.approx(25.0)


@pytest.mark.parametrize("kind", ["mpjpe", "pa"])
def test_metrics_average_over_samples(kind: str):
    metric = (MPJPE if kind == "mpjpe" else PAMPJPE)(14)
    errors = joint_errors if kind == "mpjpe" else aligned_joint_errors
    a, b = torch.randn(2, 7, 14, 3)
    valid = torch.tensor([1, 1, 0, 1, 1, 1, 1]).bool()
    for chunk in (slice(0, 1), slice(1, 4), slice(4, 7)):
        metric.update(a[chunk], b[chunk], valid[chunk])
    slow = sum(float(errors(a[i : i + 1], b[i : i + 1]).mean()) for i in range(7) if valid[i]) / 6
    assert float(metric.compute()) == pytest.approx(1000 * slow, rel=1e-5)


def test_pa_mpjpe_ignores_similarity_but_not_reflection():
    a = torch.randn(3, 14, 3)
    metric = PAMPJPE(14)
    metric.update(a * 1.3 + 0.4, a)
    assert metric.compute() < 1e-2
    metric = PAMPJPE(14)
    metric.update(a * torch.tensor([-1.0, 1, 1]), a)
    assert metric.compute() > 100


def test_aligned_joint_errors_equal_errors_after_align():
    a, b = torch.randn(2, 3, 14, 3)
    torch.testing.assert_close(aligned_joint_errors(a, b), (align(a, b) - b).norm(dim=-1))


def test_pve_does_not_align():
    vertices = torch.randn(2, 50, 3)
    metric = PVE()
    metric.update(vertices + torch.tensor([0.1, 0, 0]), vertices)
    assert float(metric.compute()) == pytest.approx(100, rel=1e-5)


def test_metrics_do_not_hide_nan():
    metric = MPJPE(14)
    metric.update(torch.full((1, 14, 3), float("nan")), torch.zeros(1, 14, 3))
    assert metric.compute().isnan()
    assert MPJPE(3).compute().isnan()  # nothing was counted


def test_reprojection_error_uses_known_joints():
    predicted, target = torch.zeros(3, 4, 2), torch.zeros(3, 4, 2)
    target[0, 1] = torch.tensor([3.0, 4.0])
    target[1] = float("nan")
    confidence = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    torch.testing.assert_close(reprojection_errors(predicted, target, confidence)[[0, 2]], torch.tensor([2.5, 0.0]))
    metric = ReprojectionError()
    metric.update(predicted, target, confidence)
    assert float(metric.compute()) == pytest.approx(1.25)
    metric.update(predicted, target + 100, confidence, torch.zeros(3).bool())
    assert float(metric.compute()) == pytest.approx(1.25)


def test_error_correlation_equals_numpy_over_all_batches():
    """Check samples that do not count, a batch without any that does, and identical errors."""
    target, first, noise = torch.randn(3, 9, 14, 3)
    second = target + 0.5 * (first - target) + 0.3 * noise
    valid = torch.tensor([1, 1, 0, 0, 0, 1, 1, 1, 1]).bool()
    metric, same = ErrorCorrelation(), ErrorCorrelation()
    for chunk in (slice(0, 3), slice(3, 5), slice(5, 9)):
        metric.update(first[chunk], second[chunk], target[chunk], valid[chunk])
        same.update(first[chunk], first[chunk], target[chunk], valid[chunk])
    errors = [(points - target)[valid].flatten().numpy() for points in (first, second)]
    assert float(metric.compute()) == pytest.approx(np.corrcoef(*errors)[0, 1], abs=1e-5)
    assert float(same.compute()) == pytest.approx(1.0, abs=1e-5)


def test_protocol_as_dict_is_plain():
    assert set(map(type, Protocol().as_dict().values())) == {str}
