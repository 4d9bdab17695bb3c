"""Two heads, and gradients that are to agree."""

import math

import pytest
import torch
from torch import nn

from hamipose.losses import heatmap_mse
from hamipose.methods import CGDM
from hamipose.methods.adaptation import Labelled
from hamipose.methods.cgdm import _through, confidence_weights, gradient_gap, map_entropy, spatial_distribution
from hamipose.methods.options import NetworkOptions, TrainingOptions

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


class Domains:
    """Two domains' features through one head."""

    def __init__(self):
        self.head = nn.Conv2d(4, 3, 1)
        self.features = [torch.randn(2, 4, 5, 6, requires_grad=True) for _ in range(2)]
        self.truth = [torch.randn(2, 3, 5, 6) for _ in range(2)]

    def passes(self) -> list[Labelled]:
        maps = [self.head(f) for f in self.features]
        losses = [heatmap_mse(m, t, None, "sum") for m, t in zip(maps, self.truth, strict=True)]
        return [Labelled(*both) for both in zip(losses, maps, self.features, strict=True)]


def test_the_gap_is_that_of_a_double_backward_through_the_heads_parameters():
    """As the authors compute it: row-wise cosine for the weights, one for the biases; gradients of features too."""
    world = Domains()
    ours = gradient_gap(*world.passes())
    gradients = [
        torch.autograd.grad(p.losses.sum(), [*world.head.parameters()], create_graph=True) for p in world.passes()
    ]
    weights, biases = zip(*gradients, strict=True)
    rows = nn.functional.cosine_similarity(*(w.flatten(1) for w in weights), dim=1).mean()
    theirs = ((1 - rows) + (1 - nn.functional.cosine_similarity(*biases, dim=0))) / 2
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad(ours, world.features), torch.autograd.grad(theirs, world.features), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_domain_agrees_with_itself_and_not_with_its_opposite():
    world = Domains()
    one, _ = world.passes()
    assert gradient_gap(one, one).item() == pytest.approx(0, abs=1e-5)
    assert gradient_gap(one, one._replace(losses=-one.losses)).item() == pytest.approx(2, abs=1e-5)


def test_the_heads_part_where_the_features_bring_them_together():
    """One backward pass of d: a step down it lowers d through the features and raises it through the heads."""
    features = torch.rand(2, 4, 5, 6, requires_grad=True)
    heads = [nn.Conv2d(4, 3, 1) for _ in range(2)]
    for head in heads:  # maps inside (0, 1), where the clamp is not felt
        nn.init.uniform_(head.weight, 0.05, 0.2)
        nn.init.uniform_(head.bias, 0.05, 0.15)

    def apart(f: torch.Tensor, turned: bool | None) -> torch.Tensor:
        maps = [h(f) if turned is None else _through(f, h, turned) for h in heads]
        return (maps[0].clamp(0, 1) - maps[1].clamp(0, 1)).abs().mean()

    parameters = [p for h in heads for p in h.parameters()]
    plain = torch.autograd.grad(apart(features, None), [features, *parameters])
    turned = torch.autograd.grad(apart(features, True), [features, *parameters])
    torch.testing.assert_close(apart(features, True), apart(features, None))
    torch.testing.assert_close(turned[0], plain[0])
    for mine, theirs in zip(turned[1:], plain[1:], strict=True):
        torch.testing.assert_close(mine, -theirs)
        assert theirs.abs().max() > 0
    held = torch.autograd.grad(apart(features, False), [features, *parameters], allow_unused=True)
    assert all(g is None for g in held[1:])


def test_entropy_is_nothing_at_a_point_and_one_everywhere():
    point = torch.zeros(1, 1, 8, 8)
    point[0, 0, 3, 4] = 1
    assert map_entropy(spatial_distribution(point)).item() == pytest.approx(0, abs=1e-3)
    assert map_entropy(spatial_distribution(torch.ones(1, 1, 8, 8))).item() == pytest.approx(1)
    two = point.clone()
    two[0, 0, 0, 0] = 1
    assert map_entropy(spatial_distribution(two)).item() == pytest.approx(math.log(2) / math.log(64), abs=1e-3)


def test_sure_maps_weigh_more_and_the_mean_weight_is_one():
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 3, 4] = 1
    maps[1] = 1
    weights = confidence_weights(maps.requires_grad_())
    assert not weights.requires_grad
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[0] / weights[1]).item() == pytest.approx(2 / (1 + math.exp(-1)), rel=1e-3)


def test_a_second_head_starts_beside_the_first_of_a_loaded_network():
    model = CGDM(sgd, TINY, TrainingOptions())
    nn.init.normal_(model.network.final.weight, std=0.5)
    model.start_adaptation()
    first, second = model.network.final.weight.detach(), model.second.weight.detach()
    size = first.square().mean().sqrt().item()
    assert (second - first).square().mean().sqrt().item() == pytest.approx(0.1 * size, rel=0.3)
    assert "second" in model.trained()


@pytest.mark.parametrize("scale", [1e-9, 1e3])
def test_the_gap_does_not_see_the_losses_scale(scale: float):
    one, two = Domains().passes()
    plain = gradient_gap(one, two)
    torch.testing.assert_close(gradient_gap(one._replace(losses=one.losses * scale), two), plain, rtol=1e-4, atol=1e-5)
    small = [side._replace(losses=side.losses * scale) for side in (one, two)]
    torch.testing.assert_close(gradient_gap(*small), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1])
def test_a_joint_that_no_image_shows_says_nothing(side: int):
    world = Domains()
    with torch.no_grad():  # one keypoint's labels are what the head says: its gradient is zero, but not its derivative
        world.truth[side][:, 1] = world.head(world.features[side])[:, 1]
    passes = world.passes()
    gap = gradient_gap(*passes)
    gradients = torch.autograd.grad(gap, world.features)
    assert gap.isfinite()
    assert all(g.isfinite().all() and g.abs().max() < 10 for g in gradients)
