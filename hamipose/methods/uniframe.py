"""UniFrame (Kim et al., ECCV 2022): a mean teacher with style transfer, rectified labels, a mask and occlusion."""

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
from hamipose.methods.parts.target_labels import check_label_options
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
        decoder: the file that ``python -m hamipose style fit`` wrote.
        encoder: VGG-19's weights: "pretrained" (timm's) or a file of its state dict.
        to_target: probability that a step's source images get the target's style.
        to_source: probability that the teacher's images get the source's style.
    """

    decoder: str
    encoder: str = "pretrained"
    to_target: float = 0.5
    to_source: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(to_target=self.to_target, to_source=self.to_source)


@dataclass(frozen=True)
class OcclusionOptions:
    """Patches over keypoints for which the teacher is confident.

    Attributes:
        probability: probability that an image with such a keypoint gets a patch.
        threshold: smallest peak of such a keypoint.
        side_px: side of the patch, in pixels of a 256-pixel crop.
    """

    probability: float = 0.5
    threshold: float = 0.9
    side_px: float = 20.0

    def __post_init__(self) -> None:
        check_fraction(probability=self.probability)
        check_at_least(1, side_px=self.side_px)


class UniFrame(PoseMethod):
    r"""L_s + λ L_c with τ = 0.999 for the teacher; both maps are warped into the frame of the plain crop.

    .. math::
        L_c = \frac{1}{NKHW} \sum_{n,k,u} \Big[ m_{nk} \big( W_s^{-1} f(W_s x) - R(W_t^{-1} f'(W_t x)) \big)(u) \Big]^2

    R draws a new Gaussian at the teacher's peak; m selects the keypoints whose peak is above the median of the batch.
    In half of the images in which the teacher has a keypoint with a peak of at least 0.9, one such keypoint is covered
    in the student's view by a patch of the same image. With style transfer (:mod:`hamipose.models.style`), the source
    images get the target's style in half of the steps, and the teacher's images the source's style, with a strength
    from U(0, 1); the student's target images do not change. During ``adaptation.pretrain_steps`` only the source images
    change.

    The learning rate falls to 1/10 at 45/70 and 60/70 of the run (``final_lr_ratio`` is not used).

    Deviations from the published code: the common frame is the plain crop, not the random window that both views of an
    image are cut from. The patch is pasted into the student's view itself, at the keypoint's position there; the code
    warps the image twice to do so, with a translation that is 4 times too small. Cells outside the student's view,
    which are constant, are left out of the mean's numerator. Style transfer works on bytes, so that its results are
    rounded and clamped. Adaptation starts from the last pretrained weights, not from those that are best on the
    target's *test* set. The published teacher labels in training mode, with statistics of its batch; here, as in all
    methods, it uses the student's statistics unless ``adaptation.batchnorm`` is "target", so that the rows of a table
    do not differ in statistics. A gate can be used (the paper has none); the open gate only measures conflicts.

    With several processes the median is that of the whole batch; BatchNorm, also the teacher's, uses the samples of
    each process.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        adaptation: options of the teacher, and λ; in the paper `ema_decay` 0.999 and `batchnorm` target (see above).
        style: options of style transfer; default: None, no style transfer.
        occlusion: options of the occlusion of the student's view; None for no occlusion.
        discard_fraction: fraction of the batch's pseudo-labels that the mask leaves out.
        gate: decides the weights of the source losses.
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
        check_label_options("UniFrame", adaptation)
        check_fraction(discard_fraction=discard_fraction)
        self.adaptation: Adaptation = Adaptation(
            self.network, gate, None, adaptation, self.skeleton.mirror, self.encoding
        )
        self.style = style
        self.occlusion = occlusion
        self.discard_fraction = discard_fraction
        self._style_transfer: tuple[StyleTransfer, ...] = ()  # a tuple: not a submodule, not in checkpoints

    def setup(self, stage: str) -> None:
        """Load the style transfer, for training only."""
        super().setup(stage)
        if stage == "fit" and self.style is not None:
            if not Path(self.style.decoder).is_file():
                raise UserError(
                    f"the decoder of the style transfer, {self.style.decoder}, does not exist; create it with "
                    "`python -m hamipose style fit --content SOURCE --style TARGET --out DECODER`, or disable it with "
                    "--model.init_args.style null"
                )
            self._style_transfer = (load_style(self.style.encoder, self.style.decoder).to(self.device),)

    def uses_target(self, step: int) -> bool:
        """Return whether a step uses target images; with style transfer all steps do."""
        return self.style is not None or super().uses_target(step)

    def learning_rate(self, step: int, total: float) -> float:
        """Return the factor with two milestones; see the class."""
        warm = min(1.0, (step + 1) / max(1, self.training_options.warmup_steps))
        return warm * step_decay(step, total, (45 / 70, 60 / 70))

    def restyle(
        self, content: UInt8[Tensor, "batch 3 h w"], style: UInt8[Tensor, "batch 3 h w"], probability: float
    ) -> UInt8[Tensor, "batch 3 h w"]:
        """Return the content in the given style, with a random strength, or unchanged (1 − `probability`)."""
        chance, strength = torch.rand(2).tolist()
        if not self._style_transfer or chance >= probability:
            return content
        (transfer,) = self._style_transfer
        return transfer.to(content.device).restyle(content, style, strength)

    def occlude(
        self, batch: TargetBatch, teacher_maps: Float[Tensor, "batch keypoint h w"]
    ) -> UInt8[Tensor, "batch 3 height width"]:
        """Return the student's view with a patch over a keypoint for which the teacher is confident.

        Args:
            batch: the target images.
            teacher_maps: the teacher's heatmaps in the frame of the plain crop.
        """
        if self.occlusion is None:
            return batch.student
        size = batch.student.shape[-1]
        side = patch_side(self.occlusion.side_px, size)
        cells, heights = peaks(teacher_maps)
        joint, chosen = choose_joint(heights, self.occlusion.threshold, self.occlusion.probability)
        joint_cells = cells.gather(1, joint[:, None, None].expand(-1, 1, 2))
        at_px = cell_to_px(joint_cells, quantize=self.training_options.quantize)
        centers_px = apply_points(batch.student_matrix, at_px)[:, 0]
        corners = random_corners(len(joint), side, size).to(joint.device)
        return paste_patches(batch.student, centers_px, corners, side, chosen)

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute L_s while pretraining, then L_s + λ L_c."""
        source, target = batch.source, batch.target
        adapting = super().uses_target(self.global_step)
        if self.style is not None and target is not None:
            source = replace(source, image=self.restyle(source.image, target.teacher, self.style.to_target))
        source_pass = self.forward_source(source)
        if target is None or not adapting:
            return StepResult(source_pass.losses.sum(), source_pass.losses)
        with torch.no_grad():
            images = target.teacher
            if self.style is not None:
                images = self.restyle(images, batch.source.image, self.style.to_source)
            heatmaps = self.adaptation.teacher.pseudo_label(normalize(images))
            teacher_maps, _ = self.adaptation.unwarp(heatmaps, target.teacher_matrix, target.teacher_mirrored)
            student_view = self.occlude(target, teacher_maps)
        features = self._features(normalize(student_view))
        heatmaps = self.network.final(features).float()
        unwarped, known = self.adaptation.unwarp(heatmaps, target.student_matrix, target.student_mirrored)
        mask = confident(peaks(teacher_maps)[1], self.discard_fraction)[:, :, None, None] & known
        labels = rectify(teacher_maps, self.training_options.sigma)
        losses = 2 * heatmap_mse(unwarped, labels, mask, self.training_options.reduction)  # no ½ in L_c
        return self.adaptation.weight_losses(
            source_pass,
            DomainPass(losses, heatmaps, features),
            confidence(teacher_maps),
            progress=self.adaptation.gate_progress(self.global_step, total_steps(self.trainer)),
        )
