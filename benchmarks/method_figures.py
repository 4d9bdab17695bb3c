"""Draw the figures of docs/method.md with the library: gate, decomposition, energy of a step.

python benchmarks/method_figures.py            # a few seconds; writes docs/method_*.png
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from hamipose.gating import KeypointGate, decompose
from hamipose.optim.mechanics import Newtonian, kick

DOCS = Path(__file__).parent.parent / "docs"


def save(figure: plt.Figure, name: str) -> None:
    """Save a small PNG."""
    figure.savefig(DOCS / f"method_{name}.png", dpi=90)
    plt.close(figure)


def openness(rho: torch.Tensor, gamma: float, confidence: float) -> torch.Tensor:
    """Return φ of the gate for pairs of unit gradients with cosine ρ."""
    source = torch.tensor([[1.0, 0.0]]).expand(len(rho), 2)
    target = torch.stack([rho, (1 - rho**2).clamp(min=0).sqrt()], 1)
    gate = KeypointGate(gamma_max=gamma)
    return gate(source, target, torch.full_like(rho, confidence), progress=1.0, target_weight=1.0).openness


def draw_gate() -> None:
    """Draw φ over ρ for some γ, and over ρ and γ; c scales both."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    rho = torch.linspace(-1, 1, 201)
    for gamma in (0.5, 1.0, 2.0):
        left.plot(rho, openness(rho, gamma, 1.0), label=f"γ = {gamma:g}, c = 1")
    left.plot(rho, openness(rho, 2.0, 0.5), "--", color="C2", label="γ = 2, c = 0.5")
    left.set(xlabel="ρ, cosine of the two gradients", ylabel="gate φ", ylim=(-0.03, 1))
    left.legend(frameon=False)
    gammas = torch.linspace(0, 2, 81)
    surface = torch.stack([openness(rho, float(gamma), 1.0) for gamma in gammas])
    shown = right.imshow(surface, origin="lower", aspect="auto", extent=(-1, 1, 0, 2), vmin=0, vmax=1)
    right.set(xlabel="ρ", ylabel="γ, which grows over the first tenth", title="φ at c = 1")
    figure.colorbar(shown, ax=right)
    save(figure, "gate")


def draw_decomposition() -> None:
    """Draw two pairs of gradients: the target's component along the source's, its gated value, and w."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    pairs = {"in conflict": (-0.9, 0.7), "in agreement": (0.9, 0.7)}
    for panel, (title, target) in zip(axes, pairs.items(), strict=True):
        source, target = torch.tensor([[1.0, 0.0]]), torch.tensor([target])
        gate = KeypointGate()(source, target, torch.ones(1), progress=1.0, target_weight=1.0)
        _, along = decompose(source, target)
        across = target[0] - along * source[0]
        kept = across + gate.openness * along * source[0]
        arrows = {
            "$g_s$": (source[0], "C0"),
            "$g_t$": (target[0], "C1"),
            r"$g_{t,\parallel}$": (along * source[0], "C7"),
            r"$g_{t,\perp}$": (across, "C8"),
            r"$g_{t,\perp} + \varphi g_{t,\parallel}$": (kept, "C2"),
        }
        for name, (vector, color) in arrows.items():
            x, y = vector.tolist()
            panel.quiver(0, 0, x, y, angles="xy", scale_units="xy", scale=1, color=color, width=0.009, label=name)
        panel.set(xlim=(-1.15, 1.15), ylim=(-0.25, 1.0), aspect="equal")
        panel.set_title(
            f"{title}: a = {float(along):+.2f}, φ = {float(gate.openness):.2f}, w = {float(gate.weight):.2f}"
        )
    axes[0].legend(loc="upper right", frameon=False, fontsize=8)
    save(figure, "decomposition")


def energies(kicks: str, h: float, friction: float, steps: int) -> list[float]:
    """Return K + V of a body of mass 1 in the potential V = θ² / 2 after every drift and half kick."""
    theta, p = [torch.tensor([1.0], dtype=torch.float64)], [torch.zeros(1, dtype=torch.float64)]
    values = []
    for _ in range(steps):
        before = [theta[0].clone()]  # the gradient of V is θ
        kick(p, before, h / 2, keep=float(np.exp(-friction)))
        Newtonian.drift(theta, p, [1.0], 0.0, h)
        kick(p, before if kicks == "printed" else theta, h / 2)
        values.append(float((Newtonian.energy(p, [1.0], 0.0)[0] + theta[0].square() / 2).sum()))
    return values


def draw_energy() -> None:
    """Draw energies: printed kicks gain energy at any step size, leapfrog conserves it, friction reduces it."""
    figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for name, kicks, friction in (
        ("as printed", "printed", 0.0),
        ("leapfrog", "leapfrog", 0.0),
        ("leapfrog, friction 0.02", "leapfrog", 0.02),
    ):
        axes.semilogy(energies(kicks, h=0.2, friction=friction, steps=200), label=name)
    axes.set(xlabel="step (h = 0.2)", ylabel="energy, ½p² + ½θ²")
    axes.legend(frameon=False)
    save(figure, "energy")


if __name__ == "__main__":
    draw_gate()
    draw_decomposition()
    draw_energy()
    print(
        f"as printed after 100 steps of 0.2: {energies('printed', 0.2, 0.0, 100)[-1]:.3f} (0.5 at first), leapfrog "
        f"{energies('leapfrog', 0.2, 0.0, 100)[-1]:.3f}"
    )
