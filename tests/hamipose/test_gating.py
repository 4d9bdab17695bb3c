import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hamipose.gating import (
    DiagonalMetric,
    KeypointGate,
    OpenGate,
    ScalarMetric,
    UnifiedGate,
    confidence,
    decompose,
    pull_back,
)
from hamipose.losses import consistency, heatmap_mse
from hamipose.skeletons import BODY16

K, P = 5, 9
seeds = st.integers(0, 2**31)
trade_offs = st.floats(0.01, 10)
progresses = st.floats(0, 3)


def gradients(seed, dtype=torch.float64):
    """Two gradients, a positive diagonal metric and confidences."""
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, K, P, generator=generator, dtype=dtype)
    metric = torch.rand(K, P, generator=generator, dtype=dtype) * 10 + 0.01
    return source, target, metric, torch.rand(K, generator=generator, dtype=dtype)


def reference_gate(source, target, c, gamma, trade_off, inverse_metric, dtype=torch.float32):
    """Equations 5 to 13 in the order they are printed, a keypoint at a time, in double precision."""
    weights, cosines, projections, opennesses = [], [], [], []
    for k in range(len(source)):
        s, t, d = source[k].double(), target[k].double(), torch.diag(inverse_metric[k].double())
        rho = (s @ d @ t) / (torch.sqrt(s @ d @ s) * torch.sqrt(t @ d @ t))
        a = (s @ d @ t) / (s @ d @ s)
        phi = max(0.0, float(torch.tanh(gamma * rho))) * min(1.0, max(0.0, float(c[k])))
        cosines.append(rho)
        projections.append(a)
        opennesses.append(torch.tensor(phi, dtype=torch.float64))
        weights.append(1 - trade_off * (1 - phi) * a)
    return [
        torch.stack([torch.as_tensor(v, dtype=dtype) for v in values])
        for values in (weights, cosines, projections, opennesses)
    ]


class Head(nn.Module):
    """Features of two domains through one 1 × 1 layer, with everything a law may ask about."""

    def __init__(self, channels=P - 1, batch=3, height=6, width=4):
        super().__init__()
        self.layer = nn.Conv2d(channels, K, 1)
        self.features = {d: torch.randn(batch, channels, height, width) for d in ("source", "target")}
        self.truth = {d: torch.randn(batch, K, height, width) for d in ("source", "target")}

    def losses(self):
        """Heatmaps and per-keypoint losses of both domains."""
        maps = {d: self.layer(f) for d, f in self.features.items()}
        return maps, {
            "source": heatmap_mse(maps["source"], self.truth["source"], torch.rand(3, K), "sum"),
            "target": consistency(maps["target"], self.truth["target"], None, "sum"),
        }

    def rows(self, gradient):
        weight, bias = gradient
        return torch.cat([weight.flatten(1), bias[:, None]], 1)


# --- the pull-back


def test_pull_back_is_the_gradient_of_the_rows():
    head = Head()
    maps, losses = head.losses()
    for domain in ("source", "target"):
        (on_maps,) = torch.autograd.grad(losses[domain].sum(), maps[domain], retain_graph=True)
        pulled = pull_back(on_maps, head.features[domain])
        for k in range(K):  # row by row: keypoint k's own loss
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


def test_double_precision_stays_double_and_is_as_exact():
    gradient, features = torch.randn(4, K, 8, 8).double(), torch.randn(4, P - 1, 8, 8).double()
    ones = torch.ones(4, 1, 8, 8).double()
    pulled = pull_back(gradient, features)
    torch.testing.assert_close(pulled, torch.einsum("nkhw,nchw->kc", gradient, torch.cat([features, ones], 1)))
    _, target, metric, c = gradients(0)
    for gamma in (0.5, 2.0):
        gate = KeypointGate(gamma, gamma)(pulled, target, c, progress=1.0, trade_off=0.5, inverse_metric=metric)
        expected = reference_gate(pulled, target, c, gamma, 0.5, metric, torch.float64)
        for ours, theirs in zip(gate[:4], expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-12)
    assert confidence(gradient).dtype == torch.float64


