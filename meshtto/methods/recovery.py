"""What comes of a batch at test time, and what it takes to get there from where Lightning calls."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from meshtto.losses import Prediction
from meshtto.regressors import Estimate
from meshtto.types import MeshBatch

__all__ = ["Once", "Recovery", "detached", "out_of_inference", "size_of"]


class Recovery:
    """What a method makes of a batch at test time.

    Attributes:
        prediction: after adaptation.
        losses: [step, batch], before each step.
        steps: [batch], how many each image took.
        diverged: [batch], whose adaptation led astray: their prediction is that of the phase's beginning, which is the
            network's own answer in the first phase.
    """

    def __init__(self, prediction: Prediction, losses: Tensor, steps: Tensor, diverged: Tensor) -> None:
        self.prediction, self.losses, self.steps, self.diverged = prediction, losses, steps, diverged


class Once:
    """Remembers the last estimate's body: the loss, the watcher and the outer loss look at the same one.

    Args:
        complete: from an estimate to its body.
    """

    def __init__(self, complete: Callable[[Estimate], Prediction]) -> None:
        self._complete = complete
        self._last: tuple[Estimate, Prediction] | None = None

    def __call__(self, estimate: Estimate) -> Prediction:
        if self._last is None or self._last[0] is not estimate:
            self._last = (estimate, self._complete(estimate))
        return self._last[1]


def size_of(batch: MeshBatch) -> tuple[int, int]:
    """Height and width of the crops."""
    return batch.image.shape[-2], batch.image.shape[-1]


def detached(prediction: Prediction) -> Prediction:
    """Without its graph."""
    return Prediction(*(value.detach() for value in prediction))


def out_of_inference(batch: MeshBatch) -> MeshBatch:
    """A batch whose tensors autograd may use: those that were moved in inference mode are copied."""
    usable: dict[str, Any] = {
        k: v.clone() if isinstance(v, Tensor) and v.is_inference() else v for k, v in vars(batch).items()
    }
    return MeshBatch(**usable)
