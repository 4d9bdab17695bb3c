"""Run phases of adaptation one after the other on a regressor, for the inner step of training and at test time."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.errors import UserError
from meshtto.losses import LossWeights
from meshtto.regressors import Estimate, Regressor
from meshtto.test_time import AdaptationResult, Phase, adapt, make_weights

__all__ = ["adapt_regressor", "check_phases"]


def check_phases(phases: Sequence[Phase]) -> None:
    """Reject invalid sequences of phases.

    Raises:
        UserError: a phase adapts the head after one adapted the whole network, a phase shares weights after one gave
            each image its own, the number of steps is negative, or a loss term is unknown.
    """
    scopes = [phase.scope for phase in phases]
    if "head" in scopes[scopes.index("all") if "all" in scopes else len(scopes) :]:
        raise UserError(
            'a phase of scope "head" follows one of scope "all", after which the images share no backbone; put it '
            'first, or give it scope "all"'
        )
    inners = [phase.inner for phase in phases]
    if "shared" in inners[inners.index("image") if "image" in inners else len(inners) :]:
        raise UserError(
            'a phase of inner "shared" follows one of inner "image", after which each image has weights of its own; '
            'put it first, or give it inner "image"'
        )
    for phase in phases:
        if phase.steps < 0:
            raise UserError(f"a phase has {phase.steps} steps; expected 0 or more")
        terms = [field.name for field in fields(LossWeights) if field.name not in ("outer", "distances")]
        for name, weight in phase.loss.items():
            if name not in terms:
                raise UserError(f"a phase's loss names {name!r}; expected terms among {', '.join(terms)}")
            if not 0 <= weight < float("inf"):
                raise UserError(f"a phase's loss has {name}: {weight}; expected a number of at least 0")


def adapt_regressor(
    regressor: Regressor,
    inputs: Float[Tensor, "batch ..."],
    box_features: Float[Tensor, "batch box_features"],
    phases: Sequence[Phase],
    loss: Callable[[Phase, Estimate], Float[Tensor, " batch"]],
    second_order: bool = False,
    tolerance: float | None = None,
    watch: Callable[[int, Estimate], None] | None = None,
    enough: Callable[[Estimate], Bool[Tensor, " batch"]] | None = None,
    *,
    stop_after_step: bool = False,
    keep_graph: bool = True,
) -> AdaptationResult:
    """Adapt a regressor to each image and return its estimate.

    As long as phases adapt only the head, the backbone runs once, and its graph is recorded only if it is kept. All
    adapted parts run in single precision: a step of 1e-5 would be lost in bfloat16. The regressor's parameters, inputs
    and modes are not modified.

    Args:
        regressor: the network.
        inputs: inputs of the backbone, :meth:`meshtto.regressors.Regressor.inputs`.
        box_features: features of their boxes.
        phases: the phases; none means no adaptation.
        loss: returns the loss of an estimate in a phase.
        second_order: differentiate through the steps.
        tolerance: see :func:`meshtto.test_time.adapt`; each phase starts with all images active.
        watch: called with the number of steps so far and the estimate, from 0 on.
        enough: returns which images need no further step.
        stop_after_step: see :func:`meshtto.test_time.adapt`.
        keep_graph: whether the estimate keeps its graph, for training.

    Returns:
        The estimate, and the losses with one row per step of the phases; the loss of a stopped image is repeated.
    """
    check_phases(phases)
    whole = bool(phases) and phases[0].scope == "all"
    device = inputs.device.type
    read: tuple[Tensor, ...] = (inputs, box_features)
    if not whole:
        with torch.set_grad_enabled(torch.is_grad_enabled() and keep_graph):
            read = (regressor.features(inputs).float(), box_features)
    start: dict[str, Tensor] | None = None
    result: AdaptationResult | None = None
    done = 0
    with torch.autocast(device, enabled=False):
        for number, phase in enumerate(phases or [Phase(steps=0)]):
            if phase.scope == "all" and not whole:
                whole, read = True, (inputs, box_features)
                start = None if start is None else {f"head.{name}": p for name, p in start.items()}
            weights = make_weights(phase, regressor if whole else regressor.head, second_order, start)

            def show(step: int, estimate: Any, before: int = done) -> None:
                if watch is not None and (before == 0 or step > 0):
                    watch(before + step, estimate)

            def of(estimate: Any, phase: Phase = phase) -> Tensor:
                return loss(phase, estimate)

            last = number == len(phases or [phase]) - 1
            found = adapt(
                weights,
                read,
                of,
                phase.steps,
                tolerance,
                show,
                enough,
                stop_after_step=stop_after_step,
                keep_graph=keep_graph and last,
            )
            if not last:
                start = weights.per_image_parameters()
            done += phase.steps
            if len(found.losses) < phase.steps:
                stopped = found.losses[-1:].expand(phase.steps - len(found.losses), -1)
                found = found._replace(losses=torch.cat([found.losses, stopped]))
            result = (
                found
                if result is None
                else AdaptationResult(
                    found.output,
                    torch.cat([result.losses, found.losses]),
                    result.steps + found.steps,
                    result.diverged | found.diverged,
                )
            )
    assert result is not None
    return result
