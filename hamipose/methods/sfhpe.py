"""SFHPE, source-free adaptation (Peng et al., ICCV 2023): after the source is learnt, no image of it is seen again."""

import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.engine.distributed import mean_over_batch, zero_loss
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import OpenGate
from hamipose.losses import heatmap_mse
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.parts.target_labels import refuse_label_options
from hamipose.methods.teacher_student import Adaptation
from hamipose.models.batchnorm import StatisticsDomain
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.precision import at_least_single
from hamipose.types import TargetBatch, TrainBatch

__all__ = ["SFHPE", "information", "marginals", "profile_contrast", "residual_divergence"]

Maps = Float[Tensor, "batch keypoint height width"]


def marginals(maps: Maps) -> tuple[Float[Tensor, "batch keypoint height"], Float[Tensor, "batch keypoint width"]]:
    """Where along y and where along x: the softmax of a map's sums over its rows and over its columns."""
    maps = at_least_single(maps)
    return maps.sum(3).softmax(2), maps.sum(2).softmax(2)


def profile_contrast(maps: Maps, target: Maps) -> Float[Tensor, ""]:
    r"""Each keypoint's marginals are to be like those of the same keypoint and unlike the others'.

    .. math:: -\frac1K \sum_k \log \frac{s_{kk}}{\sum_j s_{kj}}, \qquad
        s_{kj} = \tfrac12 \cos(P^y_k, Q^y_j) + \tfrac12 \cos(P^x_k, Q^x_j),

    averaged over the images.
    """
    unit = [[nn.functional.normalize(p, dim=2) for p in marginals(m)] for m in (maps, target)]
    similarity = sum(p @ q.mT for p, q in zip(*unit, strict=True)) / 2
    own = similarity.diagonal(dim1=1, dim2=2)
    return -(own / similarity.sum(2)).log().mean()


def information(maps: Maps) -> Float[Tensor, ""]:
    """Entropy of the marginals less that of the batch's mean map, per cell: sure of each image, not of all alike."""
    cells = maps[0, 0].numel()
    rows, columns = (_entropy(p).mean() for p in marginals(maps))
    together = _entropy(mean_over_batch(at_least_single(maps).flatten(2)).softmax(1)).mean()
    return (rows + columns - together) / cells


def residual_divergence(maps: Maps, target: Maps) -> Float[Tensor, ""]:
    r"""KL(target ‖ maps) between the maps' softmax, with both highest cells set to 0 in both: all but the peak."""
    kept = torch.ones_like(maps.flatten(2), dtype=torch.bool)
    for side in (maps, target):
        kept.scatter_(2, side.detach().flatten(2).argmax(2, keepdim=True), False)
    logs = [(at_least_single(side).flatten(2) * kept).log_softmax(2) for side in (maps, target)]
    return nn.functional.kl_div(logs[0], logs[1], log_target=True, reduction="none").sum(2).mean()


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1)


