"""Scores of the evaluated networks on one data set, under the names they are logged by."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from hamipose.heatmaps import decode
from hamipose.metrics import PCK
from hamipose.skeletons import Skeleton

__all__ = ["THRESHOLDS", "Scores"]

THRESHOLDS = (0.05, 0.1)


class Scores(nn.Module):
    """PCK of each network at each threshold, strict protocol.

    Args:
        name: prefix of the logged names, such as val or report/lsp.
        networks: names of the networks; the last one is the one that counts.
        skeleton: keypoints and groups.
        size: side of the images in pixels.
    """

    def __init__(self, name: str, networks: list[str], skeleton: Skeleton, size: int):
        super().__init__()
        self.name = name
        self.networks = networks
        self.metrics = nn.ModuleList(
            PCK(skeleton, threshold=threshold, size=size) for _ in networks for threshold in THRESHOLDS
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
        predicted_px, _ = decode(heatmaps)
        for metric in self._of(network):
            metric.update(predicted_px, keypoints_px, visibility)

    def compute(self) -> dict[str, Tensor]:
        """``<name>/<network>/pck@0.05`` for the headline, ``…/pck@0.05/elbow`` for a group, and ``<name>/pck``.

        The latter is the headline at the first threshold of the network that counts. Groups without a label are left
        out.
        """
        logged = {}
        for network in self.networks:
            for metric in self._of(network):
                groups = metric.compute()
                prefix = f"{self.name}/{network}/pck@{metric.threshold:g}"
                for group, value in groups.items():
                    if not value.isnan():
                        logged[prefix if group == "all" else f"{prefix}/{group}"] = value
        logged[f"{self.name}/pck"] = self.headline()
        return logged

    def headline(self) -> Tensor:
        """PCK over the skeleton's headline joints of the network that counts; 0 where nothing is labelled."""
        return self._of(self.networks[-1])[0].compute()["all"].nan_to_num(0.0)
