"""Gates from aggregators: their properties, and a comparison with torchjd's aggregation of the same rows."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.errors import UserError

torchjd = pytest.importorskip("torchjd.aggregation", reason='needs pip install "hamipose[torchjd]"')

from hamipose.gating.aggregators import AggregatorGate, UnifiedAggregatorGate, compute_gramians, find_weighting  # noqa: E402

K, P = 5, 9
seeds = st.integers(0, 2**31)
NAMES = [("PCGrad", None), ("CAGrad", {"c": 0.4}), ("UPGrad", None), ("IMTLG", None), ("AlignedMTL", None)]
ALL = [*NAMES, ("MGDA", None), ("DualProj", None), ("Mean", None), ("Sum", None)]


def rows(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, K, P, generator=generator))


def decide(gate, source, target, target_weight=1.0, inverse_metric=None):
    return gate(
        source,
        target,
        torch.ones(len(source)),
        progress=1.0,
        target_weight=target_weight,
        inverse_metric=inverse_metric,
    )


@given(seeds, st.floats(0.1, 5))
@settings(deadline=None, max_examples=30)
def test_pcgrad_equals_the_formula_for_two_vectors(seed: int, target_weight: float):
    """Each gradient loses its component against the other; then they are added (Yu et al., 2020, algorithm 1)."""
    source, target = rows(seed)
    gate = decide(AggregatorGate("PCGrad"), source, target, target_weight)
    for k in range(K):
        s, t = source[k].double(), target_weight * target[k].double()
        together = s @ t
        expected = s + t
        if together < 0:
            expected = (s - together / (t @ t) * t) + (t - together / (s @ s) * s)
        ours = gate.weight[k].double() * s + gate.target_weight[k].double() * target[k].double()
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), NAMES, ids=lambda v: v if isinstance(v, str) else "")
def test_weights_equal_those_of_torchjds_aggregator(name: str, options: dict | None):
    """The combination of the scaled pair equals torchjd's aggregation of it, keypoint by keypoint."""
    source, target = (r.double() for r in rows(3))
    gate = decide(AggregatorGate(name, options), source.float(), target.float(), target_weight=0.7)
    aggregator = getattr(torchjd, name)(**(options or {}))
    for k in range(K):
        pair = torch.stack([source[k], 0.7 * target[k]])
        scale = pair.norm(dim=1).max()  # CAGrad compares with a constant: scale its input as the gate does
        expected = aggregator(pair / scale) * scale
        ours = gate.weight[k] * source[k] + gate.target_weight[k] * target[k]
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), ALL, ids=lambda v: v if isinstance(v, str) else "")
def test_weights_do_not_depend_on_the_scale_of_the_losses(name: str, options: dict | None):
    source, target = rows(4)
    gate = AggregatorGate(name, options)
    plain, small = (decide(gate, scale * source, scale * target) for scale in (1.0, 1e-9))
    torch.testing.assert_close(plain.weight, small.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(plain.target_weight, small.target_weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["PCGrad", "UPGrad", "DualProj", "MGDA"])
@given(seeds)
@settings(deadline=None, max_examples=15)
def test_combination_increases_neither_loss(name: str, seed: int):
    source, target = rows(seed)
    gate = decide(AggregatorGate(name), source, target)
    combined = gate.weight[:, None] * source + gate.target_weight[:, None] * target
    for row in (source, target):
        # DualProj's regularization gives cosines down to -5.4e-4 (400 seeds); those of the others are positive.
        assert (torch.cosine_similarity(combined, row) >= -1e-3).all()


def test_imtlg_gives_both_gradients_the_same_projection():
    source, target = rows(5)
    gate = decide(AggregatorGate("IMTLG"), source, target)
    combined = gate.weight[:, None] * source + gate.target_weight[:, None] * target
    along = [(combined * row).sum(1) / row.norm(dim=1) for row in (source, target)]
    torch.testing.assert_close(along[0], along[1], rtol=1e-3, atol=1e-4)


def test_metric_defines_the_inner_products():
    source, target = rows(6)
    metric = torch.rand(K, P) + 0.1
    root = metric.sqrt()
    within = decide(AggregatorGate("PCGrad"), source, target, inverse_metric=metric)
    changed = decide(AggregatorGate("PCGrad"), source * root, target * root)
    torch.testing.assert_close(within.weight, changed.weight, rtol=1e-4, atol=1e-5)


def test_unified_gate_decides_once_for_the_whole_layer():
    source, target = rows(7)
    gate = decide(UnifiedAggregatorGate("UPGrad"), source, target, target_weight=0.5)
    whole = decide(AggregatorGate("UPGrad"), source.reshape(1, -1), target.reshape(1, -1), target_weight=0.5)
    assert gate.weight.shape == gate.target_weight.shape == (K,)
    assert torch.equal(gate.weight, whole.weight.expand(K))
    assert torch.equal(gate.target_weight, whole.target_weight.expand(K))


@pytest.mark.parametrize("which", ["source", "target", "both"])
@pytest.mark.parametrize(("name", "options"), NAMES, ids=lambda v: v if isinstance(v, str) else "")
def test_zero_gradients_do_not_change_the_sum(name: str, options: dict | None, which: str):
    source, target = rows(0)
    gate = decide(AggregatorGate(name, options), source * (which == "target"), target * (which == "source"), 0.3)
    assert gate.weight.eq(1).all()
    torch.testing.assert_close(gate.target_weight, torch.full((K,), 0.3))


def test_nan_gives_nan_weights():
    source, target = rows(0)
    source[2, 3] = float("nan")
    assert decide(AggregatorGate("UPGrad"), source, target).weight.isnan().tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_gramians_are_inner_products():
    source, target = rows(1)
    for k, product in enumerate(compute_gramians(source, target)):
        pair = torch.stack([source[k], target[k]]).double()
        expected = pair @ pair.T
        torch.testing.assert_close(product, expected / expected.diagonal().max())


def test_invalid_aggregators_and_options_raise_user_error():
    with pytest.raises(UserError, match=r"aggregator is 'Magic', expected a torchjd aggregator .*AlignedMTL, CAGrad"):
        find_weighting("Magic")
    with pytest.raises(UserError, match="keeps no state"):  # GradVac keeps an average of past batches
        find_weighting("GradVac")
    with pytest.raises(UserError, match="aggregator CAGrad with options None"):
        find_weighting("CAGrad")


def test_without_torchjd_one_line_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(
        UserError, match=r"PCGrad needs torchjd, which is not installed: pip install 'hamipose\[torchjd\]'"
    ):
        AggregatorGate("PCGrad")
