"""Gradients at displaced parameters."""

import pytest
import torch
from torch import nn

from hamipose.methods.parts.sharpness import displaced, frozen_statistics, length, set_gradient, take_gradient


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def test_length_is_the_norm_of_all_parts():
    parts = [torch.randn(3, 4), torch.randn(7), torch.randn(())]
    torch.testing.assert_close(length(parts), torch.cat([p.flatten() for p in parts]).norm())


def test_displaced_restores_parameters_exactly():
    net = network()
    parameters = list(net.parameters())
    # θ + v − v would differ from θ: their magnitudes are very different.
    vector = [torch.randn_like(p) * 10.0 ** torch.randint(-8, 8, p.shape) for p in parameters]
    before = [p.detach().clone() for p in parameters]
    with displaced(parameters, vector):
        for p, b, v in zip(parameters, before, vector, strict=True):
            assert torch.equal(p, b + v)
    assert any(not torch.equal(b + v - v, b) for b, v in zip(before, vector, strict=True))
    for p, b in zip(parameters, before, strict=True):
        assert torch.equal(p, b)


def test_displaced_restores_parameters_after_an_error():
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(RuntimeError), displaced(list(net.parameters()), before):
        raise RuntimeError
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


def test_displaced_weights_are_used_under_autocast():
    """Check that autocast's low-precision copies of weights are cleared, or a second pass would repeat the first."""
    net, images = network(), torch.randn(2, 3, 8, 8)
    vector = [torch.randn_like(p) for p in net.parameters()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        here = net(images)
        with displaced(list(net.parameters()), vector):
            there = net(images)
        back = net(images)
    assert (there - here).abs().max() > 0.1
    assert torch.equal(back, here)


def test_frozen_statistics_normalize_with_the_batch():
    net, images = network(), torch.randn(4, 3, 8, 8)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with frozen_statistics(net):
        quiet = net(images)
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert torch.equal(net(images), quiet)
    assert not torch.equal(net[1].running_mean, state["1.running_mean"])
    assert not torch.equal(net.eval()(images), quiet)


def test_take_and_set_gradient_round_trip():
    net = network()
    parameters = list(net.parameters())
    net(torch.randn(2, 3, 8, 8))[:, :1].sum().backward()
    expected = [p.grad.clone() for p in parameters]
    taken = take_gradient(parameters)
    assert all(p.grad is None for p in parameters)
    set_gradient(parameters, taken)
    assert all(torch.equal(p.grad, e) for p, e in zip(parameters, expected, strict=True))
    net[0].weight.grad = None
    assert take_gradient(parameters)[0].eq(0).all()
