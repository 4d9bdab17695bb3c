"""CC-SSL (Mu et al., CVPR 2020): pseudo labels that several views agree on, the surest first, renewed now and then."""

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
    """How much of the pseudo labels is believed, and how often they are renewed.

    Attributes:
        refresh_epochs: epochs from one labeling of the target to the next.
        first: share of the labels not believed at the start.
        per_epoch: by how much that share falls in an epoch.
        last: where it stops.
        views: views averaged for a label, the image itself among them.
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
        """Share of the labels not believed in labels made at that epoch.

        >>> [round(CurriculumOptions().discard_fraction(epoch), 2) for epoch in (0, 10, 30, 50)]
        [0.8, 0.6, 0.2, 0.2]
        """
        return max(self.last, self.first - self.per_epoch * epoch)


class CCSSL(PoseMethod):
    r"""L_s + γ L_t, γ = 10, L_t the squared error against Gaussians at pseudo labels.

    Every ten epochs the network itself, in eval mode, labels all target images (:mod:`hamipose.methods.parts.multi_view`: the
    peak of the heatmaps averaged over five views). Those are learnt from whose confidence is above the quantile

    .. math:: p(e) = \max(0.2,\ 1 - 0.02\,(e + 10))

    of all confidences, so that at first one in five labels is believed and at last four. The learning rate is constant
    after ``training.warmup_steps`` (0 in the paper).

    Deviations from the published code: the check against the flow between neighboring frames (a label that the optical
    flow contradicts is replaced) needs videos and is left out, as our targets are single images. Heatmaps are decoded
    to a fraction of a cell. The network is the bench's, not a stack of four hourglasses, and the published code selects
    by the target's test set. Labels live in the checkpoint, not in files.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
        target_weight: γ.
        curriculum: how much is believed, and when labels are renewed.
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
        """After pretraining."""
        return step >= self.pretrain_steps

    def source_only_steps(self) -> int:
        """Return `pretrain_steps`."""
        return self.pretrain_steps

    def learning_rate(self, step: int, total: float) -> float:
        """Constant after the warm-up."""
        return min(1.0, (step + 1) / max(1, self.training_options.warmup_steps))

    def renew(self, step: int) -> None:
        """Label the target where a round begins; a resumed run has its round's labels from the checkpoint."""
        epochs = (step - self.pretrain_steps) // int(self.trainer.num_training_batches)
        stage = epochs // self.curriculum.refresh_epochs
        if stage != self.labels.stage:
            images = iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size)
            discard_fraction = self.curriculum.discard_fraction(stage * self.curriculum.refresh_epochs)
            self.labels.make(stage, self.network, images, self.curriculum.views, discard_fraction)

    def objective(self, batch: TrainBatch) -> StepResult:
        """L_s while pretraining, then L_s + γ L_t."""
        source = self.forward_source(batch.source)
        if batch.target is None:
            return StepResult(source.losses.sum(), source.losses)
        self.renew(self.global_step)
        options, target = self.training_options, batch.target
        keypoints_px, believed = self.labels.of(target.name, target.student.device)
        keypoints_px, believed = labels_in_student_view(keypoints_px, believed, target, self.skeleton.mirror)
        size = (target.student.shape[-2], target.student.shape[-1])
        labels = encode(keypoints_px, size, sigma=options.sigma, visible=believed, quantize=options.quantize)
        heatmaps = self.network.final(self._features(normalize(target.student))).float()
        losses = heatmap_mse(heatmaps, labels, believed.float(), options.reduction)
        loss = source.losses.sum() + self.target_weight * losses.sum()
        return StepResult(loss, source.losses, losses, target_weight=self.target_weight)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the labels."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_labels"] = self.labels.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the labels."""
        super().on_load_checkpoint(checkpoint)
        self.labels.load_state_dict(checkpoint["pseudo_labels"])
