"""One step of adaptation: a teacher labels the target, a gate weights the source losses (HamiPose §3)."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hamipose.engine.distributed import average_over_processes
from hamipose.evaluation.diagnostics import StepResult
from hamipose.gating import DiagonalMetric, Gate, ScalarMetric, pull_back
from hamipose.geometry.affine import invert
from hamipose.heatmaps import warp_heatmaps
from hamipose.methods.options import AdaptationOptions
from hamipose.methods.parts.keypoint_labels import TargetLabels
from hamipose.methods.parts.target_labels import label_source
from hamipose.models.encoding import Encoding
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.teacher import Teacher
from hamipose.types import TargetBatch

__all__ = [
    "Adaptation",
    "DomainPass",
]


class DomainPass(NamedTuple):
    """One domain's pass through the network, with the loss of each keypoint."""

    losses: Float[Tensor, " keypoint"]
    heatmaps: Float[Tensor, "batch keypoint height width"]
    features: Float[Tensor, "batch channel height width"]

    def head_gradient(self) -> Float[Tensor, "keypoint parameter"]:
        """Return the gradient of the losses with respect to the rows of the last layer, without a backward pass."""
        (gradient,) = torch.autograd.grad(self.losses.sum(), self.heatmaps, retain_graph=True)
        return pull_back(gradient, self.features.detach())


@torch.no_grad()
def _final_rows(network: PoseNetwork | FinetunableNetwork) -> Float[Tensor, "keypoint parameter"]:
    """Return a copy of the last layer's rows θ^(k) = [W_k, b_k]."""
    assert network.final.bias is not None
    return torch.cat([network.final.weight.flatten(1), network.final.bias[:, None]], 1)


class Adaptation(nn.Module):
    """Teacher, gate and metric of a network.

    Args:
        network: the student.
        gate: decides the weights of the source losses.
        metric: metric of the gate's inner products.
        options: options such as λ and τ.
        mirror: the skeleton's mirror pairs.
        encoding: conversion between keypoints and heatmaps.
    """

    def __init__(
        self,
        network: PoseNetwork | FinetunableNetwork,
        gate: Gate,
        metric: ScalarMetric | DiagonalMetric | None,
        options: AdaptationOptions,
        mirror: list[int],
        encoding: Encoding,
    ):
        super().__init__()
        # A pretrained network keeps its own BatchNorm statistics.
        batchnorm = "copy" if isinstance(network, FinetunableNetwork) else options.batchnorm
        self.teacher = Teacher(network, decay=options.ema_decay, batchnorm=batchnorm)
        self.loss = network.loss
        self.gate = gate
        self.metric = metric
        self.options = options
        self.mirror = mirror
        self.encoding = encoding
        self.label_source = label_source(options, encoding, mirror)
        self._rows: Tensor | None = None

    def unwarp(
        self,
        heatmaps: Float[Tensor, "batch keypoint h w"],
        matrix: Float[Tensor, "batch 2 3"],
        mirrored: Bool[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch keypoint h w"], Bool[Tensor, "batch 1 h w"]]:
        """Return a view's heatmaps in the frame of the plain crop that all views are made from, and their known cells.

        Args:
            heatmaps: heatmaps of the view; gradients flow back to them.
            matrix: plain crop → view.
            mirrored: whether the view is mirrored.
        """
        return warp_heatmaps(heatmaps, invert(matrix), mirrored, self.mirror, quantize=self.encoding.whole_pixels)

    def gate_progress(self, step: int, total: float) -> float:
        """Return the steps of adaptation so far as a fraction of the gate's warm-up.

        Args:
            step: steps of the run so far.
            total: length of the run in steps.
        """
        warmup = self.options.gate_warmup * (total - self.options.pretrain_steps)
        return (step - self.options.pretrain_steps) / warmup if warmup > 0 else 1.0

    def pseudo_label(self, batch: TargetBatch) -> TargetLabels:
        """Return the labels of the target in the student's view, of the kind ``adaptation.labels``."""
        return self.label_source(self.teacher, batch)

    def objective(
        self,
        source: DomainPass,
        heatmaps: Float[Tensor, "batch keypoint h w"],
        features: Float[Tensor, "batch channel h w"],
        batch: TargetBatch,
        *,
        progress: float,
        reduction: Literal["mean", "sum"],
    ) -> StepResult:
        r"""Return the loss of a step: label the target, then :meth:`weight_losses`.

        Args:
            source: the pass of the source.
            heatmaps: the student's heatmaps of the target.
            features: inputs of the last layer for these heatmaps.
            batch: the target images.
            progress: steps of adaptation as a fraction of γ's warm-up.
            reduction: reduction of the losses.
        """
        labels = self.pseudo_label(batch)
        target = DomainPass(self.loss(heatmaps, labels.heatmaps, labels.weight, reduction), heatmaps, features)
        return self.weight_losses(source, target, labels.confidence, progress=progress)

    def weight_losses(
        self, source: DomainPass, target: DomainPass, confidence: Float[Tensor, " keypoint"], *, progress: float
    ) -> StepResult:
        r"""Return :math:`\sum_k w_k L_s^{(k)} + \lambda \sum_k L_t^{(k)}`, where the gate decides :math:`w_k`.

        Args:
            source: the pass of the source.
            target: the pass of the target; its losses must depend on its heatmaps.
            confidence: mean confidence of the target's labels.
            progress: steps of adaptation as a fraction of γ's warm-up.
        """
        source_gradient, target_gradient, confidence = average_over_processes(
            source.head_gradient(), target.head_gradient(), confidence
        )
        gate = self.gate(
            source_gradient,
            target_gradient,
            confidence,
            progress=progress,
            target_weight=self.options.target_weight,
            inverse_metric=None if self.metric is None else self.metric.inverse(),
        )
        target_weight = self.options.target_weight if gate.target_weight is None else gate.target_weight
        loss = (gate.weight * source.losses).sum() + (target_weight * target.losses).sum()
        return StepResult(loss, source.losses, target.losses, gate, confidence, self.options.target_weight)

    def before_step(self, network: PoseNetwork | FinetunableNetwork) -> None:
        """Remember the last layer before the optimizer's step."""
        self._rows = _final_rows(network)

    def after_step(self, network: PoseNetwork | FinetunableNetwork) -> Float[Tensor, "keypoint parameter"]:
        """Update the metric with the applied increment of the last layer, and the teacher; return the increment."""
        assert self._rows is not None, "before_step comes first"
        increment = _final_rows(network) - self._rows
        if self.metric is not None:
            self.metric.update(increment)
        self.teacher.update(network)
        return increment
