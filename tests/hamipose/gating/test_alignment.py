"""Gradients of the last layer's rows, their comparison, and confidences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.gating import confidence, decompose, pull_back
from hamipose.skeletons import BODY16
from tests.helpers.gate_inputs import K, LastLayer, P, make_gradients

seeds = st.integers(0, 2**31)


def test_pull_back_equals_the_gradient_of_the_rows():
    head = LastLayer()
    maps, losses = head.losses()
    for domain in ("source", "target"):
        (on_maps,) = torch.autograd.grad(losses[domain].sum(), maps[domain], retain_graph=True)
        pulled = pull_back(on_maps, head.features[domain])
        for k in range(K):  # row by row: the loss of keypoint k
            gradient = torch.autograd.grad(losses[domain][k], list(head.layer.parameters()), retain_graph=True)
            torch.testing.assert_close(pulled[k], head.rows(gradient)[k], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pull_back_computes_in_single_precision(memory_format, dtype):
    gradient = torch.randn(4, K, 8, 8).to(dtype)
    features = torch.randn(4, 7, 8, 8).to(dtype).contiguous(memory_format=memory_format).requires_grad_()
    ones = torch.ones(4, 1, 8, 8)
    expected = torch.einsum("nkhw,nchw->kc", gradient.double(), torch.cat([features.double(), ones], 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pulled = pull_back(gradient, features)
    assert pulled.dtype == torch.float32
    assert not pulled.requires_grad
    torch.testing.assert_close(pulled.double(), expected, atol=1e-4, rtol=1e-5)


@given(seeds)
@settings(deadline=None)
def test_remainder_is_orthogonal_to_the_source(seed):
    source, target, metric, _ = make_gradients(seed, torch.float32)
    _, a = decompose(source, target, metric)
    remainder = (target - a[:, None] * source).double()
    product = (remainder * metric * source).sum(1)
    size = (remainder * metric * remainder).sum(1).sqrt() * (source * metric * source).sum(1).sqrt()
    assert (product.abs() <= 1e-5 * size + 1e-5).all()


def test_orthogonality_holds_for_pulled_back_heatmap_gradients():
    """The paper's property: (J_kᵀ g_⊥)ᵀ D⁻¹ (J_kᵀ g_s) = 0, if both gradients belong to the same images."""
    features, metric = torch.randn(3, P - 1, 6, 4), torch.rand(K, P) + 0.1
    g_s, g_t = torch.randn(2, 3, K, 6, 4)
    _, a = decompose(pull_back(g_s, features), pull_back(g_t, features), metric)
    orthogonal = g_t - a[:, None, None] * g_s
    product = (pull_back(orthogonal, features) * metric * pull_back(g_s, features)).sum(1)
    torch.testing.assert_close(product, torch.zeros(K), atol=2e-3, rtol=0)


@given(seeds)
@settings(deadline=None)
def test_scalar_metric_cancels(seed):
    source, target, metric, _ = make_gradients(seed, torch.float32)
    plain, scaled = decompose(source, target), decompose(source, target, metric[:, :1] ** 4)
    torch.testing.assert_close(scaled[0], plain[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled[1], plain[1], atol=1e-5, rtol=1e-4)


def test_diagonal_metric_does_not_cancel():
    source, target, metric, _ = make_gradients(0, torch.float32)
    for plain, scaled in zip(decompose(source, target), decompose(source, target, metric), strict=True):
        assert (plain - scaled).abs().min() > 1e-3


@given(seeds, st.floats(-30, 30), st.floats(-30, 30))
@settings(deadline=None)
def test_cosine_is_scale_invariant_and_projection_scales_with_the_ratio(seed, log_s, log_t):
    source, target, metric, _ = make_gradients(seed, torch.float32)
    rho, a = decompose(source, target, metric)
    scaled_rho, scaled_a = decompose(source * 10 ** (log_s / 2), target * 10 ** (log_t / 2), metric)
    torch.testing.assert_close(scaled_rho, rho, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled_a / 10 ** ((log_t - log_s) / 2), a, atol=1e-5, rtol=1e-4)


def test_confidence_is_the_mean_of_clamped_peaks():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0, 1, 2] = 0.8
    maps[1, 0, 3, 3] = 0.4
    maps[:, 1, 0, 0] = 7.0
    maps[:, 2] = -1.0
    torch.testing.assert_close(confidence(maps), torch.tensor([0.6, 1.0, 0.0]))


def test_confidence_refers_to_the_students_keypoints():
    maps = torch.rand(3, 16, 5, 5)
    mirrored = maps[:, BODY16.mirror].flip(-1)  # output of a perfect teacher on mirrored images
    crossed = torch.tensor([True, False, True])
    seen = torch.where(crossed[:, None, None, None], mirrored, maps)
    torch.testing.assert_close(confidence(seen, crossed, BODY16.mirror), confidence(maps))
