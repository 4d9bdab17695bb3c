"""Options that all methods share; plain types, which the command line reads."""

from dataclasses import dataclass, field
from typing import Literal

from hamipose.methods.parts.label_views import LabelViews
from hamipose.methods.validation import check_at_least, check_fraction

__all__ = ["AdaptationOptions", "NetworkOptions", "TrainingOptions"]


@dataclass(frozen=True)
class NetworkOptions:
    """Options of the pose network.

    Attributes:
        skeleton: keypoints that it predicts: body16, coco17, hand21 or lsp14.
        backbone: name of a timm model.
        weights: initial weights of the backbone: "none", "pretrained" (timm's) or a file of a ResNet's state dict.
        deconv_channels: channels of the deconvolutions; with fewer than three, a ResNet ends at an earlier stage.
        compile: compile the network with torch.compile.
        trained: layers to train of a pretrained network that ``training.init_from`` names: "all", or "head", the layers
            nearest to the heatmaps (blazepose-lite and blazepose-full: 4 % of the weights; blazepose-heavy: the last
            layer; Simple Baseline or HRNet: the layers after the backbone). Points that align crops never change.
    """

    skeleton: str = "body16"
    backbone: str = "resnet101"
    weights: str = "none"
    deconv_channels: list[int] = field(default_factory=lambda: [256, 256, 256])
    compile: bool = False
    trained: Literal["all", "head"] = "all"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training of all methods.

    Attributes:
        warmup_steps: number of steps over which the learning rate rises linearly from nearly 0.
        final_lr_ratio: ratio of final to initial learning rate, reached by a cosine at the last step of the run.
        lr_factors: learning rate factor of each part of the network (backbone, deconv, final), which then is a
            parameter group of the optimizer; default: None, one group.
        clip_norm: largest norm of the gradient; default: None, no clipping.
        sigma: standard deviation of the target heatmaps' Gaussians in cells.
        quantize: center target heatmaps on whole cells, as published. It is saved with the network and used in
            decoding.
        reduction: reduction of the heatmap losses, "mean" over all elements or "sum" per image.
        paper_scores: also log PCK as RegDA and UniFrame compute it, under names such as
            test/lsp/teacher/paper-uniframe/pck@0.05. This requires test sets with protocol: paper,
            data.evaluation_batch_size 32 and one process; with other settings the scores are not comparable.
        init_from: initial weights of a new run: a checkpoint of any method, or a pretrained network
            (docs/pretrained.md): a name of ``models list``, a .tflite or .pth file, or a model folder of a run that
            started from one. A pretrained network replaces `network`; its labels have the shape of its own peaks, for
            any `sigma` and `quantize`. (To resume a run, use --ckpt_path.)
    """

    warmup_steps: int = 500
    final_lr_ratio: float = 0.0
    lr_factors: dict[str, float] | None = None
    clip_norm: float | None = None
    sigma: float = 2.0
    quantize: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    paper_scores: bool = False
    init_from: str | None = None

    def __post_init__(self) -> None:
        check_at_least(0, warmup_steps=self.warmup_steps, final_lr_ratio=self.final_lr_ratio)
        if not self.sigma > 0:
            raise ValueError(f"training.sigma is {self.sigma}: expected a standard deviation of more than 0 cells")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"training.clip_norm is {self.clip_norm}: expected a norm above 0, or null")


@dataclass(frozen=True)
class AdaptationOptions:
    """Options of methods with a teacher.

    Attributes:
        target_weight: λ, the weight of the target loss.
        ema_decay: τ of the teacher's moving average.
        batchnorm: source of the teacher's BatchNorm statistics: "copy" (the student's, which mix both domains),
            "average" (moving average of the student's, with τ) or "target" (of the teacher's own batches). The best
            choice depends on the images. Source validation uses the source's statistics in all three cases.
        pretrain_steps: number of steps on the source alone before adaptation, which begins with a teacher equal to the
            student; must be less than the steps of the run. 0 is for a network that `training.init_from` names.
        gate_warmup: fraction of the adaptation's steps over which the gate's γ rises.
        labels: labels of the target. "heatmap": the teacher's heatmaps, resampled in the student's view, as in the
            paper. "keypoint": Gaussians of height 1 at the teacher's decoded points, moved into the student's view and
            weighted by the height of the teacher's peaks. "predictions": the same at the keypoints of the target sets
            (hamipose.data.PredictedKeypoints), weighted by their scores.
        discard_fraction: fraction of the least confident labels that is discarded, for each keypoint over the batch;
            not with "heatmap".
        label_views: additional views of the target image from which labels are combined; only with "keypoint".
    """

    target_weight: float = 1.0
    ema_decay: float = 0.99
    batchnorm: Literal["copy", "average", "target"] = "copy"
    pretrain_steps: int = 0
    gate_warmup: float = 0.1
    labels: Literal["heatmap", "keypoint", "predictions"] = "heatmap"
    discard_fraction: float = 0.0
    label_views: LabelViews = field(default_factory=LabelViews)

    def __post_init__(self) -> None:
        check_at_least(
            0, target_weight=self.target_weight, pretrain_steps=self.pretrain_steps, gate_warmup=self.gate_warmup
        )
        check_fraction(**{"adaptation.ema_decay": self.ema_decay})
        if self.labels not in ("heatmap", "keypoint", "predictions"):
            raise ValueError(f"adaptation.labels is {self.labels!r}: expected heatmap, keypoint or predictions")
        if not 0 <= self.discard_fraction < 1:
            raise ValueError(
                f"adaptation.discard_fraction is {self.discard_fraction}: expected a fraction from 0 to below 1"
            )
        if self.discard_fraction > 0 and self.labels == "heatmap":
            raise ValueError(
                f"adaptation.discard_fraction is {self.discard_fraction} and adaptation.labels is heatmap, "
                "which does not use it: expected labels: keypoint or predictions, or no discard_fraction"
            )
        if self.label_views.count > 1 and self.labels != "keypoint":
            raise ValueError(
                f"adaptation.label_views has {self.label_views.count} views and adaptation.labels is {self.labels}: "
                "expected labels: keypoint, or no label_views"
            )
