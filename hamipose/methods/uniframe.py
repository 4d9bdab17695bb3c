"""UniFrame (Kim et al., ECCV 2022): a mean teacher with style transfer, fresh labels, a mask, and occluded joints."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from hamipose.engine.optimization import step_decay, total_steps
from hamipose.errors import UserError
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import Gate, OpenGate, confidence
from hamipose.geometry.affine import apply_points
from hamipose.heatmaps import cell_to_px
from hamipose.losses import heatmap_mse
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.parts.occlusion import choose_joint, paste_patches, patch_side, random_corners
from hamipose.methods.parts.pseudo_labels import confident, peaks, rectify
from hamipose.methods.parts.target_labels import refuse_label_options
from hamipose.methods.teacher_student import Adaptation, DomainPass
from hamipose.methods.validation import check_at_least, check_fraction
from hamipose.models.preprocess import normalize
from hamipose.models.style import StyleTransfer, load_style
from hamipose.types import TargetBatch, TrainBatch

__all__ = ["OcclusionOptions", "StyleOptions", "UniFrame"]


@dataclass(frozen=True)
class StyleOptions:
    """Style transfer between the domains.

    Attributes:
        decoder: what ``python -m hamipose style fit`` wrote.
        encoder: VGG-19's weights: "pretrained" (timm's) or a file of its state dict.
        to_target: probability that a step's source images are given the target's look.
        to_source: probability that the teacher's images are given the source's.
    """

    decoder: str
    encoder: str = "pretrained"
    to_target: float = 0.5
    to_source: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(to_target=self.to_target, to_source=self.to_source)


@dataclass(frozen=True)
class OcclusionOptions:
    """Patches over joints that the teacher is sure of.

    Attributes:
        probability: that an image with such a joint gets one.
        threshold: least peak of such a joint.
        side_px: of the patch, in pixels of a 256-pixel crop.
    """

    probability: float = 0.5
    threshold: float = 0.9
    side_px: float = 20.0

    def __post_init__(self) -> None:
        check_fraction(probability=self.probability)
        check_at_least(1, side_px=self.side_px)


class UniFrame(PoseMethod):
    r"""L_s + λ L_c, teacher with τ = 0.999, both maps carried into the frame of the plain crop.

    .. math::
        L_c = \frac{1}{NKHW} \sum_{n,k,u} \Big[ m_{nk} \big( W_s^{-1} f(W_s x) - R(W_t^{-1} f'(W_t x)) \big)(u) \Big]^2

    R draws a fresh Gaussian at the teacher's peak; m keeps the keypoints whose peak is above the median of the batch.
    In half of the images where the teacher finds a joint with a peak of at least 0.9, one such joint is hidden from the
    student under a patch of the same image. With style transfer (:mod:`hamipose.models.style`), the source images take
    the target's look in half of the steps, and the teacher's images the source's, with a strength from U(0, 1); the
    student's target images never do. During ``adaptation.pretrain_steps`` only the former happens.

    The learning rate falls to 1/10 at 45/70 and 60/70 of the run (``final_lr_ratio`` is not used).

    Deviations from the published code: the common frame is the plain crop, not the random window that both views of an
    image look through. The patch is pasted into the student's view itself, over the joint's place there; the code warps
    the picture twice to do so, by a translation that is 4 times too small. Cells that the student's view does not show
    are left out of the mean's numerator, where they are constant. Style transfer works on bytes, so that its results
    are rounded and clamped to what a picture can hold. Adaptation goes on from the last pretrained weights, not from
    those that are best on the target's *test* set. The published teacher labels in training mode, with statistics of
    its batch; here, as in all methods, it has the student's unless ``adaptation.batchnorm`` is "target", so that rows
    of a table do not differ by statistics. A gate may be given (none in the paper); the open one only measures
    conflicts.

    With several processes the median is that of the whole batch; BatchNorm, the teacher's too, sees each one's share.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
        adaptation: teacher and λ; the paper's are decay 0.999, batchnorm target (see above).
        style: style transfer; none where not given.
        occlusion: of the student's view; none where not given.
        discard_fraction: share of the batch's pseudo labels that the mask leaves out.
        gate: how source losses are weighed.
    """

    supports_pretrained = False

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(ema_decay=0.999),  # noqa: B008
        style: StyleOptions | None = None,
        occlusion: OcclusionOptions | None = OcclusionOptions(),
        discard_fraction: float = 0.5,
        gate: Gate = OpenGate(),  # noqa: B008  holds no state
    ):
        super().__init__(network, optimizer, training)
        refuse_label_options("UniFrame", adaptation)
        check_fraction(discard_fraction=discard_fraction)
        self.adaptation: Adaptation = Adaptation(
            self.network, gate, None, adaptation, self.skeleton.mirror, self.encoding
        )
        self.style = style
        self.occlusion = occlusion
        self.discard_fraction = discard_fraction
        self._style_transfer: tuple[StyleTransfer, ...] = ()  # in a tuple: frozen, from files, not in checkpoints

    def setup(self, stage: str) -> None:
        """Load the style transfer, for training alone."""
        super().setup(stage)
        if stage == "fit" and self.style is not None:
            if not Path(self.style.decoder).is_file():
                raise UserError(
                    f"style transfer wants the decoder {self.style.decoder}, which does not exist; make it with "
                    "`python -m hamipose style fit --content SOURCE --style TARGET --out DECODER`, or run without: "
                    "--model.init_args.style null"
                )
            self._style_transfer = (load_style(self.style.encoder, self.style.decoder).to(self.device),)

    def uses_target(self, step: int) -> bool:
        """Always where the source takes the target's look."""
        return self.style is not None or super().uses_target(step)

    def learning_rate(self, step: int, total: float) -> float:
        """See the class."""
        warm = min(1.0, (step + 1) / max(1, self.training_options.warmup_steps))
        return warm * step_decay(step, total, (45 / 70, 60 / 70))

    def restyle(
        self, content: UInt8[Tensor, "batch 3 h w"], style: UInt8[Tensor, "batch 3 h w"], probability: float
    ) -> UInt8[Tensor, "batch 3 h w"]:
        """With that probability the content in the style's look, with a random strength, else as it is."""
        happens, strength = torch.rand(2).tolist()
        if not self._style_transfer or happens >= probability:
            return content
        (transfer,) = self._style_transfer
        return transfer.to(content.device).restyle(content, style, strength)

    def occlude(
        self, batch: TargetBatch, taught: Float[Tensor, "batch keypoint h w"]
    ) -> UInt8[Tensor, "batch 3 height width"]:
        """The student's view with a patch over a joint that the teacher is sure of.

        Args:
            batch: the target.
            taught: the teacher's heatmaps in the frame of the plain crop.
        """
        if self.occlusion is None:
            return batch.student
        size = batch.student.shape[-1]
        side = patch_side(self.occlusion.side_px, size)
        cells, heights = peaks(taught)
        joint, chosen = choose_joint(heights, self.occlusion.threshold, self.occlusion.probability)
        joint_cells = cells.gather(1, joint[:, None, None].expand(-1, 1, 2))
        at_px = cell_to_px(joint_cells, quantize=self.training_options.quantize)
        centers_px = apply_points(batch.student_matrix, at_px)[:, 0]
        corners = random_corners(len(joint), side, size).to(joint.device)
        return paste_patches(batch.student, centers_px, corners, side, chosen)

    def objective(self, batch: TrainBatch) -> StepResult:
        """L_s alone while pretraining, then L_s + λ L_c."""
        source, target = batch.source, batch.target
        adapting = super().uses_target(self.global_step)
        if self.style is not None and target is not None:
            source = replace(source, image=self.restyle(source.image, target.teacher, self.style.to_target))
        learnt = self.forward_source(source)
        if target is None or not adapting:
            return StepResult(learnt.losses.sum(), learnt.losses)
        with torch.no_grad():
            seen = target.teacher
            if self.style is not None:
                seen = self.restyle(seen, batch.source.image, self.style.to_source)
            heatmaps = self.adaptation.teacher.pseudo_label(normalize(seen))
            taught, _ = self.adaptation.unwarp(heatmaps, target.teacher_matrix, target.teacher_mirrored)
            student_view = self.occlude(target, taught)
        features = self._features(normalize(student_view))
        heatmaps = self.network.final(features).float()
        unwarped, known = self.adaptation.unwarp(heatmaps, target.student_matrix, target.student_mirrored)
        mask = confident(peaks(taught)[1], self.discard_fraction)[:, :, None, None] & known
        labels = rectify(taught, self.training_options.sigma)
        losses = 2 * heatmap_mse(unwarped, labels, mask, self.training_options.reduction)  # no ½ in L_c
        return self.adaptation.weight_losses(
            learnt,
            DomainPass(losses, heatmaps, features),
            confidence(taught),
            progress=self.adaptation.gate_progress(self.global_step, total_steps(self.trainer)),
        )
