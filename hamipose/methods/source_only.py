"""The lower bound: a network that has only ever seen the source."""

from collections.abc import Iterator

import torch
from jaxtyping import UInt8
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.data.target_pass import iterate_target
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.teacher_student import average_over_processes
from hamipose.methods.validation import check_at_least
from hamipose.models.batchnorm import BatchNormStatistics, batchnorm_layers, reestimate_statistics
from hamipose.models.pretrained.interface import FinetunableNetwork

__all__ = ["TARGET_STATISTICS", "SourceOnly"]

#: Under this name the scores of the network with target statistics are logged.
TARGET_STATISTICS = "target-statistics"


class SourceOnly(PoseMethod):
    """Heatmap regression on labeled source images (Simple Baseline, Xiao et al., ECCV 2018).

    Training sees no target image. Where the data have a target, each evaluation of a `fit` also scores a copy of the
    network whose BatchNorm statistics were estimated anew on some of its images
    (:func:`hamipose.models.batchnorm.reestimate_statistics`), as ``test/…/target-statistics/…``: how much of a gain
    is due to statistics, and whether there is one, is measured there. It is a row of tables and never what a user gets.

    Args:
        optimizer: makes the optimizer from parameters.
        network: the pose network.
        training: how it is trained.
        target_images: number of target images for that copy, at even distances through the set; 0 for none.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        target_images: int = 512,
    ):
        super().__init__(network, optimizer, training)
        check_at_least(0, target_images=target_images)
        self.target_images = target_images
        self._beside: dict[str, nn.Module] = {}  # a plain dictionary: no part of the model

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """The network, and before it, during an evaluation, its copy with target statistics."""
        return {**self._beside, **super().evaluated_networks()}

    def start_evaluation(self) -> None:
        self._beside = {}
        prepared = self._data is not None and getattr(self._data, "stream", None) is not None  # `fit` has made it ready
        estimates = (
            self.target_images and batchnorm_layers(self.network) and not isinstance(self.network, FinetunableNetwork)
        )
        if prepared and self._data.target and estimates and not self.trainer.sanity_checking:
            copied = reestimate_statistics(self.network, self._target_images())
            found = BatchNormStatistics(copied)
            found.take(*average_over_processes(found.mean, found.variance))
            found.write(copied)
            self._beside = {TARGET_STATISTICS: copied}
        super().start_evaluation()

    def end_evaluation(self) -> None:
        super().end_evaluation()
        self._beside = {}

    def _target_images(self) -> Iterator[UInt8[Tensor, "batch 3 height width"]]:
        for batch in iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size, self.target_images):
            readable = torch.tensor([name != "" for name in batch.name])  # padding is of images that count
            if bool(readable.any()):
                yield batch.image[readable].to(self.device)
