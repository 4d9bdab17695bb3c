"""Scores of each evaluation set after every adaptation step."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchmetrics import SumMetric

from meshtto.body import Body
from meshtto.joints import EVALUATION14
from meshtto.metrics import MPJPE, PAMPJPE, PVE, ReprojectionError, joint_targets
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["Evaluation", "Scores"]


class Scores(nn.Module):
    """Scores of one set after every adaptation step: MPJPE, PA-MPJPE and PVE in mm, 2D error in pixels of the crop.

    "moved" is the mean distance of the vertices from those before adaptation, in mm, which needs no label. Joints are
    regressed from the vertices of prediction and label. If a sample's mesh is not labeled, its labeled joints are used
    instead, relative to their pelvis. Padding does not count. Diverged adaptations are counted.

    Args:
        name: prefix of the logged names, such as val.
        steps: number of adaptation steps.
    """

    def __init__(self, name: str, steps: int) -> None:
        super().__init__()
        self.name = name
        self.diverged, self.adapted = SumMetric(), SumMetric()
        joints = len(EVALUATION14)
        self.at = nn.ModuleList(
            nn.ModuleDict(
                {"mpjpe": MPJPE(joints), "pa_mpjpe": PAMPJPE(joints), "pve": PVE(), "error_2d": ReprojectionError()}
            )
            for _ in range(steps + 1)
        )
        self.moved = nn.ModuleList(PVE() for _ in range(steps))
        self._unadapted_m: Tensor | None = None  # vertices of the current batch before adaptation

    @torch.no_grad()
    def update(self, step: int, prediction: BodyPrediction, batch: MeshBatch, vertices_m: Any, body: Body) -> None:
        """Add a batch after some steps; all steps of a batch are added in order, from 0.

        Args:
            step: number of adaptation steps so far.
            prediction: the prediction after these steps.
            batch: the labeled batch.
            vertices_m: vertices of the labels, [batch, vertex, 3].
            body: body whose regressors are used.
        """
        if step == 0:
            self._unadapted_m = prediction.vertices_m
        counted = batch.index >= 0
        labeled = body.evaluation_joints(vertices_m)
        target, known = joint_targets(labeled, batch.joints_m, batch.joints_confidence, batch.has_mesh)
        predicted = body.evaluation_joints(prediction.vertices_m)
        joints = counted & known
        metrics: Any = self.at[step]
        metrics["mpjpe"].update(predicted, target, joints)
        metrics["pa_mpjpe"].update(predicted, target, joints)
        metrics["pve"].update(prediction.vertices_m, vertices_m, counted & batch.has_mesh)
        metrics["error_2d"].update(prediction.keypoints_px, batch.keypoints_px, batch.keypoints_confidence, counted)
        if step > 0:
            moved: Any = self.moved[step - 1]
            moved.update(prediction.vertices_m, self._unadapted_m, counted)

    def count_diverged(self, diverged: Bool[Tensor, " batch"], batch: MeshBatch) -> None:
        """Count diverged adaptations; the errors of these people are those of the unadapted network."""
        self.diverged.update(diverged[batch.index >= 0].long())
        self.adapted.update((batch.index >= 0).long())

    def people(self) -> dict[str, int]:
        """Return how many people were recovered, and how many of their adaptations diverged."""
        return {"recovered": int(self.adapted.compute()), "diverged": int(self.diverged.compute())}

    def curves(self) -> dict[str, list[float]]:
        """Return each error, and "moved" if there are steps, against the number of steps."""
        at: Any = self.at
        moved: Any = self.moved
        curves = {name: [round(float(metrics[name].compute()), 4) for metrics in at] for name in at[0]}
        if len(moved):
            curves["moved"] = [0.0, *(round(float(metric.compute()), 4) for metric in moved)]
        return curves

    def per_joint(self) -> dict[str, list[float]]:
        """Return MPJPE of each joint before and after adaptation."""
        ends: Any = (self.at[0], self.at[-1])
        first, last = (metrics["mpjpe"].per_point().tolist() for metrics in ends)
        return {name: [round(a, 3), round(b, 3)] for name, a, b in zip(EVALUATION14, first, last, strict=True)}

    def compute(self) -> dict[str, float]:
        """Return the last step's errors and the number of diverged adaptations, by their logged names."""
        errors = {f"{self.name}/{name}": curve[-1] for name, curve in self.curves().items()}
        return {**errors, f"{self.name}/diverged": float(self.people()["diverged"])}


#: Adapts to a batch; its argument is called with every adaptation step.
Recover = Callable[[Callable[[int, BodyPrediction], None]], Recovery]


class Evaluation:
    """Scores of all sets in one evaluation.

    Args:
        names: prefix of each set's scores, such as val or test/3dpw.
        steps: number of adaptation steps.
        device: device of the metrics.
    """

    def __init__(self, names: Iterable[str], steps: int, device: torch.device) -> None:
        with torch.inference_mode(False):  # adaptation needs gradients, so the metrics are updated outside of it
            self._sets = [Scores(name, steps).to(device) for name in names]

    def add(
        self, batch: MeshBatch, number: int, vertices_m: Float[Tensor, "batch vertex 3"], body: Body, recover: Recover
    ) -> None:
        """Adapt to a batch of one set and add its scores.

        Args:
            batch: the labeled batch.
            number: number of the set.
            vertices_m: vertices of the labels.
            body: body of predictions.
            recover: adapts to the batch.
        """
        scores = self._sets[number]

        def count(step: int, prediction: BodyPrediction) -> None:
            scores.update(step, prediction, batch, vertices_m, body)

        scores.count_diverged(recover(count).diverged, batch)

    def scores(self) -> dict[str, dict[str, float]]:
        """Return set → the last step's errors by their logged names; a collective call."""
        return {scores.name: scores.compute() for scores in self._sets}

    def results(self) -> dict[str, Any]:
        """Return set → errors against steps and per joint, and the number of diverged people; a collective call."""
        return {
            scores.name: {
                "against_steps": scores.curves(),
                "per_joint": scores.per_joint(),
                "people": scores.people(),
            }
            for scores in self._sets
        }

    @staticmethod
    def after_steps(results: dict[str, Any]) -> dict[str, float]:
        """Return errors after 0, 1, … steps by their logged names, such as val/mpjpe/after_3."""
        return {
            f"{name}/{error}/after_{step}": value
            for name, scores in results.items()
            for error in ("mpjpe", "pa_mpjpe")
            for step, value in enumerate(scores["against_steps"][error])
        }
