r"""The equations of `Hamiltonian`, in place, on lists of tensors.

Letters: :math:`\theta` position, `p` momentum, `g` gradient, `h` time step, :math:`\alpha` the learnt mass: for each
tensor of a list a number (a float on the CPU, a 0-dim tensor elsewhere) or a tensor of the same shape.
"""

from typing import Any

import torch
from torch import Tensor

__all__ = ["Kinetic", "Newtonian", "Relativistic", "kick", "sums_of_squares", "update_mass"]

Mass = list[Any]  # as said above


def kick(p: list[Tensor], g: list[Tensor], h: float, keep: float = 1.0) -> None:
    r"""In place: :math:`p \leftarrow \text{keep} \cdot p - h g`."""
    if keep != 1.0:
        torch._foreach_mul_(p, keep)
    torch._foreach_add_(p, g, alpha=-h)


def update_mass(alpha: list[Tensor], p: list[Tensor], c: Mass, decay: float) -> None:
    r"""In place, per coordinate: :math:`\alpha \leftarrow \mu \alpha + (1 - \mu) (c\,p)^2`."""
    seen = torch._foreach_mul(p, c)
    torch._foreach_mul_(alpha, decay)
    torch._foreach_addcmul_(alpha, seen, seen, value=1 - decay)


def sums_of_squares(p: list[Tensor]) -> Mass:
    r""":math:`\sum p^2` of each tensor, in float32 at least; floats on the CPU."""
    half = p[0].dtype in (torch.bfloat16, torch.float16)
    norms = torch._foreach_norm(p, 2.0, dtype=torch.float32) if half else torch._foreach_norm(p, 2.0)
    if p[0].device.type == "cpu":
        return [float(norm) ** 2 for norm in norms]
    return list(torch._foreach_pow(norms, 2))


class Kinetic:
    """A kinetic energy: its value, the drift it causes, and what its mass is the moving mean square of."""

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        """Return the energy of every coordinate, without its energy at rest."""
        raise NotImplementedError

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        r"""In place: :math:`\theta \leftarrow \theta + h\,\partial K/\partial p`."""
        raise NotImplementedError

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        r"""Return the factor `c` by which the mass learns: :math:`\alpha` is a moving average of :math:`(c\,p)^2`."""
        raise NotImplementedError


class Newtonian(Kinetic):
    r""":math:`K = p^2 / 2D` with :math:`D = \alpha + \varepsilon`; the mass follows the increments, :math:`c = h/D`."""

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        return [momentum.square() / (2 * (a + eps)) for momentum, a in zip(p, alpha, strict=True)]

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        if isinstance(alpha[0], float):
            for position, momentum, a in zip(theta, p, alpha, strict=True):
                position.add_(momentum, alpha=h / (a + eps))
        else:
            torch._foreach_add_(theta, torch._foreach_div(p, [a + eps for a in alpha]), alpha=h)

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        return [h / (a + eps) for a in alpha]


class Relativistic(Kinetic):
    r""":math:`K = \sqrt{p^2 + m^2} - m` with :math:`m^2 = \alpha + \varepsilon^2`, speed of light 1.

    Speeds stay below 1 and the mass follows the momenta, :math:`c = 1`: typical coordinates move at :math:`1/\sqrt 2`,
    whatever the unit of the loss.
    """

    @staticmethod
    def energy(p: list[Tensor], alpha: Mass, eps: float) -> list[Tensor]:
        masses = [(a + eps**2) ** 0.5 for a in alpha]
        return [q.square() / ((q.square() + m**2).sqrt() + m) for q, m in zip(p, masses, strict=True)]

    @staticmethod
    def drift(theta: list[Tensor], p: list[Tensor], alpha: Mass, eps: float, h: float) -> None:
        slowness = torch._foreach_mul(p, p)
        torch._foreach_add_(slowness, [a + eps**2 for a in alpha])
        torch._foreach_rsqrt_(slowness)
        torch._foreach_addcmul_(theta, p, slowness, value=h)

    @staticmethod
    def mass_factor(alpha: Mass, eps: float, h: float) -> Mass:
        return [1.0] * len(alpha)
