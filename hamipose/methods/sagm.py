"""SAGM (Wang et al., CVPR 2023) on heatmaps: sharpness-aware gradient matching."""

import torch
from lightning.pytorch.cli import OptimizerCallable

from hamipose.evaluation.diagnostics import StepResult
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import displaced, frozen_statistics, length, set_gradient, take_gradient
from hamipose.methods.validation import check_at_least
from hamipose.types import TrainBatch

__all__ = ["SAGM"]


class SAGM(PoseMethod):
    r"""Minimize the source loss, its worst value nearby, and the angle between their gradients.

    .. math::
        g = \nabla L_s(\theta), \qquad
        g' = \nabla L_s\big(\theta + (\rho / \|g\| - \alpha)\, g\big), \qquad
        \text{step with } \tfrac12 g + \tfrac12 g'

    This is domain generalization: no target image is used. Each step has two passes, and uses both gradients. As in the
    authors' code, ρ is constant and BatchNorm's running statistics are only updated in the first pass. Deviation: their
    code scales by the norm of each process's gradient, ours by that of the gradient averaged over all processes.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        radius: ρ.
        alignment: α, a step of plain descent before the second gradient, which aligns the two.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        radius: float = 0.05,
        alignment: float = 0.001,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, radius=radius, alignment=alignment)
        self.radius = radius
        self.alignment = alignment

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Leave the mean of the gradients g and g'."""
        objective = self.objective(batch)
        self.manual_backward(objective.loss)
        parameters = [p for p in self.trainable_parts().parameters() if p.requires_grad]
        here = take_gradient(parameters)
        norm = length(here)
        scale = self.radius / torch.where(norm == 0, 1.0, norm) - self.alignment
        with displaced(parameters, torch._foreach_mul(here, scale)), frozen_statistics(self.network):
            self.manual_backward(self.objective(batch).loss)
        there = take_gradient(parameters)
        set_gradient(parameters, torch._foreach_lerp(here, there, 0.5))
        return objective
