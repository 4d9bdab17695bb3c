"""CGDM, cross-domain gradient discrepancy minimization (Du et al., CVPR 2021), adapted to heatmaps."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.engine.distributed import average_over_processes, mean_over_batch, sum_over_processes
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import OpenGate
from hamipose.losses import consistency, heatmap_mse
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation, DomainPass
from hamipose.models.preprocess import normalize
from hamipose.precision import at_least_single
from hamipose.types import TrainBatch

__all__ = ["CGDM", "confidence_weights", "gradient_gap", "map_entropy", "spatial_distribution"]

Maps = Float[Tensor, "batch keypoint height width"]


def spatial_distribution(maps: Maps) -> Float[Tensor, "batch keypoint cell"]:
    """Return each map as probabilities of its cells: negative values are set to 0, then divided by the sum."""
    mass = at_least_single(maps).flatten(2).clamp(min=0) + 1e-6
    return mass / mass.sum(2, keepdim=True)


def map_entropy(probabilities: Float[Tensor, "*batch cell"]) -> Float[Tensor, "*batch"]:
    """Return the entropy as a fraction of its maximum, log(cells)."""
    cells = torch.tensor(float(probabilities.shape[-1]))
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1) / cells.log()


def confidence_weights(maps: Maps) -> Float[Tensor, "batch keypoint"]:
    r"""Return weights of pseudo-labels, :math:`1 + e^{-H}` scaled to mean 1 over all processes, without gradients."""
    weights = 1 + torch.exp(-map_entropy(spatial_distribution(maps.detach())))
    (mean,) = average_over_processes(weights.mean())
    return weights / mean


def gradient_gap(source: DomainPass, target: DomainPass) -> Float[Tensor, ""]:
    r"""Return :math:`1 - \cos` of two losses' gradients of a head, differentiable in the features.

    The cosine is computed for each row of the weights and once for the biases, as in the authors' code, from gradients
    averaged over all processes. The head is one linear layer, so its gradients are a product of heatmap gradients and
    features. The authors differentiate twice through the parameters; here an ordinary backward pass is enough.
    """
    weights, biases = [], []
    for domain in (source, target):
        (gradient,) = torch.autograd.grad(domain.losses.sum(), domain.heatmaps, create_graph=True)
        with torch.autocast(gradient.device.type, enabled=False):
            gradient = at_least_single(gradient).flatten(2)
            rows = torch.bmm(gradient, at_least_single(domain.features).flatten(2).mT).sum(0)
        weights.append(sum_over_processes(rows))
        biases.append(sum_over_processes(gradient.sum((0, 2))))
    rows = _cosine(*weights).mean()
    return 1 - (rows + _cosine(*biases)) / 2


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine along the last dimension; 0 without a gradient for zero vectors (a keypoint in no image).

    Each vector is first divided by its largest absolute value, because squares would underflow.
    """
    largest = [v.detach().abs().amax(-1, keepdim=True) for v in (a, b)]
    zero = (largest[0] == 0) | (largest[1] == 0)
    a, b = (torch.where(zero, 1.0, v / torch.where(zero, 1.0, top)) for v, top in zip((a, b), largest, strict=True))
    return torch.where(zero[..., 0], 0.0, torch.cosine_similarity(a, b, dim=-1))


