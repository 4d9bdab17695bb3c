"""HamiPose (CVPR 2026): a mean teacher that weights the source loss of each keypoint by a gate."""

from typing import Literal

from lightning.pytorch.cli import OptimizerCallable

from hamipose.gating import DiagonalMetric, Gate, KeypointGate, ScalarMetric
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation

__all__ = ["HamiPose"]


class HamiPose(PoseMethod):
    r"""Per-keypoint geometry, a gate and, with the optimizer ``hamipose.optim.Hamiltonian``, Hamiltonian transport.

    Every part can be replaced in the config: the rows of the paper's ablation (Table 4) differ only in `gate`, `metric`
    and `optimizer`.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        adaptation: options of the teacher, the target loss and the gate's warm-up.
        gate: weights of the source losses: KeypointGate (the paper's), UnifiedGate or OpenGate of ``hamipose.gating``.
        metric: D of the gate's inner products: "scalar", the paper's, which cancels in them, or "diagonal", which does
            not. (The mass of the optimizer's step is an option of the optimizer.)
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
