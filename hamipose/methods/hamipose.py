"""HamiPose (CVPR 2026): a mean teacher whose source losses are weighed, keypoint by keypoint, against the target's."""

from typing import Literal

from lightning.pytorch.cli import OptimizerCallable

from hamipose.gating import DiagonalMetric, Gate, KeypointGate, ScalarMetric
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation

__all__ = ["HamiPose"]


class HamiPose(PoseMethod):
    r"""Keypointwise geometry, a gate and, with ``hamipose.optim.Hamiltonian`` as its optimizer, Hamiltonian transport.

    Every part can be exchanged in the config: the rows of the paper's ablation (Table 4) differ in `gate`, `metric` and
    `optimizer` alone.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
        adaptation: teacher, trade-off and the gate's warm-up.
        gate: how source losses are weighed: KeypointGate (the paper's), UnifiedGate or OpenGate of ``hamipose.gating``.
        metric: D of the gate's inner products: "scalar", the paper's, which cancels in them, or "diagonal", which does
            not. (Its mass for the step is the optimizer's affair.)
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(),  # noqa: B008
        gate: Gate = KeypointGate(),  # noqa: B008  holds no state
        metric: Literal["scalar", "diagonal"] = "scalar",
    ):
        super().__init__(network, optimizer, training)
        keypoints, parameters = len(self.skeleton), self.network.feature_channels + 1
        head_metric = ScalarMetric(keypoints) if metric == "scalar" else DiagonalMetric(keypoints, parameters)
        self.adaptation = Adaptation(self.network, gate, head_metric, adaptation, self.skeleton.mirror, self.encoding)
