"""The paper's gate and its ablations: equations, guarantees, edge cases, and one backward pass."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.gating import KeypointGate, OpenGate, UnifiedGate, confidence, decompose, pull_back
from tests.helpers.gate_inputs import K, LastLayer, P, make_gradients

seeds = st.integers(0, 2**31)
target_weights = st.floats(0.01, 10)
progresses = st.floats(0, 3)


def reference_gate(source, target, c, gamma, target_weight, inverse_metric, dtype=torch.float32):
    """Compute equations 5 to 13 in the printed order, one keypoint at a time, in double precision."""
    weights, cosines, projections, opennesses = [], [], [], []
    for k in range(len(source)):
        s, t, d = source[k].double(), target[k].double(), torch.diag(inverse_metric[k].double())
        rho = (s @ d @ t) / (torch.sqrt(s @ d @ s) * torch.sqrt(t @ d @ t))
        a = (s @ d @ t) / (s @ d @ s)
        phi = max(0.0, float(torch.tanh(gamma * rho))) * min(1.0, max(0.0, float(c[k])))
        cosines.append(rho)
        projections.append(a)
        opennesses.append(torch.tensor(phi, dtype=torch.float64))
        weights.append(1 - target_weight * (1 - phi) * a)
    return [
        torch.stack([torch.as_tensor(v, dtype=dtype) for v in values])
        for values in (weights, cosines, projections, opennesses)
    ]


def test_double_precision_is_preserved():
    gradient, features = torch.randn(4, K, 8, 8).double(), torch.randn(4, P - 1, 8, 8).double()
    ones = torch.ones(4, 1, 8, 8).double()
    pulled = pull_back(gradient, features)
    torch.testing.assert_close(pulled, torch.einsum("nkhw,nchw->kc", gradient, torch.cat([features, ones], 1)))
    _, target, metric, c = make_gradients(0)
    for gamma in (0.5, 2.0):
        gate = KeypointGate(gamma, gamma)(pulled, target, c, progress=1.0, target_weight=0.5, inverse_metric=metric)
        expected = reference_gate(pulled, target, c, gamma, 0.5, metric, torch.float64)
        for ours, theirs in zip(gate[:4], expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-12)
    assert confidence(gradient).dtype == torch.float64


@given(seeds, progresses, target_weights)
@settings(deadline=None)
def test_gate_equals_a_loop_over_keypoints(seed, progress, target_weight):
    source, target, metric, c = make_gradients(seed, torch.float32)
    c = c * 1.5 - 0.25  # some outside [0, 1]
    gate = KeypointGate(0.5, 1.5)(
        source, target, c, progress=progress, target_weight=target_weight, inverse_metric=metric
    )
    expected = reference_gate(source, target, c, 0.5 + min(1.0, progress), target_weight, metric)
    assert gate.target_weight is None
    for ours, theirs in zip(gate[:4], expected[:4], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@given(seeds, progresses, target_weights)
@settings(deadline=None)
def test_combined_gradient_never_opposes_the_source(seed, progress, target_weight):
    """⟨ĝ_s, D⁻¹(ĝ_s (w − 1) / λ + ĝ_t)⟩ = φ ⟨ĝ_s, D⁻¹ ĝ_t⟩ ≥ 0 (eq. 14)."""
    source, target, metric, c = make_gradients(seed, torch.float32)
    gate = KeypointGate()(source, target, c, progress=progress, target_weight=target_weight, inverse_metric=metric)
    combined = source.double() * ((gate.weight.double() - 1) / target_weight)[:, None] + target
    left = (source * metric * combined).sum(1)
    right = gate.openness * (source * metric * target).sum(1)
    scale = (source * metric * source).sum(1).sqrt() * (target * metric * target).sum(1).sqrt()
    assert ((left - right).abs() <= 2e-5 * scale / min(1.0, target_weight)).all()
    assert (right >= 0).all()


def test_equal_gradients_agree_fully():
    g = torch.randn(K, P)
    gate = KeypointGate()(g, g, torch.ones(K), progress=1.0, target_weight=1.0)
    torch.testing.assert_close(gate.cosine, torch.ones(K))
    torch.testing.assert_close(gate.projection, torch.ones(K))
    torch.testing.assert_close(gate.openness, torch.full((K,), 2.0).tanh())


def test_opposite_gradients_conflict_fully():
    g = torch.randn(K, P)
    gate = KeypointGate()(g, -g, torch.ones(K), progress=1.0, target_weight=0.7)
    torch.testing.assert_close(gate.cosine, -torch.ones(K))
    torch.testing.assert_close(gate.projection, -torch.ones(K))
    assert gate.openness.eq(0).all()
    torch.testing.assert_close(gate.weight, torch.full((K,), 1.7))


@given(seeds, target_weights)
@settings(deadline=None)
def test_conflicts_never_lower_the_source_weight_or_open_the_gate(seed, target_weight):
    source, target, metric, c = make_gradients(seed, torch.float32)
    gate = KeypointGate()(source, target, c, progress=1.0, target_weight=target_weight, inverse_metric=metric)
    conflict = gate.cosine < 0
    assert (gate.weight[conflict] >= 1).all()
    assert (gate.openness[conflict] == 0).all()
    assert ((gate.openness >= 0) & (gate.openness <= 1)).all()


def test_gate_is_closed_at_the_start_and_constant_after_the_warm_up():
    source, target, _, c = make_gradients(0, torch.float32)

    def at(progress):
        return KeypointGate()(source, target, c, progress=progress, target_weight=1.0)

    assert at(0.0).openness.eq(0).all()
    assert (at(0.5).openness <= at(1.0).openness).all()
    assert (at(0.5).openness < at(1.0).openness).any()
    assert torch.equal(at(1.0).openness, at(7.0).openness)


@pytest.mark.parametrize("which", ["source", "target", "both"])
@pytest.mark.parametrize("gate", [KeypointGate(), UnifiedGate(), OpenGate()])
def test_zero_gradients_leave_the_source_weight_at_one(which, gate):
    source, target, metric, c = make_gradients(0, torch.float32)
    source = source * (which == "target")
    target = target * (which == "source")
    for inverse_metric in (None, metric, metric[:, :1]):
        result = gate(source, target, c, progress=1.0, target_weight=1.0, inverse_metric=inverse_metric)
        assert result.cosine.eq(0).all()
        assert result.projection.eq(0).all()
        assert result.weight.eq(1).all()


def test_nan_gives_nan_weights():
    source, target, _, c = make_gradients(0, torch.float32)
    source[2, 3] = float("nan")
    gate = KeypointGate()(source, target, c, progress=1.0, target_weight=1.0)
    assert gate.weight.isnan().tolist() == [False, False, True, False, False]
    target[0, 0] = float("inf")
    assert KeypointGate()(source, target, c, progress=1.0, target_weight=1.0).weight[0].isnan()


def test_min_weight_bounds_the_weight():
    source = torch.randn(K, P)
    free = KeypointGate()(source, 5 * source, torch.ones(K), progress=0.0, target_weight=1.0)
    floored = KeypointGate(min_weight=0.1)(source, 5 * source, torch.ones(K), progress=0.0, target_weight=1.0)
    torch.testing.assert_close(free.weight, torch.full((K,), -4.0))
    torch.testing.assert_close(floored.weight, torch.full((K,), 0.1))


def test_half_precision_inputs_are_computed_in_single_precision():
    source, target, _, c = make_gradients(0, torch.float32)
    half = source.bfloat16(), target.bfloat16(), c.bfloat16()
    gate = KeypointGate()(*half, progress=1.0, target_weight=1.0)
    expected = KeypointGate()(*(x.float() for x in half), progress=1.0, target_weight=1.0)
    for ours, theirs in zip(gate[:4], expected[:4], strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("arguments", [(-1.0, 2.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_invalid_gamma_raises(arguments):
    with pytest.raises(ValueError, match="gamma_min"):
        KeypointGate(*arguments)


@pytest.mark.parametrize("progress", [-0.1, float("nan")])
def test_invalid_progress_raises(progress):
    source, target, _, c = make_gradients(0, torch.float32)
    with pytest.raises(ValueError, match="progress"):
        KeypointGate()(source, target, c, progress=progress, target_weight=1.0)


@given(seeds, target_weights)
@settings(deadline=None)
def test_unified_gate_equals_the_keypoint_gate_on_one_long_row(seed, target_weight):
    source, target, metric, c = make_gradients(seed, torch.float32)
    for inverse_metric in (None, metric[:, :1], metric):
        long = None if inverse_metric is None else inverse_metric.expand(K, P).reshape(1, -1)
        gate = UnifiedGate()(
            source, target, c, progress=1.0, target_weight=target_weight, inverse_metric=inverse_metric
        )
        one = KeypointGate()(
            source.reshape(1, -1), target.reshape(1, -1), c.mean()[None],
            progress=1.0, target_weight=target_weight, inverse_metric=long,
        )  # fmt: skip
        for ours, theirs in zip(gate[:4], one[:4], strict=True):
            assert ours.shape == (K,)
            assert torch.equal(ours, theirs.expand(K))


def test_open_gate_weights_everything_by_one_and_still_measures():
    source, target, metric, c = make_gradients(0, torch.float32)
    gate = OpenGate()(source, target, c, progress=0.0, target_weight=1.0, inverse_metric=metric)
    assert gate.weight.eq(1).all()
    assert gate.openness.eq(1).all()
    rho, a = decompose(source, target, metric)
    assert torch.equal(gate.cosine, rho)
    assert torch.equal(gate.projection, a)


def test_one_weighted_backward_pass_equals_the_combination_on_the_heatmaps():
    """Backpropagating Σ w_k L_s + λ Σ L_t equals backpropagating w g_s and λ g_t from the heatmaps."""
    head, target_weight = LastLayer(), 0.6
    maps, losses = head.losses()
    grads = {d: torch.autograd.grad(losses[d].sum(), maps[d], retain_graph=True)[0] for d in maps}
    pulled = {d: pull_back(grads[d], head.features[d]) for d in maps}
    gate = KeypointGate()(pulled["source"], pulled["target"], torch.rand(K), progress=1.0, target_weight=target_weight)
    torch.autograd.backward(
        [maps["source"], maps["target"]],
        [gate.weight[:, None, None] * grads["source"], target_weight * grads["target"]],
        retain_graph=True,
    )
    direct = [p.grad.clone() for p in head.layer.parameters()]
    head.layer.zero_grad()
    ((gate.weight * losses["source"]).sum() + target_weight * losses["target"].sum()).backward()
    for ours, theirs in zip(head.layer.parameters(), direct, strict=True):
        torch.testing.assert_close(ours.grad, theirs)
    # On the rows the result is the equation of the paper: ĝ_s + λ (ĝ_t − (1 − φ) a ĝ_s).
    printed = pulled["source"] + target_weight * (
        pulled["target"] - ((1 - gate.openness) * gate.projection)[:, None] * pulled["source"]
    )
    torch.testing.assert_close(head.rows([p.grad for p in head.layer.parameters()]), printed, atol=1e-4, rtol=1e-4)
