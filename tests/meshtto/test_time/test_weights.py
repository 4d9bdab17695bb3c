"""The inner step, compared with a loop over images: copy the weights, take the gradient, subtract it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from meshtto.test_time import (
    SGD,
    Adam,
    LowRank,
    PerImageCopy,
    Phase,
    Shared,
    SplitLinear,
    UpdateRule,
    Weights,
    adapt,
    make_weights,
)

BATCH, FEATURES, OUT = 4, 6, 5


class Feedback(nn.Module):
    """Head that uses its layers several times, like that of HMR, with and without biases."""

    def __init__(self, iterations: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.iterations = iterations
        self.fc1 = nn.Linear(FEATURES + OUT, 8)
        self.drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(8, 8, bias=False)
        self.out = nn.Linear(8, OUT)
        self.idle = nn.Linear(3, 3)  # never used

    def forward(self, x: Tensor) -> Tensor:
        y = x.new_zeros(len(x), OUT)
        for _ in range(self.iterations):
            y = y + self.out(torch.tanh(self.fc2(self.drop(self.fc1(torch.cat([x, y], 1))))))
        return y


class Held(nn.Module):
    """Split head: the constant part of the first layer is computed once; two decoders have the same input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = SplitLinear(FEATURES + OUT, 8)
        self.fc2 = nn.Linear(8, 8)
        self.out, self.also = nn.Linear(8, OUT), nn.Linear(8, OUT, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(*self.begin(x))

    def begin(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.tanh(), self.fc1.fixed_part(x.tanh())

    def finish(self, x: Tensor, of_x: Tensor) -> Tensor:
        y = x.new_zeros(len(x), OUT)
        for _ in range(3):
            hidden = torch.tanh(self.fc2(self.fc1(x, y, of_x)))
            y = y + self.out(hidden) + self.also(hidden).sin()
        return y


class Whole(nn.Module):
    """Small convolutional network with BatchNorm before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, FEATURES, 3)
        self.norm = nn.BatchNorm2d(FEATURES)
        self.head = Feedback()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(images)).relu().mean((2, 3)))


def loss_to(pseudo: Tensor) -> Callable[[Tensor], Tensor]:
    """Return one positive, non-quadratic value per image."""
    return lambda y: (y - pseudo).square().sum(1) + (1 + (y * pseudo).sin()).sum(1)


def reference_loop(
    network: nn.Module, x: Tensor, pseudo: Tensor, rule: UpdateRule, steps: int, second_order: bool
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Adapt image by image, with torch's Adam if no derivative is needed."""
    outputs, ends = [], []
    for j in range(len(x)):
        weights = {k: p if second_order else p + 0 for k, p in network.named_parameters()}
        optimizer: Any = None
        if isinstance(rule, Adam):
            weights = {k: p.detach().clone().requires_grad_() for k, p in weights.items()}
            optimizer = torch.optim.Adam(weights.values(), lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.eps)
        for _ in range(steps):
            y = functional_call(network, weights, (x[j : j + 1],))
            loss = loss_to(pseudo[j : j + 1])(y).sum()
            found = torch.autograd.grad(loss, list(weights.values()), create_graph=second_order, allow_unused=True)
            gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(found, weights.values(), strict=True)]
            if rule.clip_norm is not None:  # like torch.nn.utils.clip_grad_norm_, but differentiable
                norm = torch.cat([g.flatten() for g in gradients]).norm()
                gradients = [g * (rule.clip_norm / norm).clamp(max=1) for g in gradients]
            if optimizer is None:
                weights = {k: p - rule.lr * g for (k, p), g in zip(weights.items(), gradients, strict=True)}
            else:
                for p, g in zip(weights.values(), gradients, strict=True):
                    p.grad = g
                optimizer.step()
        outputs.append(functional_call(network, weights, (x[j : j + 1],)))
        ends.append(weights)
    return torch.cat(outputs), ends


def make(kind: str, network: nn.Module, rule: UpdateRule, second_order: bool = False) -> Weights:
    if kind == "low rank":
        assert isinstance(rule, SGD)
        return LowRank(network, rule, second_order)
    return PerImageCopy(network, rule, second_order)


def outer(y: Tensor) -> Tensor:
    """Return a training loss."""
    return (y - torch.linspace(-1, 1, OUT, dtype=y.dtype)).square().sum()


#: Between the gradient norms of `test_adapt_equals_a_loop_over_images`.
CLIP = 15.0


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("kind", ["low rank", "stacked"])
@pytest.mark.parametrize("clip_norm", [None, CLIP], ids=["free", "clipped"])
@pytest.mark.parametrize("head", [Feedback, Held])
@pytest.mark.parametrize(
    ("second_order", "dtype", "tolerance"),
    [(False, torch.float32, 1e-5), (True, torch.float64, 1e-10)],
    ids=["first order", "second order"],
)
def test_adapt_equals_a_loop_over_images(
    steps: int,
    kind: str,
    head: type[nn.Module],
    clip_norm: float | None,
    second_order: bool,
    dtype: torch.dtype,
    tolerance: float,
):
    network = head().to(dtype)
    x = torch.randn(BATCH, FEATURES, dtype=dtype, requires_grad=True)
    pseudo = torch.randn(BATCH, OUT, dtype=dtype, requires_grad=True)
    rule = SGD(0.02, clip_norm)
    wanted = [*network.parameters(), x, pseudo]

    expected, _ = reference_loop(network, x, pseudo, rule, steps, second_order)
    theirs = torch.autograd.grad(outer(expected), wanted, allow_unused=True)
    found = adapt(make(kind, network, rule, second_order), (x,), loss_to(pseudo), steps).output
    ours = torch.autograd.grad(outer(found), wanted, allow_unused=True)

    assert (found - network(x)).abs().max() > 1e-2  # the steps have an effect
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    # Only second order reaches the pseudo-labels.
    assert (theirs[-1] is not None and bool(theirs[-1].abs().min() > 1e-4)) == second_order
    for mine, reference in zip(ours, theirs, strict=True):
        assert (mine is None or not mine.any()) == (reference is None or not reference.any())
        if reference is not None and mine is not None:
            torch.testing.assert_close(mine, reference, atol=tolerance * 10, rtol=tolerance)


def test_adapt_second_order_differs_from_first_order():
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    gradients = []
    for second_order in (False, True):
        y = adapt(LowRank(network, SGD(0.05), second_order), (x,), loss_to(pseudo), 1).output
        gradients.append(torch.autograd.grad(outer(y), network.fc1.weight)[0])
    assert (gradients[0] - gradients[1]).abs().max() > 1e-2


def test_adam_equals_torch_for_each_image():
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    expected, ends = reference_loop(network, x, pseudo, Adam(0.01), 5, second_order=False)
    weights = PerImageCopy(network, Adam(0.01))
    found = adapt(weights, (x,), loss_to(pseudo), 5)
    torch.testing.assert_close(found.output, expected, atol=1e-5, rtol=1e-5)
    for name, each in weights.per_image_parameters().items():
        torch.testing.assert_close(each, torch.stack([end[name] for end in ends]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["stacked", "shared"])
@pytest.mark.parametrize("steps", [1, 3])
def test_adam_has_second_derivatives(kind: str, steps: int):
    """Compare with central differences for dead units, whose gradients of exactly 0 have no derivative of the root."""
    network = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, OUT)).double()
    x, pseudo = torch.randn(BATCH, FEATURES).double(), torch.randn(BATCH, OUT).double()
    with torch.no_grad():
        network[0].bias[:3] = -100

    def after() -> Tensor:
        weights = {"stacked": PerImageCopy, "shared": Shared}[kind](network, Adam(0.01, eps=1e-3), True)
        return outer(adapt(weights, (x,), loss_to(pseudo), steps).output)

    ways = [torch.randn_like(p) for p in network.parameters()]
    found = sum(
        (g * way).sum() for g, way in zip(torch.autograd.grad(after(), network.parameters()), ways, strict=True)
    )
    ends = []
    for h in (1e-6, -2e-6):
        with torch.no_grad():
            for p, way in zip(network.parameters(), ways, strict=True):
                p += h * way
        ends.append(after())
    torch.testing.assert_close(found, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [SGD(0.05), Adam(0.01)], ids=["SGD", "Adam"])
