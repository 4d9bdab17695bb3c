"""CC-SSL (Mu et al., CVPR 2020): multi-view pseudo-labels, the most confident first, renewed every few epochs."""

from dataclasses import dataclass
from typing import Any

from lightning.pytorch.cli import OptimizerCallable

from hamipose.data.target_pass import iterate_target
from hamipose.evaluation.diagnostics import StepResult
from hamipose.heatmaps import encode
from hamipose.losses import heatmap_mse
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.multi_view import PseudoLabels, labels_in_student_view
from hamipose.methods.validation import check_at_least, check_fraction
from hamipose.models.preprocess import normalize
from hamipose.types import TrainBatch

__all__ = ["CCSSL", "CurriculumOptions"]


@dataclass(frozen=True)
class CurriculumOptions:
    """The share of pseudo-labels that is discarded, and the interval at which they are renewed.

    Attributes:
        refresh_epochs: number of epochs between two labelings of the target.
        first: fraction of the labels that is discarded at the start.
        per_epoch: decrease of that fraction per epoch.
        last: smallest value of that fraction.
        views: number of views averaged for a label, including the image itself.
    """

    refresh_epochs: int = 10
    first: float = 0.8
    per_epoch: float = 0.02
    last: float = 0.2
    views: int = 5

    def __post_init__(self) -> None:
        check_at_least(1, refresh_epochs=self.refresh_epochs, views=self.views)
        check_fraction(first=self.first, per_epoch=self.per_epoch, last=self.last)

    def discard_fraction(self, epoch: int) -> float:
        """Return the fraction of labels to discard in a labeling at that epoch.

        >>> [round(CurriculumOptions().discard_fraction(epoch), 2) for epoch in (0, 10, 30, 50)]
        [0.8, 0.6, 0.2, 0.2]
        """
        return max(self.last, self.first - self.per_epoch * epoch)


class CCSSL(PoseMethod):
    r"""L_s + γ L_t with γ = 10, where L_t is the squared error against Gaussians at pseudo-labels.

    Every ten epochs the network itself, in eval mode, labels all target images with the peaks of the heatmaps averaged
    over five views (:mod:`hamipose.methods.parts.multi_view`). It learns from labels whose confidence is above the
    quantile

    .. math:: p(e) = \max(0.2,\ 1 - 0.02\,(e + 10))

    of all confidences, that is, from one in five labels at first and from four in five in the end. The learning rate is
    constant after ``training.warmup_steps`` (0 in the paper).

    Deviations from the published code: the check against the optical flow between neighboring frames, which replaces
    labels that contradict it, needs videos and is left out, because our targets are single images. Heatmaps are decoded
    to a fraction of a cell. The network is that of all methods here, not a stack of four hourglasses. The published
    code selects checkpoints by the target's test set. Labels are saved in the checkpoint, not in files.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        target_weight: γ.
        curriculum: which labels are used, and when they are renewed.
        pretrain_steps: steps on the source alone before the first labeling.
    """

    supports_pretrained = False

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        target_weight: float = 10.0,
        curriculum: CurriculumOptions = CurriculumOptions(),
        pretrain_steps: int = 0,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, target_weight=target_weight, pretrain_steps=pretrain_steps)
        self.target_weight = target_weight
        self.curriculum = curriculum
        self.pretrain_steps = pretrain_steps
        self.labels = PseudoLabels(training.quantize)

    def uses_target(self, step: int) -> bool:
        """Return whether pretraining has ended."""
        return step >= self.pretrain_steps

    def source_only_steps(self) -> int:
        """Return `pretrain_steps`."""
        return self.pretrain_steps

    def learning_rate(self, step: int, total: float) -> float:
        """Return a factor that is constant after the warm-up."""
        return min(1.0, (step + 1) / max(1, self.training_options.warmup_steps))

    def renew(self, step: int) -> None:
        """Label the target at the start of a round; a resumed run has the labels of its round from the checkpoint."""
        epochs = (step - self.pretrain_steps) // int(self.trainer.num_training_batches)
        stage = epochs // self.curriculum.refresh_epochs
        if stage != self.labels.stage:
            images = iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size)
            discard = self.curriculum.discard_fraction(stage * self.curriculum.refresh_epochs)
            self.labels.make(stage, self.network, images, self.curriculum.views, discard)

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute L_s while pretraining, then L_s + γ L_t."""
        source = self.forward_source(batch.source)
        if batch.target is None:
            return StepResult(source.losses.sum(), source.losses)
        self.renew(self.global_step)
        options, target = self.training_options, batch.target
        keypoints_px, used = self.labels.lookup(target.name, target.student.device)
        keypoints_px, used = labels_in_student_view(keypoints_px, used, target, self.skeleton.mirror)
        size = (target.student.shape[-2], target.student.shape[-1])
        labels = encode(keypoints_px, size, sigma=options.sigma, visible=used, quantize=options.quantize)
        heatmaps = self.network.final(self._features(normalize(target.student))).float()
        losses = heatmap_mse(heatmaps, labels, used.float(), options.reduction)
        loss = source.losses.sum() + self.target_weight * losses.sum()
        return StepResult(loss, source.losses, losses, target_weight=self.target_weight)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the labels."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_labels"] = self.labels.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the labels."""
        super().on_load_checkpoint(checkpoint)
        self.labels.load_state_dict(checkpoint["pseudo_labels"])
