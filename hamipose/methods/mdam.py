"""MDAM (Li & Lee, CVPR 2021): filtered pseudo-labels, a refinement network, a teacher and a domain classifier."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.data.target_pass import iterate_target
from hamipose.engine.distributed import draw_local_rows
from hamipose.engine.optimization import polynomial, ramp_down, ramp_up, total_steps
from hamipose.errors import UserError
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import OpenGate
from hamipose.geometry.affine import compose, invert
from hamipose.heatmaps import encode, warp_heatmaps
from hamipose.losses import heatmap_mse, small_losses
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.parts.multi_view import PseudoLabels, labels_in_student_view
from hamipose.methods.parts.occlusion import paste_random_patches
from hamipose.methods.parts.source_statistics import SourceStatistics
from hamipose.methods.parts.target_labels import check_label_options
from hamipose.methods.teacher_student import Adaptation
from hamipose.methods.validation import check_at_least, check_fraction
from hamipose.models.adversarial import DomainClassifier, reversal_factor, scale_gradient, zero_with_gradients
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.models.refinement import RefinedNetwork, Refinement, RefinementOutput
from hamipose.models.teacher import Teacher
from hamipose.types import TargetBatch, TrainBatch

__all__ = ["MDAM", "MDAMOptions", "mixed"]


@dataclass(frozen=True)
class MDAMOptions:
    """Weights, schedules (in epochs of adaptation) and augmentation, as published.

    Attributes:
        initial: weight of the initial pseudo-labels at the start.
        initial_last: smallest value of that weight.
        initial_epochs: length of the half cosine along which it falls.
        consistency: final weight of the inner and the outer loop.
        consistency_epochs: number of epochs in which it rises to that value.
        two_heads: weight of the agreement of the refinement's two heads.
        domain: weight of the domain classifier.
        mining_epoch: epoch from which on one keypoint less per image is used with each epoch.
        least_keypoints: smallest number of keypoints per image.
        discard_fraction: fraction of the initial pseudo-labels that is discarded.
        views: number of views averaged for a label.
        mixup: β of the cross-domain mixup.
        occluders: number of patches pasted into half of the student's target images.
        occluder_px: side of these patches, in pixels of a 256-pixel crop.
        refinement_width: channels of each scale in the refinement block.
        classifier_width: channels of the domain classifier's first layer.
    """

    initial: float = 15.0
    initial_last: float = 8.0
    initial_epochs: float = 15.0
    consistency: float = 90.0
    consistency_epochs: float = 10.0
    two_heads: float = 0.01
    domain: float = 5e-4
    mining_epoch: int = 2
    least_keypoints: int = 9
    discard_fraction: float = 0.6
    views: int = 5
    mixup: float = 0.8
    occluders: int = 8
    occluder_px: float = 40.0
    refinement_width: int = 256
    classifier_width: int = 64

    def __post_init__(self) -> None:
        check_fraction(discard_fraction=self.discard_fraction)
        check_at_least(1, least_keypoints=self.least_keypoints, views=self.views, occluder_px=self.occluder_px)
        check_at_least(1, refinement_width=self.refinement_width, classifier_width=self.classifier_width)
        check_at_least(0, occluders=self.occluders, mining_epoch=self.mining_epoch)
        if not self.mixup > 0:
            raise ValueError(f"mixup is {self.mixup}: expected a β above 0")


def mixed(
    own: Float[Tensor, " batch *rest"], other: Float[Tensor, " batch *rest"], share: Float[Tensor, " batch"]
) -> Float[Tensor, " batch *rest"]:
    """Return share · own + (1 − share) · other, image by image."""
    share = share.view(-1, *(1,) * (own.ndim - 1))
    return share * own + (1 - share) * other


class _Maps(NamedTuple):
    coarse: Float[Tensor, "batch keypoint height width"]
    refined: RefinementOutput


class MDAM(PoseMethod):
    r"""Coarse and refined heatmaps, filtered pseudo-labels, a teacher of both, and a domain classifier.

    Let ℓ_K' be the mean over each image's K' smallest losses (:func:`hamipose.losses.small_losses`), c the coarse maps,
    r, r' the refinement's two heads, t the teacher's r warped into the student's view, ŷ the initial pseudo-labels and
    x̃ images mixed across domains. The loss is

    .. math::
        L =\ & \ell(c(\tilde x_s), \tilde y_s) + \ell(r(\tilde x_s), \tilde y_s)
        + w_1(e) [\ell_{K'}(c(\tilde x_t), \tilde{\hat y}) + \ell_{K'}(r(\tilde x_t), \tilde{\hat y})] \\
        & + w_2(e) [\ell_{K'}(c(x_t), r(x_t)) + \ell(r'(x_t), t)] + 0.01\, \ell(r(x_t), r'(x_t))
        + 0.0005\, BCE(\text{domain})

    w_1 falls from 15 to 8, w_2 rises to 90 (:class:`MDAMOptions`); the classifier reads the refinement's features
    through a gradient reversal of strength 2/(1 + e^{−10p}) − 1. Teacher: τ = min(1 − 1/(n + 1), 0.999) in the
    n-th update. Learning rate: (1 − i/N)^0.9 (``final_lr_ratio`` is not used). Pretraining: only the first two terms.

    Deviations from the published code: initial labels are predicted by the coarse network when adaptation begins, from
    single images (the check against optical flow needs videos). Student and pseudo-labeled image are one view, not two.
    Mixup is across domains only; theirs also mixes horses with tigers. Occluders are patches of the same image instead
    of objects cut from PASCAL VOC, which would have to be downloaded. The coarsest scale of the refinement is the
    backbone's map. The domain classifier's layers are 3 × 3 (theirs 4 × 4) and averaged over positions, so that it
    accepts maps of any size, and are initialized as PyTorch does (theirs from N(0, 0.001²), with which six layers
    output almost nothing). Cells outside the teacher's view do not count. There is no mirrored pass at test time.

    Args:
        optimizer: creates the optimizer from parameters; ``training.lr_factors`` also has `refinement`, `classifier`.
        network: options of the pose network.
        training: options of training; `reduction` must be "mean".
        adaptation: options of teacher and pretraining (`ema_decay` of the paper: 0.999); `target_weight` multiplies all
            target terms.
        options: weights and schedules.
    """

    supports_pretrained = False
    network: PoseNetwork

    adaptation: Adaptation

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(ema_decay=0.999),  # noqa: B008
        options: MDAMOptions = MDAMOptions(),
    ):
        super().__init__(network, optimizer, training)
        check_label_options("MDAM", adaptation)
        self.save_hyperparameters({"maps": "refined"})  # outputs of `evaluated_networks`; see models.model_io
        if training.reduction != "mean":
            raise UserError(f"training.reduction is {training.reduction}; MDAM balances means: expected mean")
        self.options = options
        self.adaptation = Adaptation(self.network, OpenGate(), None, adaptation, self.skeleton.mirror, self.encoding)
        keypoints = len(self.skeleton)
        self.refinement = Refinement(self.network.pyramid_channels, options.refinement_width, keypoints)
        self.classifier = DomainClassifier(self.refinement.channels, options.classifier_width)
        self.refinement_teacher = Teacher(self.refinement, adaptation.ema_decay, adaptation.batchnorm)
        self.source_statistics = SourceStatistics(self.student_modules())
        self.labels = PseudoLabels(training.quantize)
        self._pyramid = torch.compile(self.network.pyramid) if network.compile else self.network.pyramid

    def trainable_parts(self) -> nn.ModuleDict:
        """Return backbone, deconv, final, refinement and classifier."""
        parts = dict(self.network.named_children())
        return nn.ModuleDict({**parts, "refinement": self.refinement, "classifier": self.classifier})

    def learning_rate(self, step: int, total: float) -> float:
        """Return the factor with a polynomial decay; see the class."""
        return min(1.0, (step + 1) / max(1, self.training_options.warmup_steps)) * polynomial(step, total)

    def student_modules(self) -> nn.Module:
        """Return the network with its refinement."""
        return RefinedNetwork(self.network, self.refinement)

    def predict_maps(self, images: Float[Tensor, "batch 3 height width"]) -> _Maps:
        """Return coarse and refined heatmaps of normalized images."""
        pyramid = self._pyramid(images)
        return _Maps(self.network.final(pyramid[-1]).float(), self.refinement(pyramid))

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute the loss; see the class."""
        training, options, target = self.training_options, self.options, batch.target
        images = normalize(batch.source.image)
        size = (images.shape[-2], images.shape[-1])
        draw = partial(encode, size=size, sigma=training.sigma, quantize=training.quantize)
        visible = batch.source.visibility > 0
        truth = draw(batch.source.keypoints_px, visible=visible)
        if target is None:
            with self.track_source_statistics():
                maps = self.predict_maps(images)
            losses = heatmap_mse(maps.coarse, truth, visible.float())
            losses = losses + heatmap_mse(maps.refined.first, truth, visible.float())
            unused = [*self.refinement.second.parameters(), *self.classifier.parameters()]
            return StepResult(losses.sum() + zero_with_gradients(unused), losses)

        if self.labels.stage < 0:
            images_of_target = iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size)
            self.labels.make(0, self.network, images_of_target, options.views, options.discard_fraction)
        keypoints_px, used = self.labels.lookup(target.name, images.device)
        keypoints_px, used = labels_in_student_view(keypoints_px, used, target, self.skeleton.mirror)
        labels = draw(keypoints_px, visible=used)
        student = normalize(paste_random_patches(target.student, options.occluders, options.occluder_px))
        beta = torch.distributions.Beta(options.mixup, options.mixup)
        share = draw_local_rows(lambda rows: beta.sample((rows,)), len(images)).to(images.device)
        share = torch.maximum(share, 1 - share)  # the larger share keeps its domain
        weight = torch.maximum(visible.float(), used.float())

        epoch = self.epoch_of_adaptation()
        kept = max(len(self.skeleton) - max(epoch - options.mining_epoch, 0), options.least_keypoints)
        kept = min(kept, len(self.skeleton))
        strength = reversal_factor(self.global_step / total_steps(self.trainer))

        with self.track_source_statistics():  # includes the target's share of the mixture
            maps = self.predict_maps(mixed(images, student, share))
        labels_mixed = mixed(truth, labels, share)
        source = heatmap_mse(maps.coarse, labels_mixed, weight) + heatmap_mse(maps.refined.first, labels_mixed, weight)
        domain = self.domain_loss(maps.refined.features, strength, of_source=True)

        maps = self.predict_maps(mixed(student, images, share))
        labels_mixed = mixed(labels, truth, share)
        initial = small_losses(maps.coarse, labels_mixed, weight, kept) + small_losses(
            maps.refined.first, labels_mixed, weight, kept
        )
        domain = domain + self.domain_loss(maps.refined.features, strength, of_source=False)

        maps = self.predict_maps(student)
        refined = maps.refined
        teacher_maps, known = self.refined_labels(target)
        everywhere = torch.ones_like(weight)
        inner = small_losses(maps.coarse, refined.first.detach(), everywhere, kept)
        outer = heatmap_mse(refined.second, teacher_maps, known)
        agreement = heatmap_mse(refined.first, refined.second)

        falling = max(options.initial_last, options.initial * ramp_down(epoch, options.initial_epochs))
        rising = options.consistency * ramp_up(epoch, options.consistency_epochs)
        losses = falling * initial + rising * (inner + outer) + options.two_heads * agreement
        target_weight = self.adaptation.options.target_weight
        total = source.sum() + target_weight * (losses.sum() + options.domain * domain)
        return StepResult(total, source, losses, target_weight=target_weight)

    def epoch_of_adaptation(self) -> int:
        """Return the number of complete epochs since the end of pretraining."""
        steps = self.global_step - self.adaptation.options.pretrain_steps
        return steps // int(self.trainer.num_training_batches)

    def domain_loss(
        self, features: Float[Tensor, "batch channel h w"], strength: float, *, of_source: bool
    ) -> Float[Tensor, ""]:
        """Return half the classifier's cross-entropy on one domain; the gradient to the features is reversed."""
        logits = self.classifier(scale_gradient(features, -strength)).float()
        return 0.5 * F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(of_source)))

    @torch.no_grad()
    def refined_labels(self, batch: TargetBatch) -> tuple[Tensor, Tensor]:
        """Return the teacher's refined heatmaps in the student's view, and their known cells."""
        with self.adaptation.teacher.labeling(), self.refinement_teacher.labeling():
            heatmaps = self.evaluated_networks()["teacher"](normalize(batch.teacher))
        student_from_teacher = compose(batch.student_matrix, invert(batch.teacher_matrix))
        mirrored = batch.student_mirrored ^ batch.teacher_mirrored
        quantize = self.training_options.quantize
        return warp_heatmaps(heatmaps, student_from_teacher, mirrored, self.skeleton.mirror, quantize=quantize)

    def training_step(self, batch: TrainBatch, batch_idx: int) -> None:
        """Take a step, then update the teacher of the refinement."""
        options = self.adaptation.options
        adapting = self.global_step >= options.pretrain_steps
        update = 1 + self.global_step - (options.pretrain_steps if adapting else 0)
        for teacher in (self.adaptation.teacher, self.refinement_teacher):
            teacher.decay = min(1 - 1 / (update + 1), options.ema_decay)
        super().training_step(batch, batch_idx)
        self.refinement_teacher.update(self.refinement)
        if self.global_step == options.pretrain_steps:
            self.refinement.second.load_state_dict(self.refinement.first.state_dict())
            self.refinement_teacher.reset(self.refinement)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return the teacher's refined heatmaps of normalized images."""
        return self.evaluated_networks()["teacher"](images)

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """Return student and teacher with their refinements."""
        return {
            "student": RefinedNetwork(self.network, self.refinement),
            "teacher": RefinedNetwork(self.adaptation.teacher.network, self.refinement_teacher.network),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the labels."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_labels"] = self.labels.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the labels."""
        super().on_load_checkpoint(checkpoint)
        self.labels.load_state_dict(checkpoint["pseudo_labels"])
