"""MDAM (Li & Lee, CVPR 2021): noisy pseudo labels, sifted, refined and taught by an average of the student."""

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
from hamipose.methods.parts.occlusion import paste_patches, patch_side, random_corners
from hamipose.methods.parts.source_statistics import SourceStatistics
from hamipose.methods.parts.target_labels import refuse_label_options
from hamipose.methods.teacher_student import Adaptation
from hamipose.methods.validation import check_at_least, check_fraction
from hamipose.models.adversarial import DomainClassifier, reversal_factor, scale_gradient, zero_with_gradients
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.models.refinement import Refined, RefinedNetwork, Refinement
from hamipose.models.teacher import Teacher
from hamipose.types import TargetBatch, TrainBatch

__all__ = ["MDAM", "MDAMOptions", "mixed"]


@dataclass(frozen=True)
class MDAMOptions:
    """Weights, schedules (in epochs of adaptation) and augmentation, as published.

    Attributes:
        initial: weight of the initial pseudo labels at the start,
        initial_last: and the least it falls to,
        initial_epochs: along half a cosine of this length.
        consistency: weight of both inner and outer loop at the end,
        consistency_epochs: which it rises to over these epochs.
        two_heads: weight of the agreement of the refinement's two heads.
        domain: weight of the domain classifier.
        mining_epoch: from here on a keypoint fewer per image is learnt from with each epoch,
        least_keypoints: down to this many.
        discard_fraction: share of the initial pseudo labels that is not believed.
        views: views averaged for a label.
        mixup: β of the cross-domain mixup.
        occluders: patches pasted into half of the student's target images,
        occluder_px: and their side, in pixels of a 256-pixel crop.
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
    mine: Float[Tensor, " batch *rest"], other: Float[Tensor, " batch *rest"], share: Float[Tensor, " batch"]
) -> Float[Tensor, " batch *rest"]:
    """Return share · mine + (1 − share) · other, image by image."""
    share = share.view(-1, *(1,) * (mine.ndim - 1))
    return share * mine + (1 - share) * other


class _Seen(NamedTuple):
    coarse: Float[Tensor, "batch keypoint height width"]
    refined: Refined


class MDAM(PoseMethod):
    r"""Coarse and refined heatmaps, sifted pseudo labels, a teacher of both, and a domain classifier.

    With ℓ_K' the mean over each image's K' smallest losses (:func:`hamipose.losses.small_losses`), c the coarse maps,
    r, r' the refinement's two heads, t the teacher's r carried into the student's view, ŷ the initial pseudo labels and
    x̃ images mixed across domains:

    .. math::
        L =\ & \ell(c(\tilde x_s), \tilde y_s) + \ell(r(\tilde x_s), \tilde y_s)
        + w_1(e) [\ell_{K'}(c(\tilde x_t), \tilde{\hat y}) + \ell_{K'}(r(\tilde x_t), \tilde{\hat y})] \\
        & + w_2(e) [\ell_{K'}(c(x_t), r(x_t)) + \ell(r'(x_t), t)] + 0.01\, \ell(r(x_t), r'(x_t))
        + 0.0005\, BCE(\text{domain})

    w_1 falls from 15 to 8, w_2 rises to 90 (:class:`MDAMOptions`); the classifier reads the refinement's features
    through a gradient reversal of strength 2/(1 + e^{−10p}) − 1. Teacher: τ = min(1 − 1/(n + 1), 0.999) in the
    n-th update. Learning rate: (1 − i/N)^0.9 (``final_lr_ratio`` is not used). While pretraining: the first two terms alone.

    Deviations from the published code: initial labels come from the coarse network when adaptation begins, of single
    images (the check against optical flow needs videos). Student and pseudo-labeled image are one view, not two.
    Mixup is across domains only; theirs also mixes horses with tigers. Occluders are patches of the same picture, not
    objects cut from PASCAL VOC, which would have to be downloaded. The refinement's coarsest scale is the backbone's
    map. The domain classifier's layers are 3 × 3 (there 4 × 4), averaged over the positions, so that maps of any size
    will do, and start as PyTorch's do (there from N(0, 0.001²), under which six layers pass on next to nothing). Cells
    outside the teacher's view do not count. No mirrored pass at test time.

    Args:
        optimizer: makes the optimizer from parameters; ``training.lr_factors`` may name ``refinement``, ``classifier``.
        network: the pose network.
        training: how it is trained; reduction must be "mean".
        adaptation: teacher and pretraining; the paper's decay is 0.999. ``target_weight`` multiplies all target terms.
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
        refuse_label_options("MDAM", adaptation)
        self.save_hyperparameters({"maps": "refined"})  # what `evaluated_networks` makes of them; see models.folder
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
        """Backbone, deconv, final, refinement, classifier."""
        parts = dict(self.network.named_children())
        return nn.ModuleDict({**parts, "refinement": self.refinement, "classifier": self.classifier})

    def learning_rate(self, step: int, total: float) -> float:
        """See the class."""
        return min(1.0, (step + 1) / max(1, self.training_options.warmup_steps)) * polynomial(step, total)

    def student_modules(self) -> nn.Module:
        """Return the network with its refinement."""
        return RefinedNetwork(self.network, self.refinement)

    def see(self, images: Float[Tensor, "batch 3 height width"]) -> _Seen:
        """Coarse and refined heatmaps of normalized images."""
        pyramid = self._pyramid(images)
        return _Seen(self.network.final(pyramid[-1]).float(), self.refinement(pyramid))

    def objective(self, batch: TrainBatch) -> StepResult:
        """See the class."""
        training, options, target = self.training_options, self.options, batch.target
        images = normalize(batch.source.image)
        size = (images.shape[-2], images.shape[-1])
        drawn = partial(encode, size=size, sigma=training.sigma, quantize=training.quantize)
        visible = batch.source.visibility > 0
        truth = drawn(batch.source.keypoints_px, visible=visible)
        if target is None:
            with self.track_source_statistics():
                seen = self.see(images)
            losses = heatmap_mse(seen.coarse, truth, visible.float())
            losses = losses + heatmap_mse(seen.refined.first, truth, visible.float())
            unused = [*self.refinement.second.parameters(), *self.classifier.parameters()]
            return StepResult(losses.sum() + zero_with_gradients(unused), losses)

        if self.labels.stage < 0:
            everything = iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size)
            self.labels.make(0, self.network, everything, options.views, options.discard_fraction)
        keypoints_px, believed = self.labels.of(target.name, images.device)
        keypoints_px, believed = labels_in_student_view(keypoints_px, believed, target, self.skeleton.mirror)
        labels = drawn(keypoints_px, visible=believed)
        student = normalize(self.occlude(target))
        beta = torch.distributions.Beta(options.mixup, options.mixup)
        share = draw_local_rows(lambda rows: beta.sample((rows,)), len(images)).to(images.device)
        share = torch.maximum(share, 1 - share)  # no image changes its domain
        weight = torch.maximum(visible.float(), believed.float())

        epoch = self.epoch_of_adaptation()
        kept = max(len(self.skeleton) - max(epoch - options.mining_epoch, 0), options.least_keypoints)
        kept = min(kept, len(self.skeleton))
        strength = reversal_factor(self.global_step / total_steps(self.trainer))

        with self.track_source_statistics():  # with the target's share of the mixture
            seen = self.see(mixed(images, student, share))
        wanted = mixed(truth, labels, share)
        source = heatmap_mse(seen.coarse, wanted, weight) + heatmap_mse(seen.refined.first, wanted, weight)
        domain = self.tell(seen.refined.features, strength, of_source=True)

        seen = self.see(mixed(student, images, share))
        wanted = mixed(labels, truth, share)
        initial = small_losses(seen.coarse, wanted, weight, kept) + small_losses(
            seen.refined.first, wanted, weight, kept
        )
        domain = domain + self.tell(seen.refined.features, strength, of_source=False)

        seen = self.see(student)
        refined = seen.refined
        taught, known = self.teach_refined(target)
        everywhere = torch.ones_like(weight)
        inner = small_losses(seen.coarse, refined.first.detach(), everywhere, kept)
        outer = heatmap_mse(refined.second, taught, known)
        agreement = heatmap_mse(refined.first, refined.second)

        falling = max(options.initial_last, options.initial * ramp_down(epoch, options.initial_epochs))
        rising = options.consistency * ramp_up(epoch, options.consistency_epochs)
        losses = falling * initial + rising * (inner + outer) + options.two_heads * agreement
        target_weight = self.adaptation.options.target_weight
        total = source.sum() + target_weight * (losses.sum() + options.domain * domain)
        return StepResult(total, source, losses, target_weight=target_weight)

    def epoch_of_adaptation(self) -> int:
        """Whole epochs since pretraining ended."""
        steps = self.global_step - self.adaptation.options.pretrain_steps
        return steps // int(self.trainer.num_training_batches)

    def tell(
        self, features: Float[Tensor, "batch channel h w"], strength: float, *, of_source: bool
    ) -> Float[Tensor, ""]:
        """Half the classifier's cross entropy on one domain; what flows back into the features is reversed."""
        logits = self.classifier(scale_gradient(features, -strength)).float()
        return 0.5 * F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(of_source)))

    @torch.no_grad()
    def teach_refined(self, batch: TargetBatch) -> tuple[Tensor, Tensor]:
        """The teacher's refined heatmaps in the student's view, and where they are known."""
        with self.adaptation.teacher.labeling(), self.refinement_teacher.labeling():
            heatmaps = self.evaluated_networks()["teacher"](normalize(batch.teacher))
        student_from_teacher = compose(batch.student_matrix, invert(batch.teacher_matrix))
        mirrored = batch.student_mirrored ^ batch.teacher_mirrored
        quantize = self.training_options.quantize
        return warp_heatmaps(heatmaps, student_from_teacher, mirrored, self.skeleton.mirror, quantize=quantize)

    def occlude(self, batch: TargetBatch) -> Tensor:
        """The student's view, in half of the images with patches anywhere."""
        images, size = batch.student, batch.student.shape[-1]
        side = patch_side(self.options.occluder_px, size)
        chosen = (draw_local_rows(torch.rand, len(images)) < 0.5).to(images.device)
        for _ in range(self.options.occluders):
            centers_px = (draw_local_rows(lambda rows: torch.rand(rows, 2), len(images)) * size).to(images.device)
            corners = random_corners(len(images), side, size).to(images.device)
            images = paste_patches(images, centers_px, corners, side, chosen)
        return images

    def training_step(self, batch: TrainBatch, batch_idx: int) -> None:
        """Then the refinement's teacher follows too."""
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
        """Normalized images → the teacher's refined heatmaps."""
        return self.evaluated_networks()["teacher"](images)

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """Both with their refinement."""
        return {
            "student": RefinedNetwork(self.network, self.refinement),
            "teacher": RefinedNetwork(self.adaptation.teacher.network, self.refinement_teacher.network),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the labels."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_labels"] = self.labels.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the labels."""
        super().on_load_checkpoint(checkpoint)
        self.labels.load_state_dict(checkpoint["pseudo_labels"])
