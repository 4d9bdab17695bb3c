"""Scores of the evaluated networks on one data set, under the names they are logged by."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from hamipose.metrics import PCK, PaperPCK
from hamipose.models.encoding import Encoding
from hamipose.skeletons import Skeleton

__all__ = ["PAPER_VARIANTS", "THRESHOLDS", "Scores"]

THRESHOLDS = (0.05, 0.1)
PAPER_VARIANTS: tuple[Literal["tll", "uniframe"], ...] = ("tll", "uniframe")


class Scores(nn.Module):
    """PCK of each network: strictly at each threshold, and, where asked for, as published at the first one.

    Args:
        name: prefix of the logged names, such as val or test/lsp.
        networks: names of the networks; the last one is the one that counts.
        skeleton: keypoints and groups.
        size: side of the images in pixels.
        paper: measure as published too, in both variants of :class:`hamipose.metrics.PaperPCK`. These figures depend on
            the batches: for comparison with the papers' evaluate in one process, 32 images at a time. It compares
            cells, as published, and decodes nothing.
        encoding: of the labels that the networks learned from, which strict scores undo.
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
        self.metrics = nn.ModuleList(
            PCK(skeleton, threshold=threshold, size=size) for _ in networks for threshold in THRESHOLDS
        )
        self.published = nn.ModuleDict(
            {
                network: nn.ModuleList(PaperPCK(skeleton, THRESHOLDS[0], variant) for variant in PAPER_VARIANTS)
                for network in (networks if paper else ())
            }
        )

    def _of(self, network: str) -> list[PCK]:
        """A network's metrics, in the order of the thresholds."""
        first = self.networks.index(network) * len(THRESHOLDS)
        return list(self.metrics)[first : first + len(THRESHOLDS)]  # type: ignore[return-value]

    def update(
        self,
        network: str,
        heatmaps: Float[Tensor, "batch keypoint height width"],
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        visibility: Int[Tensor, "batch keypoint"],
    ) -> None:
        """Count a batch of one network's predictions."""
        predicted_px, _ = self.encoding.decode(heatmaps)
        for metric in self._of(network):
            metric.update(predicted_px, keypoints_px, visibility)
        if network in self.published:
            for paper in self._published_of(network):
                paper.update(heatmaps, keypoints_px, visibility)

    def _published_of(self, network: str) -> list[PaperPCK]:
        return list(self.published[network])  # type: ignore[call-overload]

    def compute(self) -> dict[str, Tensor]:
        """``<name>/<network>/pck@0.05`` for the headline, ``…/pck@0.05/elbow`` for a group, and ``<name>/pck``.

        The latter is the headline at the first threshold of the network that counts. Groups without a label are left
        out. What is measured as published is called ``<name>/<network>/paper-tll/pck@0.05`` and so on.
        """
        logged: dict[str, Tensor] = {}
        for network in self.networks:
            for metric in self._of(network):
                logged |= _named(f"{self.name}/{network}/pck@{metric.threshold:g}", metric.compute())
            if network in self.published:
                for paper in self._published_of(network):
                    prefix = f"{self.name}/{network}/paper-{paper.variant}/pck@{paper.threshold:g}"
                    logged |= _named(prefix, paper.compute())
        logged[f"{self.name}/pck"] = self.headline()
        return logged

    def headline(self) -> Tensor:
        """PCK over the skeleton's headline joints of the network that counts; 0 where nothing is labeled."""
        return self._of(self.networks[-1])[0].compute()["all"].nan_to_num(0.0)


def _named(prefix: str, groups: dict[str, Tensor]) -> dict[str, Tensor]:
    """Groups that were seen, the headline under the prefix alone."""
    return {
        prefix if group == "all" else f"{prefix}/{group}": value for group, value in groups.items() if not value.isnan()
    }