class CGDM(PoseMethod):
    r"""Two heads that should agree on the target, with gradients that should agree between the domains.

    .. math::
        \min_{F, h}\; L_s(h_1) + L_s(h_2) + \beta_{sup} L_{sup} + \beta_{ent} L_{ent}, \qquad
        \max_h\, \min_F\; d(h_1, h_2), \qquad \min_F\; \beta_{gm} L_{gm}

    where :math:`L_{gm}` is the mean over heads of :math:`1 - \cos(\nabla_h L_s, \nabla_h L_{sup})`, :math:`L_{sup}` is
    the error against pseudo-labels weighted by :math:`1 + e^{-H}`, and :math:`L_{ent}` is the entropy of each map minus
    that of the batch's mean map.

    **Adaptation to heatmaps.** Classes become cells; a head is a 1 × 1 layer. Cross-entropy becomes the squared error
    of heatmaps. Pseudo-labels are the EMA teacher's maps (of the first head) instead of a clustering of all target
    features every few batches. d is the mean absolute difference of the maps clamped to [0, 1], which bounds it as
    softmax did. H is a map's entropy as a fraction of log(cells). The weights of pseudo-labels have mean 1; in the
    authors' code they are divided by the batch size twice. The published β belong to losses of order 1: use
    ``training.reduction: sum``, or d and L_gm dominate (with means, on the demo's start, their gradients are 45 and
    10,000 times that of the source loss).

    **One step instead of six.** The authors take a step on the first line, then one of the heads on −d, then four of
    the features on d and the last part. Here one backward pass does all: in d the sign of the gradient of the heads'
    parameters is reversed, and in :math:`L_{gm}` the heads are held constant. The user's network has the EMA of the
    first head.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network, whose last layer is the first head.
        training: options of training.
        adaptation: options of the teacher; λ multiplies all losses of the target.
        supervision: β_sup.
        entropy: β_ent.
        gradient: β_gm.
        discrepancy: weight of d.
    """

    supports_pretrained = False

    adaptation: Adaptation

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(),  # noqa: B008
        supervision: float = 0.01,
        entropy: float = 0.01,
        gradient: float = 0.01,
        discrepancy: float = 1.0,
    ):
        super().__init__(network, optimizer, training)
        self.second = nn.Conv2d(self.network.feature_channels, len(self.skeleton), kernel_size=1)
        nn.init.normal_(self.second.weight, std=0.001)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.adaptation = Adaptation(self.network, OpenGate(), None, adaptation, self.skeleton.mirror, self.encoding)
        self.supervision = supervision
        self.entropy = entropy
        self.gradient = gradient
        self.discrepancy = discrepancy

    def trainable_parts(self) -> nn.ModuleDict:
        """Return the parts of the network, and the second head."""
        return nn.ModuleDict({**dict(self.network.named_children()), "second": self.second})

    @torch.no_grad()
    def start_adaptation(self) -> None:
        """Start the teacher and, with a network of another run, the second head."""
        super().start_adaptation()
        if self.global_step == 0:  # a network of another run has one head: the second is a copy with 10 % noise
            for second, first in zip(self.second.parameters(), self.network.final.parameters(), strict=True):
                second.copy_(first + 0.1 * first.square().mean().sqrt() * torch.randn_like(first))

    @property
    def _heads(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        return self.network.final, self.second

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute the losses of the class's three lines in one sum."""
        source = self.forward_source(batch.source)
        truth, visible = self.encode_source(batch.source)
        reduction = self.training_options.reduction

        def on_source(maps: Maps) -> Float[Tensor, " keypoint"]:
            return heatmap_mse(maps, truth, visible, reduction)

        loss = source.losses.sum() + on_source(self.second(source.features).float()).sum()
        if batch.target is None:
            return StepResult(loss, source.losses)
        labels = self.adaptation.pseudo_label(batch.target)
        features = self._features(normalize(batch.target.student))
        maps = [head(features).float() for head in self._heads]

        def on_target(maps: Maps) -> Float[Tensor, " keypoint"]:
            weights = confidence_weights(maps)[:, :, None, None] * labels.weight
            return consistency(maps, labels.heatmaps, weights, reduction)

        supervised = [on_target(m) for m in maps]
        probabilities = [spatial_distribution(m) for m in maps]
        entropies = [map_entropy(p).mean() - map_entropy(mean_over_batch(p)).mean() for p in probabilities]
        first, second = (_through(features, head, reverse=True).clamp(0, 1) for head in self._heads)
        gaps = []
        for head in self._heads:
            maps_held = [_through(f, head, reverse=False) for f in (source.features, features)]
            of_source = DomainPass(on_source(maps_held[0]), maps_held[0], source.features)
            gaps.append(gradient_gap(of_source, DomainPass(on_target(maps_held[1]), maps_held[1], features)))
        target_loss = (
            self.supervision * _sum(s.sum() for s in supervised)
            + self.entropy * _sum(entropies)
            + self.discrepancy * (first - second).abs().mean()
            + self.gradient * _sum(gaps) / len(gaps)
        )
        target_weight = self.adaptation.options.target_weight
        loss = loss + target_weight * target_loss
        return StepResult(loss, source.losses, supervised[0], target_weight=target_weight * self.supervision)


def _through(features: Tensor, head: nn.Conv2d, reverse: bool) -> Maps:
    """Return the head's maps; its parameters get no gradient or, with `reverse`, one of opposite sign."""
    assert head.bias is not None
    weight, bias = (2 * p.detach() - p if reverse else p.detach() for p in (head.weight, head.bias))
    return nn.functional.conv2d(features, weight, bias).float()


def _sum(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()
