"""Too large steps: clipping, and diverged images, which are reset independently and reported."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from meshtto.test_time import SGD, LowRank, PerImageCopy, Shared, Weights, adapt

BATCH, FEATURES = 4, 3
#: Steepness of each image's loss: a step of 0.1 overshoots the third image's minimum, and its loss diverges.
STEEP = torch.tensor([1.0, 0.5, 300.0, 2.0])


class Twice(nn.Module):
    """Network with a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(torch.tanh(self.layer(x)))


def loss_of(steep: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a loss that explodes with the output, as e^(−20 s) does with the camera's scale."""
    return lambda y: steep * (y.square().sum(1) + 1e-3 * (y.exp() - 1 - y).square().sum(1))


def make(kind: str, network: nn.Module, rule: SGD, second_order: bool = False) -> Weights:
    return {"low rank": LowRank, "stacked": PerImageCopy, "shared": Shared}[kind](network, rule, second_order)


def moved(weights: Weights, network: nn.Module) -> Tensor:
    """Return the distance of each image's weights from the network's."""
    own = dict(network.named_parameters())
    return torch.cat([(each - own[name]).flatten(1) for name, each in weights.per_image_parameters().items()], 1).norm(
        dim=1
    )


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
def test_clip_norm_limits_the_step_length(kind: str):
    """Compare with α c for gradients longer than c, else with α times the gradient."""
    network, x, alpha = Twice(), torch.randn(BATCH, FEATURES), 0.1
    free = make(kind, network, SGD(alpha))
    free(x)
    free.step(loss_of(STEEP)(free(x)), torch.ones(BATCH).bool())
    lengths = moved(free, network).detach() / alpha
    limit = float(lengths.median()) * (1.1 if kind != "shared" else 0.5)
    assert (lengths > limit).any()
    assert kind == "shared" or (lengths < limit).any()
    clipped = make(kind, network, SGD(alpha, limit))
    clipped.step(loss_of(STEEP)(clipped(x)), torch.ones(BATCH).bool())
    torch.testing.assert_close(moved(clipped, network), alpha * lengths.clamp(max=limit), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
@pytest.mark.parametrize("second_order", [False, True])
def test_clip_factor_handles_overflow_and_zero(kind: str, second_order: bool):
    """Check gradients of 1e25, whose squares overflow single precision, and gradients of 0."""
    for steep in (1e25, 0.0):
        network, x = Twice(), torch.randn(BATCH, FEATURES)
        weights = make(kind, network, SGD(0.5, 2.0), second_order)
        weights.step(loss_of(torch.full((BATCH,), steep))(weights(x)), torch.ones(BATCH).bool())
        torch.testing.assert_close(moved(weights, network), torch.full((BATCH,), 1.0 if steep else 0.0))
        weights(x).sum().backward()
        if steep == 0 or not second_order:  # the curvature overflows, too
            assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
@pytest.mark.parametrize("second_order", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_diverged_images_are_reset_without_affecting_others(kind: str, second_order: bool, steps: int):
    """Compare outputs and training gradients with those of a batch without its steps."""
    network, x = Twice(), torch.randn(BATCH, FEATURES)
    others = [0, 1, 3]

    def gradients(output: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad((output - 1).square().sum(), list(network.parameters()), retain_graph=True))

    shown: list[Tensor] = []
    found = adapt(
        make(kind, network, SGD(0.1), second_order), (x,), loss_of(STEEP), steps, watch=lambda k, y: shown.append(y)
    )
    assert found.diverged.tolist() == [False, False, True, False]
    torch.testing.assert_close(found.output[2], network(x)[2])
    assert all(y.isfinite().all() for y in shown)
    alone = adapt(make(kind, network, SGD(0.1), second_order), (x[others],), loss_of(STEEP[others]), steps)
    assert not alone.diverged.any()
    torch.testing.assert_close(found.output[others], alone.output)
    assert (alone.output - network(x[others])).abs().max() > 1e-2
    expected = [a + b for a, b in zip(gradients(alone.output), gradients(network(x[2:3])), strict=True)]
    for mine, reference in zip(gradients(found.output), expected, strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
def test_clip_norm_prevents_divergence(kind: str):
    """Check that the loss of the same image falls with steps of bounded length."""
    network, x = Twice(), torch.randn(BATCH, FEATURES)
    found = adapt(make(kind, network, SGD(0.1, 0.5)), (x,), loss_of(STEEP), 6)
    assert not found.diverged.any()
    assert (found.losses[-1] < found.losses[0]).all()


def test_shared_resets_all_images_together():
    network, x = Twice(), torch.randn(BATCH, FEATURES)
    found = adapt(Shared(network, SGD(0.1)), (x,), loss_of(STEEP), 6)
    assert found.diverged.all()
    torch.testing.assert_close(found.output, network(x))
    # The loss of a single image may grow: the other images dominate.
    calm = adapt(Shared(network, SGD(0.1)), (x,), loss_of(torch.tensor([1.0, 1.0, 1e-6, 1.0])), 2)
    assert not calm.diverged.any()


def test_images_without_initial_loss_do_not_diverge():
    network, x = Twice(), torch.randn(BATCH, FEATURES)
    steep = STEEP.clone()
    steep[2] = float("nan")
    for kind in ("low rank", "stacked"):
        found = adapt(make(kind, network, SGD(0.1)), (x,), loss_of(steep), 2)
        assert not found.diverged.any()
        assert found.steps.tolist() == [2, 2, 0, 2]
        torch.testing.assert_close(found.output[2], network(x)[2])
    shared = adapt(Shared(network, SGD(0.1)), (x,), loss_of(steep), 2)  # its gradient is that of all images
    assert shared.diverged.tolist() == [True, True, False, True]
    torch.testing.assert_close(shared.output, network(x))


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_update_rules_reject_invalid_clip_norms(limit: float):
    with pytest.raises(ValueError, match="clip_norm is"):
        SGD(1e-3, limit)
