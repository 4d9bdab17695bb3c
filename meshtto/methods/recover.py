"""Test-time optimization of one group of people: phases of adaptation, watched, and what is predicted in the end."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.models.preprocess import normalise
from meshtto.losses import Target, mesh_terms
from meshtto.methods.grouping import recorded_bytes
from meshtto.methods.optimize import optimise
from meshtto.methods.options import TestTimeOptions
from meshtto.methods.targets import box_of, evidence, joint_positions, size_of
from meshtto.regressors import Estimate
from meshtto.test_time import Phase, begin
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["Once", "detached", "out_of_inference", "pass_bytes", "recover"]


class Once:
    """Remembers the last estimate's body: the loss, the watcher and the outer loss look at the same one.

    Args:
        complete: from an estimate to its body.
    """

    def __init__(self, complete: Callable[[Estimate], BodyPrediction]) -> None:
        self._complete = complete
        self._last: tuple[Estimate, BodyPrediction] | None = None

    def __call__(self, estimate: Estimate) -> BodyPrediction:
        if self._last is None or self._last[0] is not estimate:
            self._last = (estimate, self._complete(estimate))
        return self._last[1]


def detached(prediction: BodyPrediction) -> BodyPrediction:
    """Without its graph."""
    return BodyPrediction(*(value.detach() for value in prediction))


def out_of_inference(batch: MeshBatch) -> MeshBatch:
    """A batch whose tensors autograd may use: those that were moved in inference mode are copied."""
    usable: dict[str, Any] = {
        k: v.clone() if isinstance(v, Tensor) and v.is_inference() else v for k, v in vars(batch).items()
    }
    return MeshBatch(**usable)


class _Fitting:
    """What the people of a batch are fitted to, and how well an estimate fits.

    Args:
        method: a mesh method.
        batch: crops, their boxes and 2D evidence.
        phases: of adaptation.
        options: at test time.
    """

    def __init__(self, method: Any, batch: MeshBatch, phases: Sequence[Phase], options: TestTimeOptions) -> None:
        self.method, self.batch, self.options = method, batch, options
        self.size = size_of(batch)
        pseudo = method.pseudo(batch) if any(phase.pseudo_mesh and phase.steps for phase in phases) else None
        ignored = joint_positions(options.ignored_joints)
        self._alone = evidence(batch, None, ignored)
        self._with_mesh = {masked: evidence(batch, pseudo, ignored, masked) for masked in (False, True)}
        of = partial(method.complete, box=box_of(batch), size=self.size)
        self.seen, self.joints = (Once(partial(of, vertices=vertices)) for vertices in (True, False))

    def _target(self, phase: Phase) -> Target:
        return self._with_mesh[phase.masked] if phase.pseudo_mesh else self._alone

    def loss(self, phase: Phase, estimate: Estimate) -> Float[Tensor, " batch"]:
        """Return what a phase goes down; NaN for padding people, who then move no weights that people share."""
        target = self._target(phase)
        prediction = (self.joints if target.mesh is None else self.seen)(estimate)
        losses = self.method.value(prediction, target, self.batch, phase)
        return torch.where(self.batch.index >= 0, losses, torch.nan)

    def enough(self, estimate: Estimate) -> Bool[Tensor, " batch"]:
        """Whose 2D error is as small as the options ask for."""
        weights = replace(self.method.loss_weights, lower_legs=0.0)
        terms = mesh_terms(self.joints(estimate), self._alone, self.size, weights)
        return terms.keypoints.detach() < (self.options.enough_2d or 0.0)


def recover(
    method: Any,
    batch: MeshBatch,
    phases: Sequence[Phase],
    options: TestTimeOptions,
    watch: Callable[[int, BodyPrediction], None] | None = None,
) -> Recovery:
    """Adapt to each image of a batch and predict.

    Args:
        method: a mesh method in eval mode, whose networks stay as they are.
        batch: crops, their boxes and 2D evidence.
        phases: of adaptation.
        options: of which the rules for stopping and the ignored joints are read.
        watch: called with the number of steps so far and the prediction, from 0 on.
    """
    fitting = _Fitting(method, batch, phases, options)

    def show(step: int, estimate: Estimate) -> None:
        if watch is not None:
            with torch.no_grad():
                watch(step, detached(fitting.seen(estimate)))

    with torch.enable_grad():
        found = optimise(
            method.regressor,
            normalise(batch.image),
            method.regressor.told(box_of(batch)),
            phases,
            fitting.loss,
            tolerance=options.tolerance,
            watch=show,
            enough=None if options.enough_2d is None else fitting.enough,
            stop_after_step=options.stop_after_step,
            keep_graph=False,
        )
    prediction = detached(fitting.seen(found.output))
    return Recovery(prediction, found.losses, found.steps, found.diverged)


def pass_bytes(method: Any, batch: MeshBatch, phase: Phase) -> int:
    """Return the bytes that one pass of a phase keeps for the gradient of one person, the first of the batch.

    Args:
        method: a mesh method.
        batch: of at least one person.
        phase: of adaptation.
    """
    one = MeshBatch(**{name: value[:1] for name, value in vars(batch).items()})
    fitting = _Fitting(method, one, [phase], method.test_time)
    regressor = method.regressor
    inputs = (normalise(one.image), regressor.told(box_of(one)))
    with torch.autocast(inputs[0].device.type, enabled=False):
        if phase.scope == "head":
            inputs = (regressor.features(inputs[0]).float(), inputs[1])
        weights = begin(phase, regressor if phase.scope == "all" else regressor.head)
        with torch.enable_grad():
            return recorded_bytes(lambda: fitting.loss(phase, weights(*inputs)), list(regressor.parameters()))
