"""GGA, gradient-guided annealing (Ballas & Diou, CVPR 2025), on heatmaps: an early search for agreeing gradients."""

import itertools

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from hamipose.engine.distributed import average_over_processes
from hamipose.evaluation.diagnostics import StepResult
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import displaced, frozen_statistics
from hamipose.methods.validation import check_at_least, check_domains
from hamipose.types import SourceBatch, TrainBatch

__all__ = ["GGA", "smallest_cosine"]


def smallest_cosine(gradients: Float[Tensor, "domain parameter"]) -> Float[Tensor, ""]:
    """Return the smallest cosine of all pairs of domains; 0 if a gradient is zero.

    >>> smallest_cosine(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    tensor(0.)
    """
    pairs = itertools.combinations(range(len(gradients)), 2)
    return torch.stack([torch.cosine_similarity(gradients[i], gradients[j], dim=0) for i, j in pairs]).amin()


class GGA(PoseMethod):
    r"""Random steps towards a point where the domains' gradients agree, in a window of steps early in training.

    In each step of the window, `searches` times: :math:`\theta' = \theta + u`, u uniform in ±`radius`; θ' is accepted
    if the loss rises by less than the tolerance and :math:`\min_{i<j} \cos(\nabla L_i(\theta'), \nabla L_j(\theta'))`
    improves, where L_i is the source loss of domain i. An ordinary step on L_s follows. No target image is used.

    **Domains** are styles of the one labeled source, one for each entry of ``data.source_views``.

    Deviations. The tolerance is a fraction of the loss: the original allows +0.1 of a cross-entropy, a value that
    squared heatmap errors never reach. Each trial starts from the best point so far. In the authors' code, the noise of
    failed trials is not undone, so that the search is a random walk, and after a success it restarts from the first
    point of the step. As in their code, all parts except the last layer are moved. Neither code anneals anything,
    despite the name: the authors' temperature stays at 1. The noise is seeded by the step, so that all processes, and a
    resumed run, move in the same way.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        domains: number of domains; must be the length of ``data.source_views``.
        start_step: first step of the window.
        end_step: last step of the window.
        searches: trials in each of these steps; each costs a forward and a backward pass.
        radius: largest change of a parameter in a trial.
        tolerance: allowed increase of the loss as a fraction of it.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        domains: int = 2,
        start_step: int = 100,
        end_step: int = 150,
        searches: int = 250,
        radius: float = 1e-6,
        tolerance: float = 0.1,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(1, domains=domains)
        check_at_least(
            0, start_step=start_step, end_step=end_step, searches=searches, radius=radius, tolerance=tolerance
        )
        self.domains = domains
        self.start_step = start_step
        self.end_step = end_step
        self.searches = searches
        self.radius = radius
        self.tolerance = tolerance

    def setup(self, stage: str) -> None:
        """Check the number of domains, too."""
        super().setup(stage)
        if stage == "fit":
            check_domains(type(self).__name__, self._data, self.domains)

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Search in the window of steps, then compute gradients."""
        if self.start_step <= self.global_step <= self.end_step:
            with frozen_statistics(self.network):
                self.search(batch.source)
        return super().compute_gradients(batch)

    def agreement(self, batch: SourceBatch) -> tuple[float, float]:
        """Return the smallest cosine between two domains' gradients, and the mean of their losses."""
        losses, gradients = [], []
        for domain in range(self.domains):
            loss = self.forward_source(batch.select(batch.domain == domain)).losses.sum()
            # Not through manual_backward: no step is taken along these gradients, and they are averaged below.
            with torch.autocast(loss.device.type, enabled=False):
                gradient = torch.autograd.grad(loss, [p for p in self.network.parameters() if p.requires_grad])
            gradients.append(torch.cat([g.flatten() for g in gradient]))
            losses.append(loss.detach())
        rows, loss = average_over_processes(torch.stack(gradients), torch.stack(losses).mean())
        return float(smallest_cosine(rows)), float(loss)

    def search(self, batch: SourceBatch) -> None:
        """Move the network to the best point found in its neighborhood."""
        moved = [p for name, p in self.network.named_parameters() if p.requires_grad and not name.startswith("final.")]
        generator = torch.Generator(self.device).manual_seed(self.global_step)
        cosine, loss = self.agreement(batch)
        for _ in range(self.searches):
            noise = [torch.empty_like(p).uniform_(-self.radius, self.radius, generator=generator) for p in moved]
            with displaced(moved, noise):
                new_cosine, new_loss = self.agreement(batch)
                better = [p.detach().clone() for p in moved] if new_cosine > cosine else None
            if better is not None and new_loss < (1 + self.tolerance) * loss:
                with torch.no_grad():
                    torch._foreach_copy_([*moved], better)
                torch.clear_autocast_cache()
                cosine, loss = new_cosine, new_loss
