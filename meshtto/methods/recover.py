"""Test-time optimization of one group of people."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from meshtto.camera import crop_box
from meshtto.losses import Target, mesh_terms
from meshtto.methods.grouping import autograd_bytes
from meshtto.methods.options import TestTimeOptions
from meshtto.methods.phases import adapt_regressor
from meshtto.methods.targets import crop_size, joint_indices, target_from_evidence
from meshtto.regressors import Estimate
from meshtto.test_time import Phase, make_weights
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["LastBody", "clone_inference_tensors", "detach_prediction", "pass_bytes", "recover"]


class LastBody:
    """Cache of the last estimate's body, which the losses and callbacks of one step share.

    Args:
        complete: computes the body of an estimate.
    """

    def __init__(self, complete: Callable[[Estimate], BodyPrediction]) -> None:
        self._complete = complete
        self._last: tuple[Estimate, BodyPrediction] | None = None

    def __call__(self, estimate: Estimate) -> BodyPrediction:
        """Return the body of an estimate, from the cache if it is the last one."""
        if self._last is None or self._last[0] is not estimate:
            self._last = (estimate, self._complete(estimate))
        return self._last[1]


def detach_prediction(prediction: BodyPrediction) -> BodyPrediction:
    """Detach all tensors of a prediction."""
    return BodyPrediction(*(value.detach() for value in prediction))


def clone_inference_tensors(batch: MeshBatch) -> MeshBatch:
    """Clone the tensors that were created in inference mode, so that autograd can use the batch."""
    usable: dict[str, Any] = {
        k: v.clone() if isinstance(v, Tensor) and v.is_inference() else v for k, v in vars(batch).items()
    }
    return MeshBatch(**usable)


class _Fitting:
    """Targets of the people of a batch, and the loss of an estimate.

    Args:
        method: a mesh method.
        batch: crops, their boxes and 2D evidence.
        phases: the phases of adaptation.
        options: test-time options.
    """

    def __init__(self, method: Any, batch: MeshBatch, phases: Sequence[Phase], options: TestTimeOptions) -> None:
        self.method, self.batch, self.options = method, batch, options
        self.size = crop_size(batch)
        pseudo = method.pseudo(batch) if any(phase.pseudo_mesh and phase.steps for phase in phases) else None
        ignored = joint_indices(options.ignored_joints)
        self._alone = target_from_evidence(batch, None, ignored)
        self._with_mesh = {masked: target_from_evidence(batch, pseudo, ignored, masked) for masked in (False, True)}
        of = partial(method.complete, box=crop_box(batch), size=self.size)
        self.seen, self.joints = (LastBody(partial(of, vertices=vertices)) for vertices in (True, False))

    def _target(self, phase: Phase) -> Target:
        return self._with_mesh[phase.masked] if phase.pseudo_mesh else self._alone

    def loss(self, phase: Phase, estimate: Estimate) -> Float[Tensor, " batch"]:
        """Return a phase's losses; NaN for padding, which excludes it from shared weights."""
        target = self._target(phase)
        prediction = (self.joints if target.mesh is None else self.seen)(estimate)
        losses = self.method.value(prediction, target, self.batch, phase)
        return torch.where(self.batch.index >= 0, losses, torch.nan)

    def enough(self, estimate: Estimate) -> Bool[Tensor, " batch"]:
        """Return which people have a 2D error below the option `enough_2d`."""
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
        method: a mesh method in eval mode; its networks are not modified.
        batch: crops, their boxes and 2D evidence.
        phases: the phases of adaptation.
        options: test-time options; only the stopping rules and ignored joints are used.
        watch: called with the number of steps so far and the prediction, from 0 on.
    """
    fitting = _Fitting(method, batch, phases, options)

    def show(step: int, estimate: Estimate) -> None:
        if watch is not None:
            with torch.no_grad():
                watch(step, detach_prediction(fitting.seen(estimate)))

    with torch.enable_grad():
        found = adapt_regressor(
            method.regressor,
            method.regressor.inputs(batch),
            method.regressor.box_features(crop_box(batch)),
            phases,
            fitting.loss,
            tolerance=options.tolerance,
            watch=show,
            enough=None if options.enough_2d is None else fitting.enough,
            stop_after_step=options.stop_after_step,
            keep_graph=False,
        )
    prediction = detach_prediction(fitting.seen(found.output))
    return Recovery(prediction, found.losses, found.steps, found.diverged)


def pass_bytes(method: Any, batch: MeshBatch, phase: Phase) -> int:
    """Return the bytes that one pass of a phase saves for the gradient of one person, the first of the batch.

    Args:
        method: a mesh method.
        batch: at least one person.
        phase: the phase of adaptation.
    """
    one = MeshBatch(**{name: value[:1] for name, value in vars(batch).items()})
    fitting = _Fitting(method, one, [phase], method.test_time)
    regressor = method.regressor
    inputs = (regressor.inputs(one), regressor.box_features(crop_box(one)))
    with torch.autocast(inputs[0].device.type, enabled=False):
        if phase.scope == "head":
            inputs = (regressor.features(inputs[0]).float(), inputs[1])
        weights = make_weights(phase, regressor if phase.scope == "all" else regressor.head)
        with torch.enable_grad():
            return autograd_bytes(lambda: fitting.loss(phase, weights(*inputs)), list(regressor.parameters()))
