"""One evaluation of a method: its networks on every set, from the first batch to the scores."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hamipose.evaluation.scores import Scores
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.skeletons import Skeleton
from hamipose.types import LabeledBatch

__all__ = ["Evaluation"]


class Evaluation:
    """Scores by set and network.

    Args:
        names: prefix of each set's scores, such as val or test/lsp.
        networks: names of the networks; the last one is the one that counts.
        skeleton: keypoints and groups.
        size: side of the images in pixels.
        paper: measure as published too, see :class:`Scores`.
        device: where to count.
        encoding: of the labels that the networks learned from.
    """

    def __init__(
        self,
        names: Iterable[str],
        networks: Iterable[str],
        skeleton: Skeleton,
        size: int,
        paper: bool,
        device: torch.device,
        encoding: Encoding,
    ):
        networks = list(networks)
        self._sets = [Scores(name, networks, skeleton, size, paper, encoding).to(device) for name in names]

    def add(self, batch: LabeledBatch, number: int, networks: Mapping[str, nn.Module]) -> None:
        """Count a batch of one set.

        Args:
            batch: images, keypoints in pixels of the crop, visibility.
            number: of the set.
            networks: what is evaluated: normalized images → heatmaps.
        """
        images = normalize(batch.image)
        for name, network in networks.items():
            self._sets[number].update(name, network(images).float(), batch.keypoints_px, batch.visibility)

    def scores(self) -> list[tuple[str, dict[str, Tensor], Tensor]]:
        """Name, scores under the names they are logged by, and headline of each set; all processes ask together."""
        return [(found.name, found.compute(), found.headline()) for found in self._sets]
