"""The mean teacher (Tarvainen & Valpola, 2017) on heatmaps: source loss plus consistency, sum_over_processes as they are."""

from lightning.pytorch.cli import OptimizerCallable

from hamipose.gating import OpenGate
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation

__all__ = ["MeanTeacher"]


class MeanTeacher(PoseMethod):
    """L_s + λ L_t. The gate is held open, so that conflicts are measured but nothing is done about them.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
        adaptation: teacher and trade-off.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        adaptation: AdaptationOptions = AdaptationOptions(),  # noqa: B008
    ):
        super().__init__(network, optimizer, training)
        self.adaptation = Adaptation(self.network, OpenGate(), None, adaptation, self.skeleton.mirror, self.encoding)
