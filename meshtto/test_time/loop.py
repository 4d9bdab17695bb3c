"""The loop: look at the losses, step, look again; each image whose weights are its own stops on its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshtto.test_time.weights import Weights

__all__ = ["Adapted", "adapt"]

#: An image whose loss is so many times what it began with has left the valley it was to go down.
ASTRAY = 10.0


class Adapted(NamedTuple):
    """What came out."""

    output: Any
    """The network's output under the adapted weights."""
    losses: Float[Tensor, "step batch"]
    """The loss of each image before each step, without a graph."""
    steps: Int[Tensor, " batch"]
    """How many steps each image took, those that were taken back among them."""
    diverged: Bool[Tensor, " batch"]
    """Which images' steps led astray: their weights are back where they began, and so is their output."""


def adapt(
    weights: Weights,
    inputs: tuple[Tensor, ...],
    loss: Callable[[Any], Float[Tensor, " batch"]],
    steps: int,
    tolerance: float | None = None,
    watch: Callable[[int, Any], None] | None = None,
    enough: Callable[[Any], Bool[Tensor, " batch"]] | None = None,
    *,
    stop_after_step: bool = False,
    keep_graph: bool = True,
) -> Adapted:
    r"""Move weights down the loss, :math:`w_j \leftarrow w_j - \alpha \nabla L_j`, for a number of steps.

    An image *diverges* when a step leads to a loss that is no finite number, or ten times the one it began with. Its
    weights go back to where they began and stay there, which no other image notices, and the result says so.

    Args:
        weights: what is moved, in place.
        inputs: of the network.
        loss: from its output to one value an image, 0 or more, which must depend on that image alone.
        steps: at most so many.
        tolerance: an image stops as soon as its loss changes by less than this from one step to the next (an absolute
            number). An image whose loss is no finite number from the beginning is left where it is. Images that share
            their weights stop as one, by their mean loss.
        watch: shown the step's number and the output under the weights so far, from 0 to `steps`, whether or not all
            images stopped before.
        enough: from the output to which images need no further step; those that share their weights stop with the last.
        stop_after_step: take one more step before stopping, down the loss that met `tolerance` or `enough`.
        keep_graph: whether the output keeps its graph, for training; without it the last pass records none.

    Returns:
        The output after the last step, and the way there. With 0 steps that of the network as it is.
    """

    def recording(final: bool) -> torch.set_grad_enabled:
        """A context in which gradients are recorded unless no step follows."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and (keep_graph or not final))

    def run(final: bool) -> Any:
        with recording(final):
            return weights(*inputs)

    output = run(steps == 0)
    # One value an image; built from the inputs so that zero steps have the right shape as well.
    taken = torch.zeros(len(inputs[0]), dtype=torch.long, device=inputs[0].device)
    active = torch.ones_like(taken, dtype=torch.bool)
    diverged = torch.zeros_like(active)
    seen: list[Tensor] = []
    first, sound = inputs[0].new_zeros(len(taken)), active
    done, closing = steps == 0, False
    for step in range(steps + 1):
        final = step == steps or closing
        if not done:
            with recording(final):
                losses = loss(output)
            if step == 0:
                active = sound = losses.detach().isfinite()
                first = weights.judged(losses.detach(), sound)
            else:
                astray = sound & ~diverged & ~(weights.judged(losses.detach(), sound) <= ASTRAY * first)
                if bool(astray.any()):  # asking a GPU costs a wait, a mesh gone wrong costs more
                    weights.give_up(astray)
                    active, diverged = active & ~astray, diverged | astray
                    del output, losses  # two graphs would need twice the memory
                    output = run(final)
                    with recording(final):
                        losses = loss(output)
            done = final
        if watch is not None:
            watch(step, output)
        if done:
            continue
        seen.append(losses.detach())
        ready = torch.zeros_like(active)
        if tolerance is not None and step > 0:
            change = weights.judged(seen[-2], sound) - weights.judged(seen[-1], sound)
            ready = ~(change.abs() >= tolerance)
        if enough is not None:
            ready = ready | enough(output)
        moving = active
        if enough is not None or tolerance is not None:
            active = active & ~weights.stopping(ready, sound)
            none_left = not bool(active.any())
            if not stop_after_step:
                moving, done = active, none_left
            elif none_left:
                closing, done = True, not bool(moving.any())
        if done:
            continue
        weights.descend(losses, moving)
        taken += moving
        del output, losses
        output = run(step + 1 == steps or closing)
    rows = torch.stack(seen) if seen else inputs[0].new_zeros(0, len(inputs[0]))
    return Adapted(output, rows, taken, diverged)
