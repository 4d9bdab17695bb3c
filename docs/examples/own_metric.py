"""A metric: the mean distance of predicted keypoints to the ground truth, in pixels.

In the packages a metric is a class in ``hamipose/metrics.py`` and an entry of `METRICS` in
``hamipose/evaluation/score_metrics.py``. It is then computed in every evaluation and shown in logs, tables, the HTML
report and the dashboard.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from hamipose.evaluation.score_metrics import ScoreMetric
from hamipose.skeletons import BODY16, Skeleton


class MeanDistance(Metric):
    """Mean distance in pixels over the labeled keypoints of each group; torchmetrics sums the state over processes.

    Args:
        skeleton: keypoints and groups.
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.skeleton = skeleton
        for state in ("total", "count"):
            self.add_state(state, torch.zeros(len(skeleton)), dist_reduce_fx="sum")

    def update(self, predicted_px: Tensor, keypoints_px: Tensor, visibility: Tensor) -> None:
        distance = torch.linalg.vector_norm(predicted_px - keypoints_px, dim=-1)
        self.total += torch.where(visibility > 0, distance, 0.0).sum(0)
        self.count += (visibility > 0).sum(0)

    def compute(self) -> dict[str, Tensor]:
        mean = self.total / self.count  # NaN for keypoints that are never labeled
        groups = {**self.skeleton.groups, "all": self.skeleton.all}
        return {name: mean[self.skeleton.indices(keypoints)].nanmean() for name, keypoints in groups.items()}


class DistanceScore(ScoreMetric):
    """The mean distance as an entry of `METRICS`."""

    name = "distance"
    title = "distance, px"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.name,)

    def build(self, skeleton: Skeleton, size: int) -> dict[str, Metric]:
        return {self.name: MeanDistance(skeleton)}


if __name__ == "__main__":
    score = DistanceScore()
    metric = score.build(BODY16, size=256)["distance"]
    truth_px = torch.zeros(1, len(BODY16), 2)
    metric.update(truth_px + torch.tensor([3.0, 4.0]), truth_px, torch.full((1, len(BODY16)), 2))
    values = {group: float(value) for group, value in metric.compute().items()}
    print(score.title, values)
    assert values["all"] == 5.0
