import copy

import pytest
import torch
from torch import nn

from hamipose.errors import UserError
from hamipose.models.batchnorm import BatchNormStatistics, batchnorm_layers, reestimate_statistics
from hamipose.models.preprocess import normalize


def network(seed: int = 0) -> nn.Sequential:
    """Return a network with two BatchNorm layers of different momentum."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5, momentum=0.3)
    return nn.Sequential(*layers).train()


def images(seed: int, shift: float) -> torch.Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_tracking_counts_only_passes_in_the_context():
    """The result equals that of a second network with the same weights that sees no other batch."""
    both, alone = network(), network()
    source = BatchNormStatistics(both)
    for step in range(6):
        with source.tracking(both):
            both(images(step, 0.0))
        alone(images(step, 0.0))
        both(images(100 + step, 3.0))
    expected = BatchNormStatistics(alone)
    torch.testing.assert_close(source.mean, expected.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(source.variance, expected.variance, atol=1e-5, rtol=1e-5)
    assert (BatchNormStatistics(both).mean - source.mean).abs().max() > 0.3, "the network's are those of both"


@pytest.mark.parametrize("how", ["eval", "frozen"])
def test_tracking_ignores_layers_without_updates(how):
    model = network()
    statistics = BatchNormStatistics(network(1))
    statistics.mean += 1
    before = copy.deepcopy(statistics.state_dict())
    for layer in batchnorm_layers(model):
        layer.eval() if how == "eval" else setattr(layer, "track_running_stats", False)
    with statistics.tracking(model):
        model(images(0, 1.0))
    for name, value in before.items():
        assert torch.equal(statistics.state_dict()[name], value)


def test_applied_statistics_are_used_and_restored():
    model, other = network().eval(), network()
    other(images(0, 2.0))
    before = copy.deepcopy(model.state_dict())
    with BatchNormStatistics(other).applied_to(model), torch.no_grad():
        torch.testing.assert_close(model(images(1, 2.0)), other.eval()(images(1, 2.0)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    BatchNormStatistics(other).write_to(model)
    assert torch.equal(model[1].running_mean, other[1].running_mean)
    assert BatchNormStatistics(other).distance(model) == 0
    assert BatchNormStatistics(model).distance(network()) > 0


def test_network_without_batchnorm_has_empty_statistics():
    model = nn.Conv2d(3, 2, 1)
    statistics = BatchNormStatistics(model)
    with statistics.tracking(model), statistics.applied_to(model):
        model(images(0, 0.0))
    assert statistics.distance(model) == 0


def test_move_towards_is_a_moving_average():
    a, b = BatchNormStatistics(network()), BatchNormStatistics(network())
    b.mean.fill_(2.0)
    a.move_towards(b, 0.9)
    torch.testing.assert_close(a.mean, torch.full((9,), 0.2))
    a.move_towards(b, 0.0)
    assert torch.equal(a.mean, b.mean)


def test_reestimated_statistics_are_means_over_images():
    model = network().eval()
    model[1].running_mean.fill_(7.0)
    before = copy.deepcopy(model.state_dict())
    batches = [torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8) for count in (4, 4, 2, 1)]
    copied = reestimate_statistics(model, batches)
    first = [model[0](normalize(batch)) for batch in batches[:3]]  # the last single image is skipped
    weights = torch.tensor([0.4, 0.4, 0.2])
    torch.testing.assert_close(copied[1].running_mean, weights @ torch.stack([f.mean((0, 2, 3)) for f in first]))
    torch.testing.assert_close(copied[1].running_var, weights @ torch.stack([f.var((0, 2, 3)) for f in first]))
    assert not any(module.training for module in copied.modules())
    assert [layer.momentum for layer in batchnorm_layers(copied)] == [0.1, 0.3]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), "the network itself must not change"
    for ours, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(UserError, match="no image"):
        reestimate_statistics(model, [])