class SFHPE(PoseMethod):
    r"""Three copies of a source-trained network, which teach one another on unlabeled target images.

    The *source's* copy keeps its backbone; the *target's* learns in full; the *intermediate* follows the target's as an
    EMA and lets its backbone move besides. On a target image, with heatmaps :math:`H^{sr}, H^{in}, H^{tg}`:

    .. math::
        L_{ft} &= \tfrac12\,\mathrm{MSE}(H^{sr}, H^{in}) \\
        L_{in} &= L_{ft} + \beta_{res}\, \mathrm{KL}_{res}(H^{in} \| H^{sr}) \\
        L_{tg} &= \tfrac12\,\mathrm{MSE}(H^{in}, H^{tg}) + \beta_{con} L_{con} + \beta_{im} L_{im}

    L_ft moves the deconvolutions and the last layer of the source's copy, L_in the intermediate's backbone, L_tg all of
    the target's copy.

    Until `adaptation.pretrain_steps` the network learns from the source; from then on the data module is asked for no
    source image (``uses_source``). With 0 it starts from ``training.init_from``. Evaluated is the intermediate.
    What is logged as the source's loss is then L_ft, the target's is the squared error of L_tg.

    Deviations. The released code does not run (a wrong ``super()``, a mean that is unpacked, forward calls with too
    many arguments, two backward passes over one graph), never clears two of its gradients, and trains and selects on
    all target images, the test set's included; here splits are the data module's. In its formulas: marginals are sums
    (as means they are so flat that their softmax says nothing); contrast is normalized over each keypoint's row, not
    over all pairs, and is a mean over images and keypoints (the code divides by both numbers and leaves it a tensor; at
    the published 0.5 its gradient, as a mean, was 40 times imitation's on the demo's start); the KL takes
    log-probabilities for what they are; L_im is that of H^tg. Each loss moves only what it is said to move, in one
    backward pass and one step of one optimizer. The intermediate normalizes with the batch where
    ``adaptation.batchnorm`` is "target", as the code does, else with the target copy's running ones. All three see the
    student's view; UniFrame's occlusion, which the code inherits, is left out.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained. Without `lr_factors` the intermediate's backbone has a tenth of the learning rate.
        adaptation: `decay` is that of the intermediate (published: 0.999), λ multiplies L_tg.
        residual: β_res.
        contrast: β_con.
        mutual_information: β_im.
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
        residual: float = 0.7,
        contrast: float = 0.5,
        mutual_information: float = 0.85,
    ):
        super().__init__(network, optimizer, training)
        refuse_label_options("SFHPE", adaptation)
        self.adaptation = Adaptation(self.network, OpenGate(), None, adaptation, self.skeleton.mirror, self.encoding)
        self.intermediate.backbone.requires_grad_(True)
        self.source_network = copy.deepcopy(self.network)
        self.source_network.backbone.requires_grad_(False)
        self.residual = residual
        self.contrast = contrast
        self.mutual_information = mutual_information
        if training.lr_factors is None:
            factors = dict.fromkeys(self.trainable_parts(), 1.0) | {"intermediate_backbone": 0.1}
            self.training_options = replace(training, lr_factors=factors)

    @property
    def intermediate(self) -> Any:
        """The network that follows the target's copy."""
        return self.adaptation.teacher.network

    def trainable_parts(self) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                **dict(self.network.named_children()),
                "source_deconv": self.source_network.deconv,
                "source_final": self.source_network.final,
                "intermediate_backbone": self.intermediate.backbone,
            }
        )

    def uses_source(self, step: int) -> bool:
        return step < self.adaptation.options.pretrain_steps

    def delivered_statistics(self) -> StatisticsDomain:
        """Return "target" once the source is gone: all batches are the target's then, whatever `batchnorm` is."""
        return "source" if self.global_step <= self.source_only_steps() else "target"

    def start_adaptation(self) -> None:
        super().start_adaptation()
        self.source_network.load_state_dict(self.network.state_dict())

    def objective(self, batch: TrainBatch) -> StepResult:
        return self.learn_source(batch) if batch.target is None else self.adapt(batch.target)

    def learn_source(self, batch: TrainBatch) -> StepResult:
        """Before the switch: the network alone."""
        source = self.forward_source(batch.source)
        return StepResult(source.losses.sum() + zero_loss(self._waiting()), source.losses)

    def adapt(self, batch: TargetBatch) -> StepResult:
        """After it: the three copies on target images."""
        images, reduction = normalize(batch.student), self.training_options.reduction
        with torch.no_grad():
            source_features = self.source_network.backbone(images)[-1]
        source = self.source_network.final(self.source_network.deconv(source_features)).float()
        between = self.follow(images)
        target = self.network.final(self._features(images)).float()

        fine_tuning = heatmap_mse(source, between.detach(), None, reduction)
        moving = heatmap_mse(between, source.detach(), None, reduction).sum()
        moving = moving + self.residual * residual_divergence(source.detach(), between)
        taught = between.detach()
        imitation = heatmap_mse(target, taught, None, reduction)
        learning = imitation.sum() + self.contrast * profile_contrast(target, taught)
        learning = learning + self.mutual_information * information(target)
        target_weight = self.adaptation.options.target_weight
        return StepResult(
            fine_tuning.sum() + moving + target_weight * learning, fine_tuning, imitation, target_weight=target_weight
        )

    def follow(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """The intermediate's maps, with gradients; BatchNorm as `adaptation.batchnorm` has it."""
        self.intermediate.train(self.adaptation.options.batchnorm == "target")
        try:
            return self.intermediate(images).float()
        finally:
            self.intermediate.eval()

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        objective = super().compute_gradients(batch)
        if batch.target is None:
            for parameter in self._waiting():
                parameter.grad = None
        return objective

    def _waiting(self) -> list[nn.Parameter]:
        """Parameters that only the second phase moves."""
        own = {id(p) for p in self.network.parameters()}
        return [p for p in self.trainable_parts().parameters() if id(p) not in own]
