"""CGDM: two heads, and gradients that agree between domains."""

import copy
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from hamipose.losses import consistency, heatmap_mse
from hamipose.methods import CGDM
from hamipose.methods.cgdm import _through, confidence_weights, gradient_gap, map_entropy, spatial_distribution
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import DomainPass
from hamipose.models.preprocess import normalize
from hamipose.types import SourceBatch, TargetBatch, TrainBatch

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


class Domains:
    """Features of two domains through one head."""

    def __init__(self):
        self.head = nn.Conv2d(4, 3, 1)
        self.features = [torch.randn(2, 4, 5, 6, requires_grad=True) for _ in range(2)]
        self.truth = [torch.randn(2, 3, 5, 6) for _ in range(2)]

    def passes(self) -> list[DomainPass]:
        maps = [self.head(f) for f in self.features]
        losses = [heatmap_mse(m, t, None, "sum") for m, t in zip(maps, self.truth, strict=True)]
        return [DomainPass(*both) for both in zip(losses, maps, self.features, strict=True)]


def test_gradient_gap_equals_double_backward():
    """Compare with the authors' computation, also the gradients of the features."""
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


def test_gradient_gap_of_equal_and_opposite_domains():
    world = Domains()
    one, _ = world.passes()
    assert gradient_gap(one, one).item() == pytest.approx(0, abs=1e-5)
    assert gradient_gap(one, one._replace(losses=-one.losses)).item() == pytest.approx(2, abs=1e-5)


def test_heads_maximize_the_discrepancy_that_features_minimize():
    """Check that one descent step lowers d through the features and raises it through the heads."""
    features = torch.rand(2, 4, 5, 6, requires_grad=True)
    heads = [nn.Conv2d(4, 3, 1) for _ in range(2)]
    for head in heads:  # maps inside (0, 1), where the clamp has no effect
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


def test_map_entropy_is_zero_at_a_point_and_one_if_uniform():
    point = torch.zeros(1, 1, 8, 8)
    point[0, 0, 3, 4] = 1
    assert map_entropy(spatial_distribution(point)).item() == pytest.approx(0, abs=1e-3)
    assert map_entropy(spatial_distribution(torch.ones(1, 1, 8, 8))).item() == pytest.approx(1)
    two = point.clone()
    two[0, 0, 0, 0] = 1
    assert map_entropy(spatial_distribution(two)).item() == pytest.approx(math.log(2) / math.log(64), abs=1e-3)


def test_confidence_weights_prefer_peaked_maps_and_have_mean_one():
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 3, 4] = 1
    maps[1] = 1
    weights = confidence_weights(maps.requires_grad_())
    assert not weights.requires_grad
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[0] / weights[1]).item() == pytest.approx(2 / (1 + math.exp(-1)), rel=1e-3)


def test_second_head_starts_near_the_first_of_a_loaded_network():
    model = CGDM(sgd, TINY, TrainingOptions())
    nn.init.normal_(model.network.final.weight, std=0.5)
    model.start_adaptation()
    first, second = model.network.final.weight.detach(), model.second.weight.detach()
    size = first.square().mean().sqrt().item()
    assert (second - first).square().mean().sqrt().item() == pytest.approx(0.1 * size, rel=0.3)
    assert "second" in model.trainable_parts()


@pytest.mark.parametrize("scale", [1e-9, 1e3])
def test_gradient_gap_is_independent_of_scale(scale: float):
    one, two = Domains().passes()
    plain = gradient_gap(one, two)
    torch.testing.assert_close(gradient_gap(one._replace(losses=one.losses * scale), two), plain, rtol=1e-4, atol=1e-5)
    small = [side._replace(losses=side.losses * scale) for side in (one, two)]
    torch.testing.assert_close(gradient_gap(*small), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1])
def test_gradient_gap_ignores_invisible_keypoints(side: int):
    world = Domains()
    with torch.no_grad():  # one keypoint's labels equal the head's output: its gradient is zero, but not its derivative
        world.truth[side][:, 1] = world.head(world.features[side])[:, 1]
    passes = world.passes()
    gap = gradient_gap(*passes)
    gradients = torch.autograd.grad(gap, world.features)
    assert gap.isfinite()
    assert all(g.isfinite().all() and g.abs().max() < 10 for g in gradients)


# ------------------------------------------------------------------------------------------------ the game


class Players(NamedTuple):
    """Objectives of the features and of the heads, as in the docstring of the class."""

    features: torch.Tensor
    heads: torch.Tensor


