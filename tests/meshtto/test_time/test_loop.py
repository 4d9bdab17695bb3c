"""Stopping before an unneeded step, or with `stop_after_step` after it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from meshtto.test_time import SGD, LowRank, PerImageCopy, Shared, Weights, adapt

GOALS = torch.tensor([[1.0], [2.0], [10.0]])  # at the minimum; near; far
X = torch.ones(3, 1)


def line() -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    return network


def make(kind: str, network: nn.Module, rule: SGD) -> Weights:
    return {"low rank": LowRank, "stacked": PerImageCopy, "shared": Shared}[kind](network, rule)


def squares(y: Tensor) -> Tensor:
    return (y - GOALS).square()[:, 0]


def plain_loop(goals: Tensor, rate: float, steps: int, tolerance: float) -> tuple[float, int]:
    """Run the reference code's loop: loss, step, then the check of the change of the loss; with one weight."""
    weight, previous, step = torch.ones(1), None, 0
    while step < steps:
        step += 1
        errors = weight - goals[:, 0]
        loss = float(errors.square().mean())
        weight = weight - rate * 2 * errors.mean()
        if previous is not None and abs(previous - loss) < tolerance:
            break
        previous = loss
    return float(weight), step


@pytest.mark.parametrize("tolerance", [1e-3, 0.1, 5.0])
def test_stop_after_step_shared_equals_reference_code(tolerance: float):
    found = adapt(Shared(line(), SGD(0.1)), (X,), squares, 30, tolerance, stop_after_step=True)
    weight, steps = plain_loop(GOALS, 0.1, 30, tolerance)
    assert 1 < steps < 30
    assert found.steps.tolist() == [steps] * 3
    torch.testing.assert_close(found.output, torch.full((3, 1), weight))
    before = adapt(Shared(line(), SGD(0.1)), (X,), squares, 30, tolerance)
    assert before.steps.tolist() == [steps - 1] * 3
    torch.testing.assert_close(before.losses, found.losses)


@pytest.mark.parametrize("kind", ["low rank", "stacked"])
def test_stop_after_step_adds_one_step_per_image(kind: str):
    before, after = (
        adapt(make(kind, line(), SGD(0.1)), (X,), squares, 50, 1e-3, stop_after_step=late) for late in (False, True)
    )
    assert after.steps.tolist() == [steps + 1 for steps in before.steps.tolist()]
    for j in range(3):
        weight, steps = plain_loop(GOALS[j : j + 1], 0.1, 50, 1e-3)
        assert after.steps[j] == steps
        assert float(after.output[j].detach()) == pytest.approx(weight)


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
def test_stop_after_step_watch_sees_every_step(kind: str):
    seen: list[tuple[int, Tensor]] = []
    weights = make(kind, line(), SGD(1e-9))
    found = adapt(weights, (X,), squares, 6, 1.0, lambda k, y: seen.append((k, y)), stop_after_step=True)
    assert [k for k, _ in seen] == list(range(7))
    assert found.steps.tolist() == [2, 2, 2]
    torch.testing.assert_close(seen[-1][1], found.output)


def test_stop_after_step_takes_at_least_one_step():
    enough: Any = lambda y: squares(y).detach() < 2.0  # noqa: E731
    found = adapt(LowRank(line(), SGD(0.1)), (X,), squares, 5, enough=enough, stop_after_step=True)
    assert found.steps[:2].tolist() == [1, 1]
    assert found.steps[2] > 1


def test_stop_after_step_undoes_a_diverged_last_step():
    """Check the last step, too."""
    steep = torch.tensor([[1.0]])
    found = adapt(
        LowRank(line(), SGD(10.0)),
        (steep,),
        lambda y: (y - 2).square()[:, 0],
        9,
        enough=lambda y: torch.ones(1) > 0,
        stop_after_step=True,
    )
    assert found.diverged.tolist() == [True]
    assert found.steps.tolist() == [1]
    torch.testing.assert_close(found.output, torch.ones(1, 1))


@pytest.mark.parametrize("kind", ["low rank", "stacked", "shared"])
@pytest.mark.parametrize("late", [False, True])
def test_keep_graph_does_not_change_the_output(kind: str, late: bool):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    for steps in (0, 1, 4):
        kept, free = (
            adapt(make(kind, network, SGD(0.05)), (X,), squares, steps, 1e-4, stop_after_step=late, keep_graph=keep)
            for keep in (True, False)
        )
        torch.testing.assert_close(free.output, kept.output)
        assert free.steps.tolist() == kept.steps.tolist()
        assert kept.output.requires_grad
        assert not free.output.requires_grad
