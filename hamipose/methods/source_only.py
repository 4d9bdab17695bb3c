"""The lower bound: a network that has only ever seen the source."""

from lightning.pytorch.cli import OptimizerCallable

from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions

__all__ = ["SourceOnly"]


class SourceOnly(PoseMethod):
    """Heatmap regression on labelled source images (Simple Baseline, Xiao et al., ECCV 2018).

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
    ):
        super().__init__(network, optimizer, training)
