"""One evaluation of a method: every set, from the first batch to the scores."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from meshtto.body import Body
from meshtto.losses import Prediction
from meshtto.methods.recovery import Recovery
from meshtto.methods.scores import Scores
from meshtto.types import MeshBatch

__all__ = ["Evaluation"]

#: Takes a watcher that is shown every step of adaptation.
Recover = Callable[[Callable[[int, Prediction], None]], Recovery]


class Evaluation:
    """Scores of each set after every step of adaptation.

    Args:
        names: prefix of each set's scores, such as val or report/3dpw.
        steps: of adaptation.
        device: where to count.
    """

    def __init__(self, names: Iterable[str], steps: int, device: torch.device) -> None:
        with torch.inference_mode(False):  # adaptation needs gradients, so counting happens outside of it
            self._sets = [Scores(name, steps).to(device) for name in names]

    def add(
        self, batch: MeshBatch, number: int, vertices_m: Float[Tensor, "batch vertex 3"], body: Body, recover: Recover
    ) -> None:
        """Adapt to a batch of one set, and count it.

        Args:
            batch: with labels.
            number: of the set.
            vertices_m: of the labels.
            body: of predictions.
            recover: adapts to the batch.
        """
        scores = self._sets[number]

        def count(step: int, prediction: Prediction) -> None:
            scores.update(step, prediction, batch, vertices_m, body)

        scores.count_diverged(recover(count).diverged, batch)

    def scores(self) -> dict[str, dict[str, float]]:
        """Set → the last step's errors under the names they are logged by; all processes ask together."""
        return {scores.name: scores.compute() for scores in self._sets}

    def results(self) -> dict[str, Any]:
        """Set → errors against steps and joint by joint, and how many people diverged; all processes ask together."""
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
        """Errors after 0, 1, … steps as loggers take them: val/mpjpe/after_3."""
        return {
            f"{name}/{error}/after_{step}": value
            for name, found in results.items()
            for error in ("mpjpe", "pa_mpjpe")
            for step, value in enumerate(found["against_steps"][error])
        }
