"""RegDA (Jiang et al., CVPR 2021): a minimax game between an adversarial head and the features on the target."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.engine.optimization import inverse_decay, step_decay
from hamipose.errors import UserError
from hamipose.evaluation.diagnostics import StepResult
from hamipose.losses import heatmap_kl
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.pseudo_labels import ground_false, rectify
from hamipose.methods.teacher_student import DomainPass
from hamipose.methods.validation import check_at_least
from hamipose.models.adversarial import AdversarialHead, scale_gradient, warm_start, zero_with_gradients
from hamipose.models.network import LogDensityNetwork, PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.types import SourceBatch, TrainBatch

__all__ = ["RegDA"]


class RegDA(PoseMethod):
    r"""Features f, head h, adversarial head h'; three consecutive minimizations per step.

    Let KL be the divergence of maps normalized over the cells (:func:`hamipose.losses.heatmap_kl`), R a new Gaussian at
    h's peak, F the clipped sum of the other keypoints' R, and :math:`\mathcal{G}_\lambda` a layer that multiplies
    gradients by λ(i) = 2·0.1/(1 + e^{−i/1000}) − 0.1 in the backward pass:

    .. math::
        A:\ & \min_{f, h, h'} KL(H_s, h f x_s) + \gamma \eta\, KL(R(h f x_s), h' \mathcal{G}_\lambda f x_s) \\
        B:\ & \min_{h'} \eta\, KL(F(h f x_t), h' f x_t) \\
        C:\ & \min_{f} \eta\, KL(R(h f x_t), h' \mathcal{G}_\lambda f x_t)

    The learning rate follows (1 + 10⁻⁴ i)^−0.75 (× ``training.warmup_steps``, 0 in the paper; ``final_lr_ratio`` is not
    used), and during ``pretrain_steps``, on the source alone, it is divided by 10 at 45/70 and again at 60/70 of them.

    Deviations from the published code: h is the Simple Baseline's single 1 × 1 layer, as in all methods here (theirs:
    3 × 3 and 1 × 1; h' has both). The target's visibility labels, which multiply B and C in their code, are not read.
    B and C share one pass of f, whose weights B does not change. Peaks may be negative. Momentum is kept after
    pretraining, which ends with its last network, not its best one. One optimizer with parameter groups takes three
    steps and only sees the gradients of the parts that a step updates, which is equivalent to three optimizers; the
    trainer counts one step.

    Args:
        optimizer: creates the optimizer from parameters; ``training.lr_factors`` also has the part ``adversarial``.
        network: options of the pose network.
        training: options of training; `reduction` must be "mean".
        margin: γ.
        target_weight: η.
        reversal: limit of λ.
        reversal_steps: number of steps N over which λ approaches it.
        pretrain_steps: steps on the source alone.
    """

    supports_pretrained = False
    network: PoseNetwork

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        margin: float = 4.0,
        target_weight: float = 1.0,
        reversal: float = 0.1,
        reversal_steps: int = 1000,
        pretrain_steps: int = 0,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, margin=margin, target_weight=target_weight, reversal=reversal, pretrain_steps=pretrain_steps)
        check_at_least(1, reversal_steps=reversal_steps)
        if training.reduction != "mean":
            raise UserError(f"training.reduction is {training.reduction}; RegDA's divergence is a mean: expected mean")
        self.save_hyperparameters({"maps": "log-densities"})  # outputs of `evaluated_networks`; see models.model_io
        self.adversarial = AdversarialHead(self.network.feature_channels, len(self.skeleton))
        self.margin = margin
        self.target_weight = target_weight
        self.reversal = reversal
        self.reversal_steps = reversal_steps
        self.pretrain_steps = pretrain_steps

    def trainable_parts(self) -> nn.ModuleDict:
        """Return backbone, deconv, final and adversarial."""
        return nn.ModuleDict({**dict(self.network.named_children()), "adversarial": self.adversarial})

    def uses_target(self, step: int) -> bool:
        """Return whether pretraining has ended."""
        return step >= self.pretrain_steps

    def source_only_steps(self) -> int:
        """Return `pretrain_steps`."""
        return self.pretrain_steps

    def learning_rate(self, step: int, total: float) -> float:
        """Return the factor of pretraining or of adaptation; see the class."""
        warm = min(1.0, (step + 1) / max(1, self.training_options.warmup_steps))
        if step < self.pretrain_steps:
            return warm * step_decay(step, self.pretrain_steps, (45 / 70, 60 / 70))
        return warm * inverse_decay(step - self.pretrain_steps)

    def forward_source(self, batch: SourceBatch) -> DomainPass:
        """Pass source images through the network, with densities as labels."""
        with self.track_source_statistics():
            features = self._features(normalize(batch.image))
        heatmaps = self.network.final(features).float()
        return DomainPass(heatmap_kl(heatmaps, *self.encode_source(batch)), heatmaps, features)

    def disparity(
        self, features: Tensor, truth: Tensor, visible: Float[Tensor, "batch keypoint"] | None = None
    ) -> Float[Tensor, " keypoint"]:
        """Return the divergence between h' on the features and the given maps."""
        return heatmap_kl(self.adversarial(features).float(), truth, visible, epsilon=1e-7)

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Take the steps A and B, and leave the gradient of C for the trainer's step."""
        source = self.forward_source(batch.source)
        if batch.target is None:
            loss = source.losses.sum()
            self.manual_backward(loss + zero_with_gradients(self.adversarial.parameters()))
            self._keep_gradients(self.network.parameters())
            return StepResult(loss, source.losses)
        slope = warm_start(self.global_step - self.pretrain_steps, self.reversal, self.reversal_steps)
        sigma = self.training_options.sigma

        agreement = self.disparity(
            scale_gradient(source.features, slope),
            rectify(source.heatmaps, sigma),
            (batch.source.visibility > 0).float(),
        )
        loss = source.losses.sum() + self.margin * self.target_weight * agreement.sum()
        self.manual_backward(loss)
        self._step_now()

        features = self._features(normalize(batch.target.student))
        truth = rectify(self.network.final(features.detach()), sigma)
        wrong = self.target_weight * self.disparity(features.detach(), ground_false(truth))
        self.manual_backward(wrong.sum() + zero_with_gradients(self.network.parameters()))
        self._keep_gradients(self.adversarial.parameters())
        self._step_now()

        right = self.disparity(scale_gradient(features, slope), truth)
        game = self.target_weight * right.sum()
        self.manual_backward(game + zero_with_gradients(self.network.final.parameters()))
        self._keep_gradients([*self.network.backbone.parameters(), *self.network.deconv.parameters()])
        return StepResult((loss + game).detach(), source.losses, right, target_weight=self.target_weight)

    def _step_now(self) -> None:
        """Take a step that the trainer does not count."""
        self._clip_gradient(measure=False)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        optimizer.step()
        optimizer.zero_grad()

    def _keep_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Remove all other gradients: an optimizer skips parameters without one, including momentum and decay."""
        kept = {id(parameter) for parameter in parameters}
        for parameter in self.trainable_parts().parameters():
            if id(parameter) not in kept:
                parameter.grad = None

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return densities of normalized images."""
        return LogDensityNetwork(self.network)(images)

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """Return the one network."""
        return {"student": LogDensityNetwork(self.network)}
