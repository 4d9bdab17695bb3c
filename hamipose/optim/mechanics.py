r"""Equations of `Hamiltonian`, in place, on lists of tensors.

Letters: :math:`\theta` position, `p` momentum, `g` gradient, `h` time step, :math:`\alpha` the learned mass: for each
tensor of a list a number (a float on the CPU, a 0-dim tensor elsewhere) or a tensor of the same shape.
"""

from typing import Any

import torch
from torch import Tensor

__all__ = ["Kinetic", "Newtonian", "Relativistic", "kick", "sums_of_squares", "update_mass"]

Mass = list[Any]  # see above


def kick(p: list[Tensor], g: list[Tensor], h: float, keep: float = 1.0) -> None:
    r"""Apply :math:`p \leftarrow \text{keep} \cdot p - h g` in place."""
    if keep != 1.0:
        torch._foreach_mul_(p, keep)
    torch._foreach_add_(p, g, alpha=-h)


def update_mass(alpha: list[Tensor], p: list[Tensor], c: Mass, decay: float) -> None:
    r"""Apply, in place and per coordinate, :math:`\alpha \leftarrow \mu \alpha + (1 - \mu) (c\,p)^2`."""
    observed = torch._foreach_mul(p, c)
    torch._foreach_mul_(alpha, decay)
    torch._foreach_addcmul_(alpha, observed, observed, value=1 - decay)


def sums_of_squares(p: list[Tensor]) -> Mass:
    r"""Return :math:`\sum p^2` of each tensor, in at least float32; floats on the CPU."""
    half = p[0].dtype in (torch.bfloat16, torch.float16)
    norms = torch._foreach_norm(p, 2.0, dtype=torch.float32) if half else torch._foreach_norm(p, 2.0)
    if p[0].device.type == "cpu":
        return [float(norm) ** 2 for norm in norms]
    return list(torch._foreach_pow(norms, 2))


class Kinetic:
    """Base class of kinetic energies: the energy, the drift, and the factor of the mass update."""

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        """Return the energy of every coordinate, without the energy at rest."""
        raise NotImplementedError

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        r"""Apply :math:`\theta \leftarrow \theta + h\,\partial K/\partial p` in place."""
        raise NotImplementedError

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        r"""Return the factor `c` of the mass update: :math:`\alpha` is a moving average of :math:`(c\,p)^2`."""
        raise NotImplementedError


class Newtonian(Kinetic):
    r"""Kinetic energy :math:`K = p^2 / 2D`, :math:`D = \alpha + \varepsilon`; mass from increments, :math:`c = h/D`."""

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        """Return :math:`p^2 / 2D`."""
        return [momentum.square() / (2 * (a + eps)) for momentum, a in zip(p, alpha, strict=True)]

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        r"""Apply :math:`\theta \leftarrow \theta + h\,p/D` in place."""
        if isinstance(alpha[0], float):
            for position, momentum, a in zip(theta, p, alpha, strict=True):
                position.add_(momentum, alpha=h / (a + eps))
        else:
            torch._foreach_add_(theta, torch._foreach_div(p, [a + eps for a in alpha]), alpha=h)

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        """Return :math:`h/D`."""
        return [h / (a + eps) for a in alpha]


class Relativistic(Kinetic):
    r"""Kinetic energy :math:`K = \sqrt{p^2 + m^2} - m` with :math:`m^2 = \alpha + \varepsilon^2`, speed of light 1.

    Speeds are below 1, and the mass is learned from the momenta, :math:`c = 1`: typical coordinates move with speed
    :math:`1/\sqrt 2`, independent of the unit of the loss.
    """

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        r"""Return :math:`\sqrt{p^2 + m^2} - m`."""
        masses = [(a + eps**2) ** 0.5 for a in alpha]
        return [q.square() / ((q.square() + m**2).sqrt() + m) for q, m in zip(p, masses, strict=True)]

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        r"""Apply :math:`\theta \leftarrow \theta + h\,p / \sqrt{p^2 + m^2}` in place."""
        inverse_energy = torch._foreach_mul(p, p)
        torch._foreach_add_(inverse_energy, [a + eps**2 for a in alpha])
        torch._foreach_rsqrt_(inverse_energy)
        torch._foreach_addcmul_(theta, p, inverse_energy, value=h)

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        """Return 1."""
        return [1.0] * len(alpha)
