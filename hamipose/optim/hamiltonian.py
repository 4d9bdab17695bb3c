r"""Optimization as motion: parameters are positions, gradients are forces, a learned mass sets the scale.

Letters as in HamiPose (CVPR 2026, eq. 15-20): :math:`\theta` parameters, `p` momenta, `g` gradient, `h` the time step
(`lr`, the paper's ϵ), :math:`D = (\alpha + \varepsilon) I` the mass, :math:`\mu` the decay of :math:`\alpha`.
docs/optimizer.md describes the effect of each option on a real network.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from hamipose.optim.blocks import Block, make_block, split_into_blocks
from hamipose.optim.mechanics import Kinetic, Mass, Newtonian, Relativistic, kick, sums_of_squares, update_mass

__all__ = ["Hamiltonian"]

_KINETIC: dict[str, type[Kinetic]] = {"newtonian": Newtonian, "relativistic": Relativistic}
_CHOICES = {
    "mass": ("group", "tensor", "diagonal"),
    "kinetic": tuple(_KINETIC),
    "kicks": ("printed", "leapfrog"),
}


class Hamiltonian(Optimizer):
    r"""Optimizer that moves the parameters as a mechanical system whose potential energy is the loss.

    With the defaults and `friction=0`, a step is the paper's equation as printed (eq. 20; Algorithm 1, lines 11-15):

    .. math::
        p \leftarrow e^{-\text{friction}} p,\quad
        p \leftarrow p - \tfrac{h}{2} g,\quad
        \Delta\theta = h\,v(p),\quad \theta \leftarrow \theta + \Delta\theta,\quad
        p \leftarrow p - \tfrac{h}{2} g,

    with the velocity :math:`v(p) = \partial K/\partial p` of the kinetic energy `K`; at the end of the step:

    - "newtonian", as printed: :math:`K = p^2/2D,\; v = p/D,\; D = \alpha + \varepsilon`, and :math:`\alpha \leftarrow
      \mu\alpha + (1-\mu)\,\overline{\Delta\theta^2}`;
    - "relativistic": :math:`K = \sqrt{p^2 + m^2},\; v = p/\sqrt{p^2 + m^2},\; m^2 = \alpha + \varepsilon^2`, and
      :math:`\alpha \leftarrow \mu\alpha + (1-\mu)\,\overline{p^2}`. The speed of light is 1: no coordinate moves more
      than `lr` in a step, whatever the gradient, and a factor of the loss has no effect. The Newtonian energy is its
      limit at small momenta.

    `kicks="printed"` uses one gradient for both kicks, although the second one acts after the drift. It has order 1 and
    *expands* phase space (in a well of curvature k by :math:`1 + h^2k/2D` per step): without friction it diverges.
    `kicks="leapfrog"` has the same kicks and drift, but the second kick uses the next gradient, the one at the new
    position: a call does second kick, friction, first kick, drift. It has order 2, still needs one gradient per step,
    and is conformally symplectic: with constant mass, volumes shrink by exactly :math:`e^{-\text{friction}}` per step
    and pair of coordinates. With Newtonian energy and constant mass it is SGD with momentum
    :math:`e^{-\text{friction}}` and learning rate :math:`h^2(1 + e^{-\text{friction}})/2D`.

    Memory: one tensor of the parameter's size and dtype (`momentum`); with `mass="diagonal"` a second (`alpha`). The
    scalar masses are in the parameter groups, in float64. Not supported: `capturable`, `differentiable`, `fused`.

    Args:
        params: parameters, named parameters or parameter groups.
        lr: time step `h`.
        friction: a step keeps the fraction :math:`e^{-\text{friction}}` of the momentum. With 0, as printed in the
            paper, the optimizer does not converge.
        mass: one mass per parameter "group" (printed), per "tensor", or per coordinate ("diagonal").
        initial_mass: :math:`\alpha_0`, 1 as printed. With 0 a relativistic system starts at the speed limit.
        mass_decay: :math:`\mu`. 1 keeps the mass constant.
        eps: :math:`\varepsilon`, keeps the mass above 0; a momentum if `kinetic` is "relativistic".
        kinetic: "newtonian" (printed) or "relativistic".
        kicks: "printed" or "leapfrog".
        weight_decay: decoupled, as in AdamW: :math:`\theta \leftarrow (1 - h w)\,\theta` before the step.
        maximize: maximize instead of minimize.
        foreach: True: whole lists of tensors at once; False: one tensor at a time; None: lists on an accelerator,
            pieces that fit the cache on a CPU.

    Raises:
        ValueError: an option is outside its range.

    Example:
        >>> theta = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = Hamiltonian([theta], lr=0.1, friction=0.0)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.item()  # 1 - lr² · 2 / 2 / (1 + 1e-8)
        0.9900000095367432
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        friction: float,
        mass: str = "group",
        initial_mass: float = 1.0,
        mass_decay: float = 0.99,
        eps: float = 1e-8,
        kinetic: str = "newtonian",
        kicks: str = "printed",
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "friction": friction,
            "mass": mass,
            "initial_mass": initial_mass,
            "mass_decay": mass_decay,
            "eps": eps,
            "kinetic": kinetic,
            "kicks": kicks,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
        }
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group; its options are checked like those of the constructor."""
        super().add_param_group(param_group)
        try:
            _check_options(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # for groups that were saved before an option existed
            group.setdefault("kinetic", "newtonian")
            group.setdefault("kicks", "printed")
            group.setdefault("weight_decay", 0.0)
            group.setdefault("maximize", False)
            group.setdefault("foreach", None)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step, in place.

        Args:
            closure: evaluates the loss and its gradients; called once, before the step.

        Returns:
            The value of the closure, else None.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moving = [i for i, theta in enumerate(group["params"]) if theta.grad is not None]
            if moving:
                self._initialize_state(group, moving)
                self._step_group(group, moving)
        return loss

    @torch.no_grad()
    def energy(self) -> Float[Tensor, ""]:
        """Return the kinetic energy of all parameters (without the energy at rest); 0 before the first step.

        With `kicks="leapfrog"` momenta are half a step ahead of the last gradient.
        """
        total = torch.zeros((), dtype=torch.float64)
        for group in self.param_groups:
            moved = [i for i, theta in enumerate(group["params"]) if "momentum" in self.state.get(theta, ())]
            if moved:
                whole = self._gather(group, moved)
                alpha = whole.alpha or _scalar_masses(group, whole.owner)
                for coordinates in _KINETIC[group["kinetic"]].energy(whole.momentum, alpha, group["eps"]):
                    total += coordinates.sum(dtype=torch.float64).cpu()
        return total

    def _initialize_state(self, group: dict[str, Any], moving: list[int]) -> None:
        """Create zero momenta and the initial mass for parameters that move for the first time."""
        diagonal = group["mass"] == "diagonal"
        for theta in (group["params"][i] for i in moving):
            if theta.grad.is_sparse:
                raise RuntimeError("Hamiltonian does not support sparse gradients, expected dense ones (sparse=False)")
            state = self.state[theta]
            if not state:
                state["momentum"] = torch.zeros_like(theta)
                if diagonal:
                    mass = torch.view_as_real(theta) if theta.is_complex() else theta
                    mass = torch.full_like(mass, group["initial_mass"])
                    state["alpha"] = torch.view_as_complex(mass) if theta.is_complex() else mass
        if not diagonal:
            device = group["params"][moving[0]].device
            dtype = torch.float32 if device.type == "mps" else torch.float64
            if "alpha" in group:  # torch moves loaded states to the device of the parameters, but not options of groups
                group["alpha"] = group["alpha"].to(device, dtype)
            else:
                count = len(group["params"]) if group["mass"] == "tensor" else 1
                group["alpha"] = torch.full((count,), group["initial_mass"], dtype=dtype, device=device)

    def _step_group(self, group: dict[str, Any], moving: list[int]) -> None:
        """Take the step described in the class docstring, then update the mass."""
        h, eps, decay, friction = float(group["lr"]), group["eps"], group["mass_decay"], group["friction"]
        half = -h / 2 if group["maximize"] else h / 2
        keep = math.exp(-friction)
        kinetic = _KINETIC[group["kinetic"]]
        squares: dict[int, Any] = dict.fromkeys(moving, 0.0)
        for block in split_into_blocks(self._gather(group, moving), group["foreach"]):
            theta, g, p = block.theta, block.grad, block.momentum
            alpha = block.alpha or _scalar_masses(group, block.owner)
            if group["weight_decay"]:
                torch._foreach_mul_(theta, 1 - h * group["weight_decay"])
            if group["kicks"] == "leapfrog":  # second kick of the previous step, friction, first kick of this step
                kick(p, g, half * (1 + keep), keep)
            else:
                kick(p, g, half, keep)
            kinetic.drift(theta, p, alpha, eps, h)
            if decay < 1 and block.alpha:
                update_mass(block.alpha, p, kinetic.mass_factor(alpha, eps, h), decay)
            elif decay < 1:
                for i, c, square in zip(
                    block.owner, kinetic.mass_factor(alpha, eps, h), sums_of_squares(p), strict=True
                ):
                    squares[i] += c * c * square
            if group["kicks"] == "printed":
                kick(p, g, half)
        if decay < 1 and group["mass"] != "diagonal":
            _update_scalar_masses(group, squares)

    def _gather(self, group: dict[str, Any], members: list[int]) -> Block:
        """Return the tensors of some parameters of a group; complex tensors as real ones."""
        thetas = [group["params"][i] for i in members]
        lists = [thetas, [theta.grad for theta in thetas], [self.state[theta]["momentum"] for theta in thetas]]
        if group["mass"] == "diagonal":
            lists.append([self.state[theta]["alpha"] for theta in thetas])
        real = [
            [torch.view_as_real(t) if t is not None and t.is_complex() else t for t in tensors] for tensors in lists
        ]
        return make_block(real, members)


def _scalar_masses(group: dict[str, Any], owner: list[int]) -> Mass:
    """Return the scalar mass of each parameter: floats on the CPU, tensors elsewhere, to avoid synchronization."""
    alpha = group["alpha"]
    if group["mass"] == "group":
        return [float(alpha) if alpha.device.type == "cpu" else alpha[0]] * len(owner)
    return [float(alpha[i]) if alpha.device.type == "cpu" else alpha[i] for i in owner]


def _update_scalar_masses(group: dict[str, Any], squares: dict[int, Any]) -> None:
    """Update the scalar masses with the means of the squares; creates a new tensor, so that snapshots do not change."""
    alpha, decay = group["alpha"], group["mass_decay"]
    sizes = {i: group["params"][i].numel() * (2 if group["params"][i].is_complex() else 1) for i in squares}
    if group["mass"] == "group":
        means, index = [sum(squares.values()) / max(1, sum(sizes.values()))], [0]
    else:
        means, index = [square / max(1, sizes[i]) for i, square in squares.items()], list(squares)
    observed = torch.stack([torch.as_tensor(mean, dtype=alpha.dtype, device=alpha.device) for mean in means])
    if len(index) == len(alpha):  # the usual case avoids an index, whose copy to an accelerator would block
        group["alpha"] = decay * alpha + (1 - decay) * observed
    else:
        at = torch.tensor(index, device=alpha.device)
        group["alpha"] = alpha.index_copy(0, at, decay * alpha[at] + (1 - decay) * observed)


def _check_options(options: dict[str, Any]) -> None:
    """Raise ValueError for an option outside its range."""
    lr = options["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"Invalid learning rate: a tensor of {lr.numel()} elements, expected one")
    if not 0.0 <= lr < math.inf:
        raise ValueError(f"Invalid learning rate: {lr}, expected a finite number of at least 0")
    for name in ("friction", "initial_mass", "eps", "weight_decay"):
        if not 0.0 <= options[name] < math.inf:
            raise ValueError(f"Invalid {name}: {options[name]}, expected a finite number of at least 0")
    if not 0.0 <= options["mass_decay"] <= 1.0:
        raise ValueError(f"Invalid mass_decay: {options['mass_decay']}, expected a number from 0 to 1")
    if options["eps"] + options["initial_mass"] == 0.0 or (options["kinetic"] == "relativistic" and not options["eps"]):
        raise ValueError("Invalid eps: 0, which lets a mass be 0, expected a small positive number")
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise ValueError(f"Invalid {name}: {options[name]!r}, expected one of {', '.join(choices)}")
