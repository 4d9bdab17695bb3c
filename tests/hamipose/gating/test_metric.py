"""Metrics of the last layer's rows."""

import copy

import pytest
import torch

from hamipose.gating import DiagonalMetric, ScalarMetric, decompose
from tests.helpers.gate_inputs import K, P


@pytest.mark.parametrize("metric", [ScalarMetric(K), DiagonalMetric(K, P)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_metrics_accept_increments_of_any_precision(metric, dtype):
    double = copy.deepcopy(metric).double()
    increment = torch.randn(K, P).to(dtype)
    for one in (metric, double):
        one.update(increment)
    name, start = ("alpha", 1.0) if isinstance(metric, ScalarMetric) else ("average", 0.0)
    kept, exact = getattr(metric, name), getattr(double, name)
    torch.testing.assert_close(kept.double(), exact, rtol=1e-6, atol=0)
    if dtype == torch.float64:
        seen = increment.square()
        seen = seen.mean(1, keepdim=True) if isinstance(metric, ScalarMetric) else seen
        torch.testing.assert_close(exact, 0.99 * start + (1 - 0.99) * seen, rtol=1e-13, atol=0)


def test_scalar_metric_averages_squared_increments():
    metric, expected = ScalarMetric(K, 0.9, initial=0.5), torch.full((K, 1), 0.5)
    for increment in torch.randn(4, K, P):
        expected = 0.9 * expected + 0.1 * (increment**2).mean(1, keepdim=True)
        metric.update(increment)
    torch.testing.assert_close(metric.inverse(), 1 / (expected + 1e-8))
    assert set(metric.state_dict()) == {"alpha"}


def test_diagonal_metric_averages_only_measured_squares():
    """The bias-corrected weights are 0.9^(t - i), normalized; the initial value has no weight."""
    metric, increments = DiagonalMetric(K, P, 0.9), torch.randn(4, K, P)
    for t, increment in enumerate(increments, 1):
        metric.update(increment)
        weights = 0.9 ** torch.arange(t - 1, -1, -1.0)
        alpha = ((weights / weights.sum())[:, None, None] * increments[:t] ** 2).sum(0)
        torch.testing.assert_close(metric.inverse(), 1 / (alpha + 1e-3 * alpha.mean(1, keepdim=True)))


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e3])
def test_diagonal_metric_does_not_depend_on_the_size_of_the_steps(scale):
    plain, scaled = DiagonalMetric(K, P), DiagonalMetric(K, P)
    for increment in torch.randn(3, K, P):
        plain.update(increment)
        scaled.update(scale * increment)
    source, target = torch.randn(2, K, P)
    for a, b in zip(
        decompose(source, target, plain.inverse()), decompose(source, target, scaled.inverse()), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_unmoved_rows_have_the_identity_and_unmoved_coordinates_stay_finite():
    metric, increment = DiagonalMetric(K, P), torch.randn(K, P)
    increment[0], increment[1, 0] = 0, 0
    metric.update(increment)
    assert metric.inverse().isfinite().all()
    torch.testing.assert_close(metric.inverse()[0], torch.ones(P))
    ratio = metric.inverse().amax(1) / metric.inverse().amin(1)
    assert (ratio <= 1 + P / 1e-3).all()


def test_metrics_start_as_the_identity():
    assert ScalarMetric(K).inverse().shape == (K, 1)
    assert DiagonalMetric(K, P).inverse().shape == (K, P)
    for metric in (ScalarMetric(K), DiagonalMetric(K, P)):
        torch.testing.assert_close(metric.inverse(), torch.ones_like(metric.inverse()))