@pytest.mark.parametrize("metric", [ScalarMetric(K), DiagonalMetric(K, P)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_metric_takes_increments_of_any_precision(metric, dtype):
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


# --- the decomposition


@given(seeds)
@settings(deadline=None)
def test_what_remains_is_orthogonal_to_the_source(seed):
    source, target, metric, _ = gradients(seed, torch.float32)
    _, a = decompose(source, target, metric)
    remainder = (target - a[:, None] * source).double()
    product = (remainder * metric * source).sum(1)
    size = (remainder * metric * remainder).sum(1).sqrt() * (source * metric * source).sum(1).sqrt()
    assert (product.abs() <= 1e-5 * size + 1e-5).all()


def test_orthogonality_holds_for_pulled_back_heatmap_gradients():
    """The paper's property: (J_kᵀ g_⊥)ᵀ D⁻¹ (J_kᵀ g_s) = 0, where both gradients live on the same images."""
    features, metric = torch.randn(3, P - 1, 6, 4), torch.rand(K, P) + 0.1
    g_s, g_t = torch.randn(2, 3, K, 6, 4)
    _, a = decompose(pull_back(g_s, features), pull_back(g_t, features), metric)
    orthogonal = g_t - a[:, None, None] * g_s
    product = (pull_back(orthogonal, features) * metric * pull_back(g_s, features)).sum(1)
    torch.testing.assert_close(product, torch.zeros(K), atol=2e-3, rtol=0)


@given(seeds)
@settings(deadline=None)
def test_a_scalar_metric_cancels(seed):
    source, target, metric, _ = gradients(seed, torch.float32)
    plain, scaled = decompose(source, target), decompose(source, target, metric[:, :1] ** 4)
    torch.testing.assert_close(scaled[0], plain[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled[1], plain[1], atol=1e-5, rtol=1e-4)


def test_a_diagonal_metric_does_not_cancel():
    source, target, metric, _ = gradients(0, torch.float32)
    for plain, scaled in zip(decompose(source, target), decompose(source, target, metric), strict=True):
        assert (plain - scaled).abs().min() > 1e-3


@given(seeds, st.floats(-30, 30), st.floats(-30, 30))
@settings(deadline=None)
def test_the_cosine_does_not_see_scales_and_the_projection_sees_their_ratio(seed, log_s, log_t):
    source, target, metric, _ = gradients(seed, torch.float32)
    rho, a = decompose(source, target, metric)
    scaled_rho, scaled_a = decompose(source * 10 ** (log_s / 2), target * 10 ** (log_t / 2), metric)
    torch.testing.assert_close(scaled_rho, rho, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled_a / 10 ** ((log_t - log_s) / 2), a, atol=1e-5, rtol=1e-4)


# --- the gate


@given(seeds, progresses, trade_offs)
@settings(deadline=None)
def test_gate_equals_a_loop_over_keypoints(seed, progress, trade_off):
    source, target, metric, c = gradients(seed, torch.float32)
    c = c * 1.5 - 0.25  # some outside [0, 1]
    gate = KeypointGate(0.5, 1.5)(source, target, c, progress=progress, trade_off=trade_off, inverse_metric=metric)
    expected = reference_gate(source, target, c, 0.5 + min(1.0, progress), trade_off, metric)
    assert gate.target_weight is None
    for ours, theirs in zip(gate[:4], expected[:4], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@given(seeds, progresses, trade_offs)
@settings(deadline=None)
def test_the_guarantee(seed, progress, trade_off):
    """⟨ĝ_s, D⁻¹(ĝ_s (w − 1) / λ + ĝ_t)⟩ = φ ⟨ĝ_s, D⁻¹ ĝ_t⟩ ≥ 0 (eq. 14)."""
    source, target, metric, c = gradients(seed, torch.float32)
    gate = KeypointGate()(source, target, c, progress=progress, trade_off=trade_off, inverse_metric=metric)
    combined = source.double() * ((gate.weight.double() - 1) / trade_off)[:, None] + target
    left = (source * metric * combined).sum(1)
    right = gate.openness * (source * metric * target).sum(1)
    scale = (source * metric * source).sum(1).sqrt() * (target * metric * target).sum(1).sqrt()
    assert ((left - right).abs() <= 2e-5 * scale / min(1.0, trade_off)).all()
    assert (right >= 0).all()


def test_full_agreement():
    g = torch.randn(K, P)
    gate = KeypointGate()(g, g, torch.ones(K), progress=1.0, trade_off=1.0)
    torch.testing.assert_close(gate.cosine, torch.ones(K))
    torch.testing.assert_close(gate.projection, torch.ones(K))
    torch.testing.assert_close(gate.openness, torch.full((K,), 2.0).tanh())


def test_full_conflict():
    g = torch.randn(K, P)
    gate = KeypointGate()(g, -g, torch.ones(K), progress=1.0, trade_off=0.7)
    torch.testing.assert_close(gate.cosine, -torch.ones(K))
    torch.testing.assert_close(gate.projection, -torch.ones(K))
    assert gate.openness.eq(0).all()
    torch.testing.assert_close(gate.weight, torch.full((K,), 1.7))


@given(seeds, trade_offs)
@settings(deadline=None)
def test_conflicts_never_lower_the_source_and_never_open_the_gate(seed, trade_off):
    source, target, metric, c = gradients(seed, torch.float32)
    gate = KeypointGate()(source, target, c, progress=1.0, trade_off=trade_off, inverse_metric=metric)
    conflict = gate.cosine < 0
    assert (gate.weight[conflict] >= 1).all()
    assert (gate.openness[conflict] == 0).all()
    assert ((gate.openness >= 0) & (gate.openness <= 1)).all()


def test_the_gate_is_shut_at_the_start_and_saturates_after_the_warm_up():
    source, target, _, c = gradients(0, torch.float32)

    def at(progress):
        return KeypointGate()(source, target, c, progress=progress, trade_off=1.0)

    assert at(0.0).openness.eq(0).all()
    assert (at(0.5).openness <= at(1.0).openness).all()
    assert (at(0.5).openness < at(1.0).openness).any()
    assert torch.equal(at(1.0).openness, at(7.0).openness)


@pytest.mark.parametrize("which", ["source", "target", "both"])
@pytest.mark.parametrize("gate", [KeypointGate(), UnifiedGate(), OpenGate()])
def test_zero_gradients_leave_the_source_alone(which, gate):
    source, target, metric, c = gradients(0, torch.float32)
    source = source * (which == "target")
    target = target * (which == "source")
    for inverse_metric in (None, metric, metric[:, :1]):
        result = gate(source, target, c, progress=1.0, trade_off=1.0, inverse_metric=inverse_metric)
        assert result.cosine.eq(0).all()
        assert result.projection.eq(0).all()
        assert result.weight.eq(1).all()


def test_nan_is_not_hidden():
    source, target, _, c = gradients(0, torch.float32)
    source[2, 3] = float("nan")
    gate = KeypointGate()(source, target, c, progress=1.0, trade_off=1.0)
    assert gate.weight.isnan().tolist() == [False, False, True, False, False]
    target[0, 0] = float("inf")
    assert KeypointGate()(source, target, c, progress=1.0, trade_off=1.0).weight[0].isnan()


def test_a_floor_under_the_weight():
    source = torch.randn(K, P)
    free = KeypointGate()(source, 5 * source, torch.ones(K), progress=0.0, trade_off=1.0)
    floored = KeypointGate(min_weight=0.1)(source, 5 * source, torch.ones(K), progress=0.0, trade_off=1.0)
    torch.testing.assert_close(free.weight, torch.full((K,), -4.0))
    torch.testing.assert_close(floored.weight, torch.full((K,), 0.1))


def test_half_precision_inputs_are_decided_in_single_precision():
    source, target, _, c = gradients(0, torch.float32)
    half = source.bfloat16(), target.bfloat16(), c.bfloat16()
    gate = KeypointGate()(*half, progress=1.0, trade_off=1.0)
    expected = KeypointGate()(*(x.float() for x in half), progress=1.0, trade_off=1.0)
    for ours, theirs in zip(gate[:4], expected[:4], strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("arguments", [(-1.0, 2.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_impossible_sharpness_is_refused(arguments):
    with pytest.raises(ValueError, match="gamma_min"):
        KeypointGate(*arguments)


@pytest.mark.parametrize("progress", [-0.1, float("nan")])
def test_impossible_progress_is_refused(progress):
    source, target, _, c = gradients(0, torch.float32)
    with pytest.raises(ValueError, match="progress"):
        KeypointGate()(source, target, c, progress=progress, trade_off=1.0)


# --- its ablations


@given(seeds, trade_offs)
@settings(deadline=None)
def test_the_unified_gate_is_the_keypoint_gate_of_one_long_row(seed, trade_off):
    source, target, metric, c = gradients(seed, torch.float32)
    for inverse_metric in (None, metric[:, :1], metric):
        long = None if inverse_metric is None else inverse_metric.expand(K, P).reshape(1, -1)
        gate = UnifiedGate()(source, target, c, progress=1.0, trade_off=trade_off, inverse_metric=inverse_metric)
        one = KeypointGate()(
            source.reshape(1, -1), target.reshape(1, -1), c.mean()[None],
            progress=1.0, trade_off=trade_off, inverse_metric=long,
        )  # fmt: skip
        for ours, theirs in zip(gate[:4], one[:4], strict=True):
            assert ours.shape == (K,)
            assert torch.equal(ours, theirs.expand(K))


def test_the_open_gate_weighs_nothing_but_measures():
    source, target, metric, c = gradients(0, torch.float32)
    gate = OpenGate()(source, target, c, progress=0.0, trade_off=1.0, inverse_metric=metric)
    assert gate.weight.eq(1).all()
    assert gate.openness.eq(1).all()
    rho, a = decompose(source, target, metric)
    assert torch.equal(gate.cosine, rho)
    assert torch.equal(gate.projection, a)


# --- one backward pass


def test_one_weighted_backward_equals_the_combination_on_the_heatmaps():
    """Back-propagating Σ w_k L_s + λ Σ L_t is sending w g_s and λ g_t back from the heatmaps."""
    head, trade_off = Head(), 0.6
    maps, losses = head.losses()
    grads = {d: torch.autograd.grad(losses[d].sum(), maps[d], retain_graph=True)[0] for d in maps}
    pulled = {d: pull_back(grads[d], head.features[d]) for d in maps}
    gate = KeypointGate()(pulled["source"], pulled["target"], torch.rand(K), progress=1.0, trade_off=trade_off)
    torch.autograd.backward(
        [maps["source"], maps["target"]],
        [gate.weight[:, None, None] * grads["source"], trade_off * grads["target"]],
        retain_graph=True,
    )
    direct = [p.grad.clone() for p in head.layer.parameters()]
    head.layer.zero_grad()
    ((gate.weight * losses["source"]).sum() + trade_off * losses["target"].sum()).backward()
    for ours, theirs in zip(head.layer.parameters(), direct, strict=True):
        torch.testing.assert_close(ours.grad, theirs)
    # And on the rows it is what the paper prints: ĝ_s + λ (ĝ_t − (1 − φ) a ĝ_s).
    printed = pulled["source"] + trade_off * (
        pulled["target"] - ((1 - gate.openness) * gate.projection)[:, None] * pulled["source"]
    )
    torch.testing.assert_close(head.rows([p.grad for p in head.layer.parameters()]), printed, atol=1e-4, rtol=1e-4)


# --- confidence and metrics


def test_confidence_is_the_mean_of_clamped_peaks():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0, 1, 2] = 0.8
    maps[1, 0, 3, 3] = 0.4
    maps[:, 1, 0, 0] = 7.0
    maps[:, 2] = -1.0
    torch.testing.assert_close(confidence(maps), torch.tensor([0.6, 1.0, 0.0]))


def test_the_scalar_metric_averages_the_squared_increments():
    metric, expected = ScalarMetric(K, 0.9, initial=0.5), torch.full((K, 1), 0.5)
    for increment in torch.randn(4, K, P):
        expected = 0.9 * expected + 0.1 * (increment**2).mean(1, keepdim=True)
        metric.update(increment)
    torch.testing.assert_close(metric.inverse(), 1 / (expected + 1e-8))
    assert set(metric.state_dict()) == {"alpha"}


def test_the_diagonal_metric_averages_the_measured_squares_alone():
    """Bias-corrected: weights 0.9^(t - i), normalized, and nothing of where the average began."""
    metric, increments = DiagonalMetric(K, P, 0.9), torch.randn(4, K, P)
    for t, increment in enumerate(increments, 1):
        metric.update(increment)
        weights = 0.9 ** torch.arange(t - 1, -1, -1.0)
        alpha = ((weights / weights.sum())[:, None, None] * increments[:t] ** 2).sum(0)
        torch.testing.assert_close(metric.inverse(), 1 / (alpha + 1e-3 * alpha.mean(1, keepdim=True)))


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e3])
def test_the_diagonal_metric_does_not_depend_on_the_size_of_the_steps(scale):
    plain, scaled = DiagonalMetric(K, P), DiagonalMetric(K, P)
    for increment in torch.randn(3, K, P):
        plain.update(increment)
        scaled.update(scale * increment)
    source, target = torch.randn(2, K, P)
    for a, b in zip(
        decompose(source, target, plain.inverse()), decompose(source, target, scaled.inverse()), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_row_that_never_moved_has_the_identity_and_a_still_coordinate_stays_finite():
    metric, increment = DiagonalMetric(K, P), torch.randn(K, P)
    increment[0], increment[1, 0] = 0, 0
    metric.update(increment)
    assert metric.inverse().isfinite().all()
    torch.testing.assert_close(metric.inverse()[0], torch.ones(P))
    ratio = metric.inverse().amax(1) / metric.inverse().amin(1)
    assert (ratio <= 1 + P / 1e-3).all()


def test_metrics_begin_as_the_identity():
    assert ScalarMetric(K).inverse().shape == (K, 1)
    assert DiagonalMetric(K, P).inverse().shape == (K, P)
    for metric in (ScalarMetric(K), DiagonalMetric(K, P)):
        torch.testing.assert_close(metric.inverse(), torch.ones_like(metric.inverse()))


def test_confidence_is_of_the_students_keypoints():
    maps = torch.rand(3, 16, 5, 5)
    mirrored = maps[:, BODY16.mirror].flip(-1)  # what a perfect teacher says of the mirrored pictures
    crossed = torch.tensor([True, False, True])
    seen = torch.where(crossed[:, None, None, None], mirrored, maps)
    torch.testing.assert_close(confidence(seen, crossed, BODY16.mirror), confidence(maps))
