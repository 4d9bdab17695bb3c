"""Diagnostics of training: sums on the device, read once per logging interval."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.gating import GateDecision
from hamipose.skeletons import Skeleton

__all__ = ["Diagnostics", "StepResult"]


class StepResult(NamedTuple):
    """The loss of a training step and its parts.

    Attributes:
        loss: the loss that is minimized.
        source: losses of the source batch.
        target: losses of the target batch, without their weight; default: None, no target batch.
        gate: decision of the gate on the two; default: None, no gate.
        confidence: confidence of the target's pseudo-labels.
        target_weight: weight of the target losses.
    """

    loss: Float[Tensor, ""]
    source: Float[Tensor, " keypoint"]
    target: Float[Tensor, " keypoint"] | None = None
    gate: GateDecision | None = None
    confidence: Float[Tensor, " keypoint"] | None = None
    target_weight: float | int = 1.0


class Diagnostics:
    """Sums of per-keypoint quantities over the steps since the last :meth:`flush`.

    The conflict ratio is the fraction of steps in which the two gradients of a keypoint conflict, ρ < 0 (HamiPose,
    Fig. 4).

    Args:
        skeleton: the keypoints.
    """

    def __init__(self, skeleton: Skeleton):
        self.skeleton = skeleton
        self._source: Tensor | None = None
        self._target: Tensor | None = None
        self._gated: Tensor | None = None
        self._target_weight = 1.0
        self._steps = self._adapting = 0

    @torch.no_grad()
    def add(self, result: StepResult) -> None:
        """Add a step, without copying from the device."""
        source = result.source.detach()
        self._source = source if self._source is None else self._source + source
        self._steps += 1
        if result.target is None:
            return
        target = result.target.detach()
        self._target = target if self._target is None else self._target + target
        self._target_weight = result.target_weight
        self._adapting += 1
        gate = result.gate
        if gate is None or result.confidence is None:
            return
        rows = torch.stack(
            [
                (gate.cosine < 0).float(),
                gate.cosine,
                gate.weight,
                gate.openness,
                result.confidence,
                (gate.weight < 0).float(),
            ]
        )
        self._gated = rows if self._gated is None else self._gated + rows

    def flush(self) -> dict[str, float]:
        """Return the means since the last call by their logged names."""
        if self._source is None:
            return {}
        source = (self._source / self._steps).tolist()
        logged = {"train/source_loss": sum(source)}
        potential = sum(source)
        if self._target is not None:
            target = sum((self._target / self._adapting).tolist())
            potential += self._target_weight * target
            logged["train/target_loss"] = target
        if self._gated is not None:
            conflict, cosine, weight, openness, confidence, negative = (self._gated / self._adapting).tolist()
            count = len(self.skeleton)
            logged |= {
                "train/conflict": sum(conflict) / count,
                "train/cosine": sum(cosine) / count,
                "train/weight": sum(weight) / count,
                "train/weight_negative": sum(negative) / count,
                "train/openness": sum(openness) / count,
                "train/confidence": sum(confidence) / count,
            }
            for k, name in enumerate(self.skeleton.keypoints):
                logged[f"train/conflict/{name}"] = conflict[k]
                logged[f"train/weight/{name}"] = weight[k]
                logged[f"train/openness/{name}"] = openness[k]
        logged["train/potential"] = potential
        self._source = self._target = self._gated = None
        self._steps = self._adapting = 0
        return logged
