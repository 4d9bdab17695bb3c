"""SFHPE (Peng et al., ICCV 2023): source-free adaptation, which uses no source image after training on the source."""

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
from hamipose.methods.parts.target_labels import check_label_options
from hamipose.methods.teacher_student import Adaptation
from hamipose.models.batchnorm import StatisticsDomain
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.precision import at_least_single
from hamipose.types import TargetBatch, TrainBatch

__all__ = ["SFHPE", "information", "marginals", "profile_contrast", "residual_divergence"]

Maps = Float[Tensor, "batch keypoint height width"]


def marginals(maps: Maps) -> tuple[Float[Tensor, "batch keypoint height"], Float[Tensor, "batch keypoint width"]]:
    """Return distributions over y and over x: the softmax of a map's sums over each row and over each column."""
    maps = at_least_single(maps)
    return maps.sum(3).softmax(2), maps.sum(2).softmax(2)


def profile_contrast(maps: Maps, target: Maps) -> Float[Tensor, ""]:
    r"""Return a contrastive loss of marginals: similar for the same keypoint, dissimilar for other keypoints.

    .. math:: -\frac1K \sum_k \log \frac{s_{kk}}{\sum_j s_{kj}}, \qquad
        s_{kj} = \tfrac12 \cos(P^y_k, Q^y_j) + \tfrac12 \cos(P^x_k, Q^x_j),

    averaged over the images.
    """
    unit = [[nn.functional.normalize(p, dim=2) for p in marginals(m)] for m in (maps, target)]
    similarity = sum(p @ q.mT for p, q in zip(*unit, strict=True)) / 2
    own = similarity.diagonal(dim1=1, dim2=2)
    return -(own / similarity.sum(2)).log().mean()


def information(maps: Maps) -> Float[Tensor, ""]:
    """Return the entropy of the marginals minus that of the batch's mean map, per cell.

    It is small if the network is certain about each image and predicts different positions for different images.
    """
    cells = maps[0, 0].numel()
    rows, columns = (_entropy(p).mean() for p in marginals(maps))
    together = _entropy(mean_over_batch(at_least_single(maps).flatten(2)).softmax(1)).mean()
    return (rows + columns - together) / cells


def residual_divergence(maps: Maps, target: Maps) -> Float[Tensor, ""]:
    r"""Return KL(target ‖ maps) intermediate the softmax of the maps, with the peaks of both set to 0 in both."""
    kept = torch.ones_like(maps.flatten(2), dtype=torch.bool)
    for side in (maps, target):
        kept.scatter_(2, side.detach().flatten(2).argmax(2, keepdim=True), False)
    logs = [(at_least_single(side).flatten(2) * kept).log_softmax(2) for side in (maps, target)]
    return nn.functional.kl_div(logs[0], logs[1], log_target=True, reduction="none").sum(2).mean()


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1)


