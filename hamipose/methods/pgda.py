"""PGDA, prompt gradient alignment (Phan et al., NeurIPS 2024), adapted to heatmap networks."""

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from hamipose.engine.distributed import average_over_processes
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import OpenGate
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import displaced, frozen_statistics, length, set_gradient, take_gradient
from hamipose.methods.teacher_student import Adaptation, DomainPass
from hamipose.methods.validation import check_at_least, check_fraction
from hamipose.models.preprocess import normalize
from hamipose.types import TrainBatch

__all__ = ["PGDA", "toward"]


@torch.no_grad()
def toward(own: list[Tensor], other: list[Tensor], radius: float, alignment: float) -> list[Tensor]:
    r"""Return the displacement for a domain's second gradient, :math:`\rho\, g / n - a\, g' / (n n')`, n, n' norms.

    To first order the loss there is :math:`L + \rho n - a \cos(g, g')`: small where it is flat and both agree.

    Args:
        own: g, the gradient of this domain's loss.
        other: g', the gradient of the other domain's loss.
        radius: ρ.
        alignment: a.
    """
    n, m = (torch.where(norm == 0, 1.0, norm) for norm in (length(own), length(other)))
    here, there = torch._foreach_mul(own, radius / n), torch._foreach_mul(other, alignment / (n * m))
    return list(torch._foreach_sub(here, there))


class PGDA(PoseMethod):
    r"""Source and target gradients at displaced points, where the loss is sharp and the other domain disagrees.

    .. math::
        g_T^* = \nabla L_T\Big(\theta + \rho \frac{g_T}{n_T} - a \frac{g_S}{n_S n_T}\Big), \qquad
        g_S^* = \nabla L_S\Big(\theta + \rho \frac{g_S}{n_S} - a \frac{g_T}{n_S n_T}\Big), \qquad
        \text{step with } \lambda g_T^* + c\, g_S^*

    **Adaptation to heatmaps.** The original adapts CLIP's prompts for classification: a shared prompt, one prompt per
    domain, and pseudo-labels from the frozen CLIP. Here θ, the part shared by both domains, is the whole network, and
    there is no part of a single domain. L_S is the squared error of heatmaps against labels. L_T is the consistency
    with the EMA teacher (as in the mean teacher) instead of cross-entropy against confident pseudo-labels. The
    teacher's maps are computed once for both target passes, as CLIP's are. It is not known how the authors of HamiPose
    adapted the method for their tables.

    **Scale.** :math:`a / n_T` is a length in parameter space. In the original's units (cross-entropy of a prompt of
    some thousand numbers) a = 10 is modest. With heatmap losses, whose gradients are small, it would move the network
    by many times its norm: on the demo's start, n_T = 0.004 and ‖θ‖ = 90, so that a = 10 is a displacement of 2400. The
    default displaces as far as ρ does there; with other losses, choose `alignment` as ρ n_T.

    A step has four backward passes, all through ``manual_backward``. With ρ = a = 0 it is a mean teacher with weights λ
    and c.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        adaptation: options of the teacher, and λ.
        radius: ρ.
        alignment: a.
        source_share: c.
    """

    adaptation: Adaptation

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(),  # noqa: B008
        radius: float = 0.05,
        alignment: float = 2e-4,
        source_share: float = 0.3,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, radius=radius, alignment=alignment)
        check_fraction(source_share=source_share)
        # The open gate only measures the conflict.
        self.adaptation = Adaptation(self.network, OpenGate(), None, adaptation, self.skeleton.mirror, self.encoding)
        self.radius = radius
        self.alignment = alignment
        self.source_share = source_share

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Leave the gradient of the class's equation, from four backward passes."""
        if batch.target is None:
            return super().compute_gradients(batch)
        view, parameters = batch.target.student, [p for p in self.trainable_parts().parameters() if p.requires_grad]
        labels = self.adaptation.pseudo_label(batch.target)

        def target() -> DomainPass:
            features = self._features(normalize(view))
            heatmaps = self.network.final(features).float()
            losses = self.network.loss(heatmaps, labels.heatmaps, labels.weight, self.training_options.reduction)
            return DomainPass(losses, heatmaps, features)

        source_pass = self.forward_source(batch.source)
        source_rows = source_pass.head_gradient()
        self.manual_backward(source_pass.losses.sum())
        source = take_gradient(parameters)
        target_pass = target()
        target_rows = target_pass.head_gradient()
        self.manual_backward(target_pass.losses.sum())
        own = take_gradient(parameters)

        with frozen_statistics(self.network):
            with displaced(parameters, toward(own, source, self.radius, self.alignment)):
                self.manual_backward(target().losses.sum())
            target_gradient = take_gradient(parameters)
            with displaced(parameters, toward(source, own, self.radius, self.alignment)):
                self.manual_backward(self.forward_source(batch.source).losses.sum())
            source_gradient = take_gradient(parameters)

        target_weight = self.adaptation.options.target_weight
        torch._foreach_mul_(target_gradient, target_weight)
        set_gradient(parameters, torch._foreach_add(target_gradient, source_gradient, alpha=self.source_share))
        rows = average_over_processes(source_rows, target_rows, labels.confidence)
        gate = self.adaptation.gate(rows[0], rows[1], rows[2], progress=1.0, target_weight=target_weight)
        losses = source_pass.losses.detach(), target_pass.losses.detach()
        loss = self.source_share * losses[0].sum() + target_weight * losses[1].sum()
        return StepResult(loss, *losses, gate, labels.confidence, target_weight)