def players(model: CGDM, batch: TrainBatch) -> Players:
    """Return the objectives of both players, with L_gm by double backward through the heads, as published."""
    reduction = model.training_options.reduction
    truth, visible = model.encode_source(batch.source)
    assert batch.target is not None
    taught, known, _ = model.adaptation.pseudo_label(batch.target)
    here = model.network.features(normalize(batch.source.image))
    there = model.network.features(normalize(batch.target.student))
    heads = (model.network.final, model.second)
    common, gaps, clamped = torch.zeros(()), [], []
    for head in heads:
        maps = head(there)
        on_source = heatmap_mse(head(here), truth, visible, reduction).sum()
        on_target = consistency(maps, taught, confidence_weights(maps)[:, :, None, None] * known, reduction).sum()
        beliefs = spatial_distribution(maps)
        entropy = map_entropy(beliefs).mean() - map_entropy(beliefs.mean(0)).mean()
        target_weight = model.adaptation.options.target_weight
        common = common + on_source + target_weight * (model.supervision * on_target + model.entropy * entropy)
        slopes = [
            torch.autograd.grad(loss, [head.weight, head.bias], create_graph=True) for loss in (on_source, on_target)
        ]
        rows = torch.cosine_similarity(*(weight.flatten(1) for weight, _ in slopes), dim=1).mean()
        gaps.append(1 - (rows + torch.cosine_similarity(*(bias for _, bias in slopes), dim=0)) / 2)
        clamped.append(maps.clamp(0, 1))
    apart = target_weight * model.discrepancy * (clamped[0] - clamped[1]).abs().mean()
    return Players(common + apart + target_weight * model.gradient * sum(gaps) / 2, common - apart)


def random_batch() -> TrainBatch:
    def pictures() -> torch.Tensor:
        return torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)

    names, same = list("abcd"), torch.eye(2, 3).expand(4, 2, 3).clone()
    points, seen = torch.rand(4, 16, 2) * 60, torch.full((4, 16), 2)
    plain = torch.zeros(4, dtype=torch.bool)
    source = SourceBatch(pictures(), points, seen, names, torch.zeros(4, dtype=torch.long))
    return TrainBatch(source, TargetBatch(pictures(), pictures(), same, same, plain, plain, names))


def test_one_backward_pass_has_the_gradients_of_both_players():
    """Check that features and heads each have exactly the gradient of their objective."""
    # Large weights, so that rounding of the squared errors does not hide any gradient.
    weights = {"supervision": 9.0, "entropy": 9e3, "gradient": 6e3, "discrepancy": 9e3}
    model = CGDM(sgd, TINY, TrainingOptions(reduction="sum"), **weights)
    for head in (model.network.final, model.second):
        nn.init.normal_(head.weight, std=0.3)
        nn.init.uniform_(head.bias, 0.2, 0.4)
    batch = random_batch()
    parts = {
        "features": [*model.network.backbone.parameters(), *model.network.deconv.parameters()],
        "heads": [*model.network.final.parameters(), *model.second.parameters()],
    }
    loss = model.objective(batch).loss
    found = {name: torch.autograd.grad(loss, part, retain_graph=True) for name, part in parts.items()}
    wanted = players(model, batch)
    assert loss.item() == pytest.approx(wanted.features.item(), rel=1e-4)
    for name, part in parts.items():
        for mine, theirs in zip(
            found[name], torch.autograd.grad(getattr(wanted, name), part, retain_graph=True), strict=True
        ):
            assert (mine - theirs).norm() <= 2e-3 * theirs.norm() + 1e-5, name


@pytest.mark.slow
def test_two_epochs_improve_the_objectives_of_both_players(fit, dots: Path, tmp_path: Path, monkeypatch):
    """Check that each player lowered its objective, with the other player and the pseudo-labels fixed at the end.

    The value of a game itself need not fall.
    """
    seen: list[TrainBatch] = []
    objective = CGDM.objective

    def note(self: CGDM, batch: TrainBatch):
        seen.append(batch)
        return objective(self, batch)

    monkeypatch.setattr(CGDM, "objective", note)
    run = {"dots": dots, "out": tmp_path, "method": "CGDM", "pretrain": 20, "epochs": 2, "steps": 30, "every": 20}
    trainer = fit(keep=21, **run)
    model = trainer.lightning_module.train()
    began = torch.load(tmp_path / "checkpoints/kept.ckpt", weights_only=True)["state_dict"]
    ended = {name: value.clone() for name, value in model.state_dict().items()}

    def values(**parts: bool) -> Players:
        """Return the objectives over the last batches; the named parts are reset to their initial weights."""
        other = copy.deepcopy(model)
        heads = ("network.final.", "second.")
        back = {
            name: began[name]
            for name in ended
            if (parts.get("heads") and name.startswith(heads))
            or (parts.get("features") and name.startswith("network.") and not name.startswith(heads))
        }
        other.load_state_dict({**ended, **back})
        each = [players(other, batch) for batch in seen[-8:]]
        return Players(*(sum(value.detach() for value in side) for side in zip(*each, strict=True)))

    after = values()
    assert after.features < values(features=True).features
    assert after.heads < values(heads=True).heads
