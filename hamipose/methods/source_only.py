"""The lower bound: a network that is trained on the source alone."""

from collections.abc import Iterator

import torch
from jaxtyping import UInt8
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.data.target_pass import iterate_target
from hamipose.engine.distributed import average_over_processes
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.validation import check_at_least
from hamipose.models.batchnorm import BatchNormStatistics, batchnorm_layers, reestimate_statistics
from hamipose.models.pretrained.interface import FinetunableNetwork

__all__ = ["TARGET_STATISTICS", "SourceOnly"]

#: Name under which the scores of the network with target statistics are logged.
TARGET_STATISTICS = "target-statistics"


class SourceOnly(PoseMethod):
    """Heatmap regression on labeled source images (Simple Baseline, Xiao et al., ECCV 2018).

    Training uses no target image. If the data have a target, each evaluation of `fit` also scores a copy of the network
    whose BatchNorm statistics are re-estimated on some of its images
    (:func:`hamipose.models.batchnorm.reestimate_statistics`), as
    ``test/…/target-statistics/…``. This measures the gain that statistics alone bring. The copy is a row of tables and
    never the network that a user gets.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        target_images: number of target images for that copy, evenly spaced in the set; 0 for no copy.
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
        self._copies: dict[str, nn.Module] = {}  # a plain dictionary: not a part of the model

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """Return the network, preceded by its copy with target statistics during an evaluation."""
        return {**self._copies, **super().evaluated_networks()}

    def start_evaluation(self) -> None:
        """Create the copy with target statistics, then the scores."""
        self._copies = {}
        prepared = self._data is not None and getattr(self._data, "training_set", None) is not None  # ready in `fit`
        estimates = (
            self.target_images and batchnorm_layers(self.network) and not isinstance(self.network, FinetunableNetwork)
        )
        if prepared and self._data.target and estimates and not self.trainer.sanity_checking:
            copied = reestimate_statistics(self.network, self._target_images())
            statistics = BatchNormStatistics(copied)
            statistics.assign(*average_over_processes(statistics.mean, statistics.variance))
            statistics.write_to(copied)
            self._copies = {TARGET_STATISTICS: copied}
        super().start_evaluation()

    def end_evaluation(self) -> None:
        """Log the scores, and delete the copy."""
        super().end_evaluation()
        self._copies = {}

    def _target_images(self) -> Iterator[UInt8[Tensor, "batch 3 height width"]]:
        for batch in iterate_target(self._data, self.trainer.global_rank, self.trainer.world_size, self.target_images):
            readable = torch.tensor([name != "" for name in batch.name])  # padding has an empty name
            if bool(readable.any()):
                yield batch.image[readable].to(self.device)
