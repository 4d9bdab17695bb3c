import pytest
import torch
from torch import nn

from hamipose.models.adversarial import (
    AdversarialHead,
    DomainClassifier,
    scale_gradient,
    warm_start,
    zero_with_gradients,
)


@pytest.mark.parametrize("factor", [0.1, 1.0, 0.0, -0.7])
def test_scale_gradient_scales_only_gradients(factor: float):
    features = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    passed = scale_gradient(features, factor)
    assert torch.equal(passed, features)
    weights = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    (passed * weights).sum().backward()
    torch.testing.assert_close(features.grad, factor * weights)


def test_warm_start_equals_published_code():
    """Published: 2 (hi − lo)/(1 + e^{−α i/N}) − (hi − lo) + lo with lo = 0, hi = 0.1, α = 1, N = 1000."""
    for i in (0, 1, 500, 3000):
        low, high = 0.0, 0.1
        wanted = 2 * (high - low) / (1 + torch.tensor(-i / 1000.0).exp()) - (high - low) + low
        assert warm_start(i) == pytest.approx(float(wanted), abs=1e-7)


def test_zero_with_gradients_reaches_every_parameter():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    zero = zero_with_gradients(module.parameters())
    assert zero == 0
    zero.backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


def test_heads_and_classifiers_accept_maps_of_any_size():
    for side in (8, 13, 64):
        features = torch.randn(2, 6, side, side)
        assert AdversarialHead(6, 5)(features).shape == (2, 5, side, side)
        assert DomainClassifier(6, 4)(features).shape == (2,)


def test_reversed_gradients_confuse_the_domain_classifier():
    """Reversed gradients reduce the difference between two domains that differ in one channel."""
    torch.manual_seed(0)
    shift = nn.Parameter(torch.tensor(1.0))
    classifier = nn.Linear(1, 1)
    nn.init.constant_(classifier.weight, 0.5)
    optimizer = torch.optim.SGD([shift, *classifier.parameters()], lr=0.1)
    for _ in range(100):
        source, target = torch.zeros(8, 1), shift.expand(8, 1)
        logits = classifier(scale_gradient(torch.cat([source, target]), -1.0))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.cat([torch.ones(8), torch.zeros(8)]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if abs(float(shift)) < 0.1:
            break
    assert abs(float(shift)) < 0.1
