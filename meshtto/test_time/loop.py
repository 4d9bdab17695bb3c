"""The adaptation loop. An image that has its own weights stops independently of the others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshtto.test_time.weights import Weights

__all__ = ["AdaptationResult", "adapt"]

#: An image diverges if its loss exceeds its initial loss by this factor.
DIVERGENCE_FACTOR = 10.0


class AdaptationResult(NamedTuple):
    """Result of :func:`adapt`."""

    output: Any
    """Output of the network with the adapted weights."""
    losses: Float[Tensor, "step batch"]
    """Loss of each image before each step, without a graph."""
    steps: Int[Tensor, " batch"]
    """Number of steps each image took, including undone ones."""
    diverged: Bool[Tensor, " batch"]
    """Images that diverged; their weights, and so their outputs, are the initial ones."""


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
) -> AdaptationResult:
    r"""Take gradient steps on the weights, :math:`w_j \leftarrow w_j - \alpha \nabla L_j`.

    An image *diverges* if a step leads to a loss that is not finite, or is ten times the initial one. Its weights are
    then reset and stay unchanged. This does not affect other images, and the result reports it.

    Args:
        weights: the weights to adapt, in place.
        inputs: inputs of the network.
        loss: maps the output to one non-negative value per image, which must depend on that image alone.
        steps: maximum number of steps.
        tolerance: an image stops once its loss changes by less than this from one step to the next (absolute). An image
            whose initial loss is not finite is never adapted. Images that share weights stop together, by their mean
            loss.
        watch: called with the step number and the current output, from 0 to `steps`, even after all images stopped.
        enough: maps the output to the images that need no further step; images that share weights stop when all are.
        stop_after_step: take one more step, on the loss that met `tolerance` or `enough`, before stopping.
        keep_graph: whether the output keeps its graph, for training; if False, the last pass records none.

    Returns:
        The output after the last step and the losses on the way; with 0 steps, the output of the unadapted network.
    """

    def recording(final: bool) -> torch.set_grad_enabled:
        """Return a context that records gradients unless no step follows."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and (keep_graph or not final))

    def run(final: bool) -> Any:
        with recording(final):
            return weights(*inputs)

    output = run(steps == 0)
    # One value per image, derived from the inputs so that zero steps give the right shape too.
    taken = torch.zeros(len(inputs[0]), dtype=torch.long, device=inputs[0].device)
    active = torch.ones_like(taken, dtype=torch.bool)
    diverged = torch.zeros_like(active)
    history: list[Tensor] = []
    initial, finite = inputs[0].new_zeros(len(taken)), active
    done, closing = steps == 0, False
    for step in range(steps + 1):
        final = step == steps or closing
        if not done:
            with recording(final):
                losses = loss(output)
            if step == 0:
                active = finite = losses.detach().isfinite()
                initial = weights.convergence_loss(losses.detach(), finite)
            else:
                current = weights.convergence_loss(losses.detach(), finite)
                diverging = finite & ~diverged & ~(current <= DIVERGENCE_FACTOR * initial)
                if bool(diverging.any()):  # synchronizes a GPU, but detects a diverged mesh in time
                    weights.restore(diverging)
                    active, diverged = active & ~diverging, diverged | diverging
                    del output, losses  # two graphs would need twice the memory
                    output = run(final)
                    with recording(final):
                        losses = loss(output)
            done = final
        if watch is not None:
            watch(step, output)
        if done:
            continue
        history.append(losses.detach())
        ready = torch.zeros_like(active)
        if tolerance is not None and step > 0:
            change = weights.convergence_loss(history[-2], finite) - weights.convergence_loss(history[-1], finite)
            ready = ~(change.abs() >= tolerance)
        if enough is not None:
            ready = ready | enough(output)
        moving = active
        if enough is not None or tolerance is not None:
            active = active & ~weights.stop_mask(ready, finite)
            none_left = not bool(active.any())
            if not stop_after_step:
                moving, done = active, none_left
            elif none_left:
                closing, done = True, not bool(moving.any())
        if done:
            continue
        weights.step(losses, moving)
        taken += moving
        del output, losses
        output = run(step + 1 == steps or closing)
    rows = torch.stack(history) if history else inputs[0].new_zeros(0, len(inputs[0]))
    return AdaptationResult(output, rows, taken, diverged)
