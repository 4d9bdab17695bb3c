"""Options that all methods share, grouped as users think of them. Plain types: the command line reads them."""

from dataclasses import dataclass, field
from typing import Literal

from hamipose.methods.parts.label_views import LabelViews
from hamipose.methods.validation import check_at_least, check_fraction

__all__ = ["AdaptationOptions", "NetworkOptions", "TrainingOptions"]


@dataclass(frozen=True)
class NetworkOptions:
    """The pose network.

    Attributes:
        skeleton: whose keypoints it finds: body16, coco17, hand21 or lsp14.
        backbone: any name that timm knows.
        weights: what the backbone starts from: "none", "pretrained" (timm's) or a file of a ResNet's state dict.
        deconv_channels: widths of the deconvolutions; a ResNet with fewer than three ends at the stage they fit.
        compile: compile the network with torch.compile.
        trained: layers to train of a pretrained network that ``training.init_from`` names: "all", or "head", those
            nearest to the heatmaps (of blazepose-lite and blazepose-full 4 % of the weights, which the points that
            crops are aligned by do not depend on; of blazepose-heavy the last layer; of a Simple Baseline or HRNet
            what follows the backbone).
    """

    skeleton: str = "body16"
    backbone: str = "resnet101"
    weights: str = "none"
    deconv_channels: list[int] = field(default_factory=lambda: [256, 256, 256])
    compile: bool = False
    trained: Literal["all", "head"] = "all"


@dataclass(frozen=True)
class TrainingOptions:
    """How every method trains.

    Attributes:
        warmup_steps: steps over which the learning rate rises linearly from nearly 0.
        final_lr_ratio: share of the learning rate left when the cosine ends, with the last step of the run.
        lr_factors: learning rate factors by part of the network (backbone, deconv, final), each part then being a
            parameter group of the optimizer. One group of everything where not given.
        clip_norm: largest norm of the gradient; nothing is clipped where not given.
        sigma: width of the target heatmaps' Gaussians in cells.
        quantize: target heatmaps as published, centered on whole cells. Saved with the network: decoding undoes it.
        reduction: norm of the heatmap losses, "mean" over all elements or "sum" per image.
        paper_scores: log PCK as RegDA and UniFrame compute it too, beside the strict one, under names such as
            test/lsp/teacher/paper-uniframe/pck@0.05. Give the test sets protocol: paper, data.evaluation_batch_size
            32 and one process, or the figures are of something else.
        init_from: what to take the network's weights from, for a new run: a checkpoint of any method, or a pretrained
            network (docs/pretrained.md): a name of ``models list``, a .tflite or .pth file, or a model folder that
            began as one. A pretrained network replaces what `network` describes; labels then have the shape of its own
            peaks, whatever `sigma` and `quantize` are. (To resume a run, use --ckpt_path.)
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
            raise ValueError(f"training.sigma is {self.sigma}: expected a width of more than 0 cells")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"training.clip_norm is {self.clip_norm}: expected a norm above 0, or null")


@dataclass(frozen=True)
class AdaptationOptions:
    """What methods with a teacher share.

    Attributes:
        target_weight: λ, the weight of the target loss.
        decay: τ of the teacher's moving average.
        batchnorm: where the teacher's BatchNorm statistics come from: "copy" (the student's, which mix both domains),
            "average" (of the student's, with τ) or "target" (its own batches). Which of them serves depends on the
            pictures, and none is known to in advance. Source validation is measured with the source's under all three.
        pretrain_steps: steps on the source alone before adaptation begins, from a teacher equal to the student. 0 is
            for a network that `training.init_from` names; they must be fewer than the run's.
        gate_warmup: share of the adaptation's steps over which the gate's γ rises.
        labels: what the student learns from on the target. "heatmap": the teacher's heatmaps, resampled in the
            student's view, as in the paper. "keypoint": Gaussians of height 1 at the teacher's decoded points, moved
            into the student's view and weighted by the height of the teacher's peaks. "predictions": the same at the
            points that the target sets carry (hamipose.data.PredictedKeypoints), weighted by their scores.
        discard_fraction: share of the less sure labels that is dropped, for each keypoint over the batch; not with
            "heatmap".
        label_views: further views of the target image that labels are combined from, with "keypoint" only.
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
                f"adaptation.discard_fraction is {self.discard_fraction}: expected a share from 0 to below 1"
            )
        if self.discard_fraction > 0 and self.labels == "heatmap":
            raise ValueError(
                f"adaptation.discard_fraction is {self.discard_fraction} and adaptation.labels is heatmap, of which "
                "none is dropped: expected labels: keypoint or predictions, or no discard_fraction"
            )
        if self.label_views.count > 1 and self.labels != "keypoint":
            raise ValueError(
                f"adaptation.label_views has {self.label_views.count} views and adaptation.labels is {self.labels}: "
                "expected labels: keypoint, or no label_views"
            )
