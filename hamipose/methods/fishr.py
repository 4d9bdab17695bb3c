"""Fishr (Rame et al., ICML 2022) on heatmaps: gradients with the same variance in all domains."""

from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from hamipose.engine.distributed import sum_over_processes
from hamipose.evaluation.diagnostics import StepResult
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import DomainPass
from hamipose.methods.validation import check_at_least, check_domains, check_fraction
from hamipose.precision import at_least_single
from hamipose.types import TrainBatch

__all__ = ["Fishr", "domain_variances", "sample_gradients", "variance_gap"]


def sample_gradients(source: DomainPass) -> Float[Tensor, "batch keypoint parameter"]:
    r"""Return each image's gradient of the last layer's rows, :math:`\sum_u g^{(k)}(n,u)\,[F(n,:,u); 1]`.

    It is differentiable, and one product for all images and keypoints. The loss of an image is its share of the
    batch's loss times the batch size, so that the mean over images is the batch's gradient.
    """
    (gradient,) = torch.autograd.grad(source.losses.sum(), source.heatmaps, create_graph=True)
    with torch.autocast(gradient.device.type, enabled=False):
        gradient = at_least_single(gradient).flatten(2) * len(gradient)
        weights = torch.bmm(gradient, at_least_single(source.features).flatten(2).mT)
    return torch.cat([weights, gradient.sum(2, keepdim=True)], 2)


def domain_variances(
    gradients: Float[Tensor, "batch keypoint parameter"], domain: Int[Tensor, " batch"], domains: int
) -> Float[Tensor, "domain keypoint parameter"]:
    r"""Return the variance of each coordinate over the images of each domain, of all processes together.

    .. math:: v_e = \mathrm{mean}_{n \in e}\, (G_n - \bar G_e)^2
    """
    member = torch.nn.functional.one_hot(domain, domains).to(gradients).mT
    count = sum_over_processes(member.sum(1))[:, None, None]
    mean = sum_over_processes(torch.einsum("dn,nkp->dkp", member, gradients)) / count
    return sum_over_processes(torch.einsum("dn,nkp->dkp", member, (gradients - mean[domain]).square())) / count


def variance_gap(variances: Float[Tensor, "domain keypoint parameter"]) -> Float[Tensor, ""]:
    r"""Return the penalty :math:`\frac1E \sum_e \|v_e - \bar v\|^2` (eq. 4)."""
    return (variances - variances.mean(0)).square().sum() / len(variances)


class Fishr(PoseMethod):
    r"""Source loss plus the distance between the domains' gradient variances. No target image is used.

    .. math:: L_s + \lambda \frac1E \sum_e \|v_e - \bar v\|^2

    where v_e is the variance of the last layer's gradients over the images of domain e, and an average over steps:
    :math:`m_e \leftarrow \beta m_e + (1-\beta) v_e`. As in the authors' code, m_e/(1 − β) replaces v_e, so that the
    gradient is the full gradient of the current v_e, and the optimizer's state is reset when the penalty begins.

    **Domains.** There is one labeled source set, so the domains are styles of it: one for each entry of
    ``data.source_views``. Every batch contains an equal share of each, of different images.

    Deviations: squared heatmap error instead of cross-entropy; the last 1 × 1 layer as the "classifier". The distance
    is the paper's squared norm; the authors' code uses the mean over coordinates, which is smaller by their number. The
    penalty grows with the fourth power of gradients, so λ depends on the scale of the losses: on the demo's start the
    penalty is 4e-11 and its gradient 1e-7 of the loss's, so that the published λ = 1000 has no effect;
    configs/hamipose/small uses 1e6.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        domains: number of domains; must be the length of ``data.source_views``.
        penalty: λ.
        penalty_start: first step with the penalty.
        decay: β.
    """

    variances: Tensor

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        domains: int = 2,
        penalty: float = 1000.0,
        penalty_start: int = 1500,
        decay: float = 0.95,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(1, domains=domains)
        check_at_least(0, penalty=penalty, penalty_start=penalty_start)
        check_fraction(decay=decay)
        self.domains = domains
        self.penalty = penalty
        self.penalty_start = penalty_start
        self.decay = decay
        rows = (domains, len(self.skeleton), self.network.feature_channels + 1)
        self.register_buffer("variances", torch.zeros(rows))

    def setup(self, stage: str) -> None:
        """Check the number of domains, too."""
        super().setup(stage)
        if stage == "fit":
            check_domains(type(self).__name__, self._data, self.domains)

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute the source loss plus, from `penalty_start` on, the penalty."""
        source = self.forward_source(batch.source)
        variances = domain_variances(sample_gradients(source), batch.source.domain, self.domains)
        variances = self.decay * self.variances + (1 - self.decay) * variances
        self.variances.copy_(variances.detach())
        loss = source.losses.sum()
        if self.global_step >= self.penalty_start:
            loss = loss + self.penalty * variance_gap(variances / (1 - self.decay))
        return StepResult(loss, source.losses)

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Reset the optimizer's state when the penalty begins, then compute gradients."""
        if self.global_step == self.penalty_start > 0:
            optimizer: Any = self.optimizers(use_pl_optimizer=False)
            optimizer.state.clear()
            for group in optimizer.param_groups:
                group.pop("alpha", None)  # the scalar masses of hamipose.optim.Hamiltonian
        return super().compute_gradients(batch)
