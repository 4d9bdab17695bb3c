"""Mean teacher (Tarvainen & Valpola, 2017) on heatmaps: source loss plus consistency loss."""

from lightning.pytorch.cli import OptimizerCallable

from hamipose.gating import OpenGate
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation

__all__ = ["MeanTeacher"]


class MeanTeacher(PoseMethod):
    """L_s + λ L_t, with an open gate: conflicts are measured, and gradients are not changed.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        adaptation: options of the teacher and the target loss.
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
