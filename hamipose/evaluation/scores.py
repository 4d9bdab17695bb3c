"""Scores of the evaluated networks on every evaluation set, under the names by which they are logged."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics import Metric

from hamipose.evaluation.score_metrics import METRICS, PAPER_VARIANTS, ScoreName
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.skeletons import Skeleton
from hamipose.types import LabeledBatch

__all__ = ["Evaluation", "Scores"]


class Scores(nn.Module):
    """Scores of each network on one set, by every entry of `METRICS`.

    Args:
        name: prefix of the logged names, such as val or test/lsp.
        networks: names of the networks; the headline is the score of the last one.
        skeleton: keypoints and groups.
        size: side of the images in pixels.
        paper: also compute the headline metric as published, in both variants of :class:`hamipose.metrics.PaperPCK`.
            These scores depend on the batches: to compare with the papers, evaluate in one process, 32 images at a
            time. They compare heatmap cells, as published, without decoding.
        encoding: encoding of the labels that the networks were trained with, which strict scores invert.
    """

    def __init__(
        self,
        name: str,
        networks: list[str],
        skeleton: Skeleton,
        size: int,
        paper: bool = False,
        encoding: Encoding = Encoding(),  # noqa: B008  frozen
    ):
        super().__init__()
        self.encoding = encoding
        self.name = name
        self.networks = networks
        self._strict: list[tuple[ScoreName, Metric]] = []
        self._published: list[tuple[ScoreName, Metric]] = []
        for network in networks:
            for metric in METRICS:
                built = metric.build(skeleton, size)
                self._strict += [(ScoreName(name, network, key), each) for key, each in built.items()]
            for variant in PAPER_VARIANTS if paper else ():
                key = METRICS[0].keys[0]
                each = METRICS[0].build_published(skeleton, variant)[key]
                self._published.append((ScoreName(name, f"{network}/paper-{variant}", key), each))
        self.metrics = nn.ModuleList(each for _, each in [*self._strict, *self._published])

    def update(
        self,
        network: str,
        heatmaps: Float[Tensor, "batch keypoint height width"],
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        visibility: Int[Tensor, "batch keypoint"],
    ) -> None:
        """Add a batch of one network's predictions."""
        predicted_px, _ = self.encoding.decode(heatmaps)
        for name, metric in self._strict:
            if name.network == network:
                metric.update(predicted_px, keypoints_px, visibility)
        for name, metric in self._published:
            if name.network.startswith(f"{network}/"):
                metric.update(heatmaps, keypoints_px, visibility)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores by their logged names.

        They are ``<set>/<network>/pck@0.05`` for the headline joints, ``…/pck@0.05/elbow`` for a group, and
        ``<set>/pck`` for the headline. Groups without a label are omitted. Scores as published are called
        ``<set>/<network>/paper-tll/pck@0.05`` and so on.
        """
        logged: dict[str, Tensor] = {}
        for network in self.networks:
            for name, metric in [*self._strict, *self._published]:
                if name.network.partition("/")[0] == network:
                    logged |= {
                        str(ScoreName(name.dataset, name.network, name.key, group)): value
                        for group, value in metric.compute().items()
                        if not value.isnan()
                    }
        logged[METRICS[0].headline(self.name)] = self.headline()
        return logged

    def headline(self) -> Tensor:
        """Return the first score of the last network, over the headline joints; 0 if none of them is labeled."""
        name = ScoreName(self.name, self.networks[-1], METRICS[0].keys[0])
        return dict(self._strict)[name].compute()["all"].nan_to_num(0.0)


class Evaluation:
    """One evaluation of a method: the scores of its networks on every set.

    Args:
        names: prefix of each set's scores, such as val or test/lsp.
        networks: names of the networks; the headline is the score of the last one.
        skeleton: keypoints and groups.
        size: side of the images in pixels.
        paper: also score as published, see :class:`Scores`.
        device: device of the metrics.
        encoding: encoding of the labels that the networks were trained with.
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
        """Add a batch of one set.

        Args:
            batch: images, keypoints in pixels of the crop, visibility.
            number: number of the set.
            networks: the networks by name: normalized images → heatmaps.
        """
        images = normalize(batch.image)
        for name, network in networks.items():
            self._sets[number].update(name, network(images).float(), batch.keypoints_px, batch.visibility)

    def scores(self) -> list[tuple[str, dict[str, Tensor], Tensor]]:
        """Return name, scores by their logged names, and headline of each set; a collective call."""
        return [(scores.name, scores.compute(), scores.headline()) for scores in self._sets]
