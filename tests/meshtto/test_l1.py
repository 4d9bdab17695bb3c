"""Mean absolute difference against its definition, differentiated by autograd."""

import pytest
import torch
from torch import Tensor

from meshtto.l1 import mean_absolute_difference


def definition(p: Tensor, t: Tensor) -> Tensor:
    return (p - t).abs().flatten(1).mean(1)


@pytest.mark.parametrize("transposed", [False, True])
def test_l1_equals_the_definition_to_second_derivative(transposed: bool):
    p, t = (torch.randn(3, 7, 5, dtype=torch.float64) for _ in range(2))
    if transposed:
        p, t = p.mT, t.mT
    p, t, share = p.requires_grad_(), t.requires_grad_(), torch.rand(3, dtype=torch.float64, requires_grad=True)
    outcomes = []
    for distance in (mean_absolute_difference, definition):
        value = distance(p.sin(), t.cos())
        first = torch.autograd.grad((share * value.square()).sum(), (p, t, share), create_graph=True)
        second = torch.autograd.grad(sum(g.sin().sum() for g in first), (p, t, share))
        outcomes.append((value, *first, *second))
    for mine, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_l1_passes_gradcheck():
    p, t = (torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.autograd.gradcheck(mean_absolute_difference, (p, t))
    torch.autograd.gradgradcheck(mean_absolute_difference, (p, t))


def test_l1_gradient_is_zero_at_equality():
    p = torch.randn(2, 3, 3, requires_grad=True)
    t = p.detach().clone()
    t[1, 0, 0] += 1
    value = mean_absolute_difference(p, t).sum()
    expected = torch.zeros(2, 3, 3)
    expected[1, 0, 0] = -1 / 9
    for _ in range(2):
        torch.testing.assert_close(torch.autograd.grad(value, p, retain_graph=True)[0], expected)


def test_l1_handles_empty_inputs():
    assert mean_absolute_difference(torch.zeros(0, 4, 3), torch.zeros(0, 4, 3)).shape == (0,)
    p = torch.zeros(0, 4, 3, requires_grad=True)
    assert torch.autograd.grad(mean_absolute_difference(p, p.detach()).sum(), p)[0].shape == (0, 4, 3)