def test_adapt_whole_network_equals_a_loop_over_images(rule: UpdateRule):
    network = Whole().eval()
    network.norm.running_mean.normal_()
    x, pseudo = torch.randn(BATCH, 3, 8, 8), torch.randn(BATCH, OUT)
    expected, _ = reference_loop(network, x, pseudo, rule, 3, second_order=False)
    found = adapt(PerImageCopy(network, rule), (x,), loss_to(pseudo), 3).output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
@pytest.mark.parametrize("head", [Feedback, Held])
def test_per_image_parameters_equal_a_loop_over_images(kind: str, head: type[nn.Module]):
    network, x, pseudo = head(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    _, ends = reference_loop(network, x, pseudo, SGD(0.05), 3, second_order=False)
    weights = make(kind, network, SGD(0.05))
    adapt(weights, (x,), loss_to(pseudo), 3)
    found = weights.per_image_parameters()
    for name in found:
        torch.testing.assert_close(found[name], torch.stack([end[name] for end in ends]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
def test_adapt_with_zero_steps_is_the_identity(kind: str):
    network, x = Feedback(), torch.randn(BATCH, FEATURES)
    weights = Shared(network, SGD(1.0)) if kind == "shared" else make(kind, network, SGD(1.0))
    found = adapt(weights, (x,), loss_to(torch.randn(BATCH, OUT)), 0)
    torch.testing.assert_close(found.output, network(x))
    assert found.losses.shape == (0, BATCH)
    assert not found.steps.any()


@pytest.mark.parametrize("rule", [SGD(0.02), Adam(0.01)], ids=["SGD", "Adam"])
@pytest.mark.parametrize("scope", ["head", "all"])
def test_adapt_batch_equals_single_images(rule: UpdateRule, scope: str):
    network = Feedback().eval() if scope == "head" else Whole().eval()
    x = torch.randn(BATCH, FEATURES) if scope == "head" else torch.randn(BATCH, 3, 8, 8)
    pseudo = torch.randn(BATCH, OUT)
    phase = Phase(4, rule, scope)
    free = adapt(make_weights(phase, network), (x,), loss_to(pseudo), 4)
    tolerance = 1.01 * float(free.losses.diff(dim=0).abs().median())  # not equal to any of them
    together = adapt(make_weights(phase, network), (x,), loss_to(pseudo), 4, tolerance)
    assert together.steps.unique().numel() > 1, "some should stop early for this to say something"
    for j in range(BATCH):
        one = slice(j, j + 1)
        alone = adapt(make_weights(phase, network), (x[one],), loss_to(pseudo[one]), 4, tolerance)
        torch.testing.assert_close(together.output[one], alone.output, atol=1e-5, rtol=1e-5)
        assert together.steps[j] == alone.steps[0]


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
def test_adapt_images_are_independent(kind: str):
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    before = adapt(make(kind, network, SGD(0.05)), (x,), loss_to(pseudo), 3).output
    x[2], pseudo[2] = 1e3, float("nan")
    after = adapt(make(kind, network, SGD(0.05)), (x,), loss_to(pseudo), 3)
    others = [0, 1, 3]
    torch.testing.assert_close(after.output[others], before[others])
    assert after.steps.tolist() == [3, 3, 0, 3]
    torch.testing.assert_close(after.output[2], network(x)[2])  # an image without a finite loss does not change


def test_shared_steps_on_the_mean_loss():
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    moved = copy.deepcopy(network)
    optimizer = torch.optim.SGD(moved.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_to(pseudo)(moved(x)).mean().backward()
        optimizer.step()
    found = adapt(Shared(network, SGD(0.1)), (x,), loss_to(pseudo), 2).output
    torch.testing.assert_close(found, moved(x))
    each = adapt(LowRank(network, SGD(0.1)), (x,), loss_to(pseudo), 2).output
    assert (each - found).abs().max() > 1e-2


def test_shared_stops_all_images_together():
    """Check stopping by the mean loss, as in the reference code: all images take the same steps."""
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    free = adapt(Shared(network, SGD(0.02)), (x,), loss_to(pseudo), 6)
    changes = free.losses.mean(1).diff().abs()
    tolerance = float(changes[2]) * 1.001
    assert (changes[:2] > tolerance).all(), "the third step's change should be the first below"
    assert (free.losses.diff(dim=0).abs()[:3] < tolerance).any(), "some image alone would have stopped before"
    found = adapt(Shared(network, SGD(0.02)), (x,), loss_to(pseudo), 6, tolerance)
    assert found.steps.tolist() == [3] * BATCH
    torch.testing.assert_close(found.losses, free.losses[:4])
    near = loss_to(pseudo)(network(x)).detach().median() * 1.001
    part = adapt(
        Shared(network, SGD(1e-9)), (x,), loss_to(pseudo), 2, enough=lambda y: loss_to(pseudo)(y).detach() < near
    )
    assert part.steps.tolist() == [2] * BATCH  # some need a step, so all take it
    none = adapt(Shared(network, SGD(0.1)), (x,), loss_to(pseudo), 2, enough=lambda y: torch.ones(BATCH).bool())
    assert none.steps.tolist() == [0] * BATCH


def test_per_image_weights_stop_independently():
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    pseudo = torch.tensor([[1.0], [2.0], [10.0]])  # at its goal; near; far
    found = adapt(
        LowRank(network, SGD(0.1)), (torch.ones(3, 1),), lambda y: (y - pseudo).square()[:, 0], 50, tolerance=1e-3
    )
    # The error shrinks by 0.8 a step, so the loss after k steps changes by 0.36 · 0.64^(k−1) of what it was at first.
    expected = [1, *(next(k for k in range(1, 50) if 0.36 * 0.64 ** (k - 1) * e < 1e-3) for e in (1.0, 81.0))]
    assert found.steps.tolist() == expected
    assert len(found.losses) == max(expected) + 1


def test_watch_sees_every_step():
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    seen: list[tuple[int, Tensor]] = []
    result = adapt(LowRank(network, SGD(1e-9)), (x,), loss_to(pseudo), 6, 1.0, lambda k, y: seen.append((k, y)))
    assert [k for k, _ in seen] == list(range(7))  # although all stop after the first step
    torch.testing.assert_close(seen[-1][1], result.output)


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
def test_adapt_does_not_modify_weights_inputs_or_modes(kind: str):
    network = Feedback(dropout=0.5) if kind == "low rank" else Whole()
    network.train()
    x = torch.randn(BATCH, FEATURES) if kind == "low rank" else torch.randn(BATCH, 3, 8, 8)
    state, kept = copy.deepcopy(network.state_dict()), x.clone()
    weights = Shared(network, SGD(0.1)) if kind == "shared" else make(kind, network, SGD(0.1))
    adapt(weights, (x,), loss_to(torch.randn(BATCH, OUT)), 2)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert torch.equal(x, kept)
    assert all(module.training for module in network.modules())
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_low_rank_removes_hooks_on_errors():
    network = Feedback()
    with pytest.raises(RuntimeError):
        LowRank(network, SGD(0.1))(torch.randn(BATCH, FEATURES + 1))
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
def test_adapt_supports_frozen_networks(kind: str):
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    expected = adapt(make(kind, network, SGD(0.05)), (x,), loss_to(pseudo), 3).output
    network.requires_grad_(False)
    found = adapt(make(kind, network, SGD(0.05)), (x,), loss_to(pseudo), 3).output
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["stacked", "shared"])
def test_batchnorm_uses_running_statistics_in_training(kind: str):
    network = Whole()
    network.norm.running_mean.normal_()
    x, pseudo = torch.randn(BATCH, 3, 8, 8), torch.randn(BATCH, OUT)

    def run() -> Tensor:
        weights = Shared(network, SGD(0.05)) if kind == "shared" else PerImageCopy(network, SGD(0.05))
        return adapt(weights, (x,), loss_to(pseudo), 2).output

    training = run()
    network.eval()
    torch.testing.assert_close(training, run())


def test_dropout_is_drawn_per_image_and_pass():
    network = Feedback(dropout=0.5).train()
    x = torch.randn(1, FEATURES).expand(BATCH, -1)
    for weights in (LowRank(network, SGD(0.1)), PerImageCopy(network, SGD(0.1))):
        first, second = weights(x), weights(x)
        assert (first[0] - first[1]).abs().max() > 1e-3
        assert (first - second).abs().max() > 1e-3


def test_split_linear_equals_linear():
    layer, x, y = SplitLinear(7, 3), torch.randn(4, 5), torch.randn(4, 2)
    torch.testing.assert_close(
        layer(x, y, layer.fixed_part(x)), nn.functional.linear(torch.cat([x, y], 1), layer.weight, layer.bias)
    )
    weights = LowRank(Held(), SGD(0.1))
    weights(torch.randn(BATCH, FEATURES))
    with pytest.raises(ValueError, match="inputs must be the same tensors"):
        weights(torch.randn(BATCH, FEATURES))


def test_low_rank_rejects_nonlinear_parameters():
    with pytest.raises(ValueError, match="must be a parameter of a linear layer"):
        LowRank(Whole(), SGD(0.1))


def test_phases_continue_from_earlier_weights():
    network, x, pseudo = Feedback(), torch.randn(BATCH, FEATURES), torch.randn(BATCH, OUT)
    whole = adapt(LowRank(network, SGD(0.02)), (x,), loss_to(pseudo), 5).output
    first = LowRank(network, SGD(0.02))
    adapt(first, (x,), loss_to(pseudo), 2)
    rest = make_weights(Phase(3, SGD(0.02)), network, start=first.per_image_parameters())
    torch.testing.assert_close(adapt(rest, (x,), loss_to(pseudo), 3).output, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_update_rules_reject_invalid_learning_rates(lr: float):
    for rule in (SGD, Adam):
        with pytest.raises(ValueError, match="lr is"):
            rule(lr)
