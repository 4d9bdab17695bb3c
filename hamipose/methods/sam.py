"""SAM (Foret et al., ICLR 2021) on heatmaps: the gradient at the worst point nearby."""

import torch
from lightning.pytorch.cli import OptimizerCallable

from hamipose.evaluation.diagnostics import StepResult
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import displaced, frozen_statistics, length, take_gradient
from hamipose.methods.validation import check_at_least
from hamipose.types import TrainBatch

__all__ = ["SAM"]


class SAM(PoseMethod):
    r"""Sharpness-aware minimization of the source loss (domain generalization: no target image is used).

    .. math:: g = \nabla L_s(\theta), \qquad \text{step with } \nabla L_s(\theta + \rho\, g / \|g\|)

    Each step has two passes. Deviations: BatchNorm's running statistics are only updated in the first pass (the paper
    does not mention them; other implementations do the same). The norm is that of the gradient averaged over all
    processes; in the paper each process perturbs by its own gradient.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        radius: ρ, the length of the perturbation.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        radius: float = 0.05,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, radius=radius)
        self.radius = radius

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Leave the gradient at the perturbed point."""
        objective = self.objective(batch)
        self.manual_backward(objective.loss)
        parameters = [p for p in self.trainable_parts().parameters() if p.requires_grad]
        ascent = take_gradient(parameters)
        norm = length(ascent)
        torch._foreach_mul_(ascent, self.radius / torch.where(norm == 0, 1.0, norm))
        with displaced(parameters, ascent), frozen_statistics(self.network):
            self.manual_backward(self.objective(batch).loss)
        return objective