class SFHPE(PoseMethod):
    r"""Three copies of a source-trained network that supervise each other on unlabeled target images.

    The *source* copy has a fixed backbone; the *target* copy is trained completely; the *intermediate* is an EMA of the
    target copy, and its backbone is trained in addition. On a target image, with heatmaps
    :math:`H^{sr}, H^{in}, H^{tg}`:

    .. math::
        L_{ft} &= \tfrac12\,\mathrm{MSE}(H^{sr}, H^{in}) \\
        L_{in} &= L_{ft} + \beta_{res}\, \mathrm{KL}_{res}(H^{in} \| H^{sr}) \\
        L_{tg} &= \tfrac12\,\mathrm{MSE}(H^{in}, H^{tg}) + \beta_{con} L_{con} + \beta_{im} L_{im}

    L_ft trains the deconvolutions and the last layer of the source copy, L_in the intermediate's backbone, L_tg all of
    the target copy.

    Until `adaptation.pretrain_steps` the network learns from the source; from then on the data module loads no source
    images (``uses_source``). With 0 it starts from ``training.init_from``. The intermediate is evaluated. During
    adaptation, the logged source loss is L_ft and the logged target loss is the squared error of L_tg.

    Deviations. The released code does not run (a wrong ``super()``, a mean that is unpacked, forward calls with too
    many arguments, two backward passes over one graph), never clears two of its gradients, and trains and selects on
    all target images, including the test set; here the data module defines the splits. In its formulas: marginals are
    sums (as means they are so flat that their softmax is almost uniform); the contrast is normalized over each
    keypoint's row, not over all pairs, and is a mean over images and keypoints (the code divides by both numbers and
    leaves it a tensor; at the published 0.5 its gradient, as a mean, was 40 times that of the imitation loss on the
    demo's start); the KL receives log-probabilities as such; L_im is that of H^tg. Each loss trains only the parts
    named above, in one backward pass and one step of one optimizer. The intermediate normalizes with the batch if
    ``adaptation.batchnorm`` is "target", as in the code, else with the target copy's running statistics. All three
    copies receive the student's view; UniFrame's occlusion, which the code inherits, is left out.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training; default of `lr_factors`: 0.1 for the intermediate's backbone, 1 for other parts.
        adaptation: `ema_decay` is that of the intermediate (published: 0.999), λ multiplies L_tg.
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
        check_label_options("SFHPE", adaptation)
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
        """Return the intermediate network, the EMA of the target copy."""
        return self.adaptation.teacher.network

    def trainable_parts(self) -> nn.ModuleDict:
        """Return the target copy and the trained parts of the two other copies."""
        return nn.ModuleDict(
            {
                **dict(self.network.named_children()),
                "source_deconv": self.source_network.deconv,
                "source_final": self.source_network.final,
                "intermediate_backbone": self.intermediate.backbone,
            }
        )

    def uses_source(self, step: int) -> bool:
        """Return whether the step is a pretraining step."""
        return step < self.adaptation.options.pretrain_steps

    def delivered_statistics(self) -> StatisticsDomain:
        """Return "target" during adaptation, when all batches are of the target, for any `batchnorm`."""
        return "source" if self.global_step <= self.source_only_steps() else "target"

    def start_adaptation(self) -> None:
        """Copy the network to the source copy, too."""
        super().start_adaptation()
        self.source_network.load_state_dict(self.network.state_dict())

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute the source loss while pretraining, then the loss of adaptation."""
        return self.learn_source(batch) if batch.target is None else self.adapt(batch.target)

    def learn_source(self, batch: TrainBatch) -> StepResult:
        """Compute the loss before adaptation: the source loss of the network."""
        source = self.forward_source(batch.source)
        return StepResult(source.losses.sum() + zero_loss(self._adapted_only()), source.losses)

    def adapt(self, batch: TargetBatch) -> StepResult:
        """Compute the loss of adaptation: the three copies on target images."""
        images, reduction = normalize(batch.student), self.training_options.reduction
        with torch.no_grad():
            source_features = self.source_network.backbone(images)[-1]
        source = self.source_network.final(self.source_network.deconv(source_features)).float()
        intermediate = self.predict_intermediate(images)
        target = self.network.final(self._features(images)).float()

        fine_tuning = heatmap_mse(source, intermediate.detach(), None, reduction)
        moved = heatmap_mse(intermediate, source.detach(), None, reduction).sum()
        moved = moved + self.residual * residual_divergence(source.detach(), intermediate)
        teacher_maps = intermediate.detach()
        imitation = heatmap_mse(target, teacher_maps, None, reduction)
        learning = imitation.sum() + self.contrast * profile_contrast(target, teacher_maps)
        learning = learning + self.mutual_information * information(target)
        target_weight = self.adaptation.options.target_weight
        return StepResult(
            fine_tuning.sum() + moved + target_weight * learning, fine_tuning, imitation, target_weight=target_weight
        )

    def predict_intermediate(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch keypoint h w"]:
        """Return the intermediate's maps, with gradients; `adaptation.batchnorm` selects its BatchNorm statistics."""
        self.intermediate.train(self.adaptation.options.batchnorm == "target")
        try:
            return self.intermediate(images).float()
        finally:
            self.intermediate.eval()

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Compute gradients, and remove the zero gradients of parts that are not trained yet."""
        objective = super().compute_gradients(batch)
        if batch.target is None:
            for parameter in self._adapted_only():
                parameter.grad = None
        return objective

    def _adapted_only(self) -> list[nn.Parameter]:
        """Return the parameters that are only trained during adaptation."""
        own = {id(p) for p in self.network.parameters()}
        return [p for p in self.trainable_parts().parameters() if id(p) not in own]
