"""Masses as floats, 0-dim tensors (as on an accelerator) and tensors give the same motion."""

import pytest
import torch
from torch import nn

from hamipose.optim import Hamiltonian, hamiltonian
from hamipose.optim.mechanics import Newtonian, Relativistic, sums_of_squares


@pytest.mark.parametrize("kinetic", [Newtonian, Relativistic])
def test_velocity_is_the_derivative_of_the_energy(kinetic):
    p = torch.randn(20, dtype=torch.float64, requires_grad=True)
    for alpha in (0.3, torch.tensor(0.3, dtype=torch.float64), torch.rand(20, dtype=torch.float64)):
        (energy,) = kinetic.energy([p], [alpha], 1e-3)
        (expected,) = torch.autograd.grad(energy.sum(), p)
        theta = torch.zeros(20, dtype=torch.float64)
        kinetic.drift([theta], [p.detach()], [alpha], 1e-3, 0.5)
        torch.testing.assert_close(theta, 0.5 * expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mass", ["group", "tensor"])
@pytest.mark.parametrize("kinetic", ["newtonian", "relativistic"])
def test_tensor_masses_of_accelerators_equal_float_masses_of_the_cpu(mass, kinetic, monkeypatch):
    """On accelerators, scalar masses are tensors, so that no step waits for the device."""
    gradients = [[torch.randn(3, 4), torch.randn(5)] for _ in range(4)]

    def positions():
        tensors = [nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(5))]
        optimizer = Hamiltonian(tensors, lr=0.1, friction=0.1, mass=mass, kinetic=kinetic, foreach=True)
        for gs in gradients:
            for tensor, g in zip(tensors, gs, strict=True):
                tensor.grad = g.clone()
            optimizer.step()
        return [tensor.detach() for tensor in tensors]

    expected = positions()

    def scalars(group, owner):
        return [group["alpha"][i if group["mass"] == "tensor" else 0] for i in owner]

    monkeypatch.setattr(hamiltonian, "_scalar_masses", scalars)
    monkeypatch.setattr(hamiltonian, "sums_of_squares", lambda p: [q.square().sum() for q in p])
    for a, b in zip(positions(), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_squares_of_half_precision_are_summed_in_single():
    p = torch.full((100_000,), 0.1, dtype=torch.bfloat16)
    (total,) = sums_of_squares([p])
    assert total == pytest.approx(100_000 * p[0].item() ** 2, rel=1e-3)
