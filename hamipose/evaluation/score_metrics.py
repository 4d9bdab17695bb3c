"""The metrics of an evaluation: how each is built, and the names under which it is logged, printed and plotted.

A new metric is a torchmetrics class in :mod:`hamipose.metrics` and an entry of `METRICS`; scores, the printed table,
the HTML report, the dashboard and the verb `evaluate` then contain it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torchmetrics import Metric

from hamipose.metrics import PCK, PaperPCK
from hamipose.skeletons import Skeleton
from hamipose.viz.tables import Table

__all__ = [
    "METRICS",
    "PAPER_VARIANTS",
    "PCK_METRIC",
    "PCKMetric",
    "ScoreMetric",
    "ScoreName",
]

PAPER_VARIANTS: tuple[Literal["tll", "uniframe"], ...] = ("tll", "uniframe")


@dataclass(frozen=True)
class ScoreName:
    """The name under which a score is logged.

    Attributes:
        dataset: "val", or "test/" and the name of a test set.
        network: name of the network; under a published protocol with the protocol, such as "teacher/paper-tll".
        key: key of the metric, such as "pck@0.05".
        group: keypoint group; "all" is the headline.

    >>> str(ScoreName("test/lsp", "teacher", "pck@0.05", "elbow"))
    'test/lsp/teacher/pck@0.05/elbow'
    >>> str(ScoreName("val", "student", "pck@0.1"))
    'val/student/pck@0.1'
    """

    dataset: str
    network: str
    key: str
    group: str = "all"

    def __str__(self) -> str:
        """Return the logged name."""
        return f"{self.dataset}/{self.network}/{self.key}" + ("" if self.group == "all" else f"/{self.group}")


class ScoreMetric(ABC):
    """A metric of predicted keypoints as it is logged, printed and plotted.

    Attributes:
        name: its name in the headline of a set, ``val/<name>``, which callbacks may monitor.
        title: name and unit, as readers see them.
        factor: factor between logged and displayed values.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    factor: ClassVar[float] = 1.0

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """Return the keys of its variants in logged names; the first is the headline's."""

    @abstractmethod
    def build(self, skeleton: Skeleton, size: int) -> dict[str, Metric]:
        """Return key → metric with ``update(predicted_px, keypoints_px, visibility)``; computes group → value.

        Args:
            skeleton: keypoints and groups.
            size: side of the images in pixels.
        """

    def build_published(self, skeleton: Skeleton, variant: Literal["tll", "uniframe"]) -> dict[str, Metric]:
        """Return key → metric as published, with ``update(heatmaps, keypoints_px, visibility)``; default: none.

        Args:
            skeleton: keypoints and groups.
            variant: averaging of :class:`hamipose.metrics.PaperPCK`.
        """
        return {}

    def label(self, key: str) -> str:
        """Return what distinguishes a key in the label of a table row or a curve."""
        return key

    def headline(self, dataset: str) -> str:
        """Return the logged name of a set's headline."""
        return f"{dataset}/{self.name}"

    def parse(self, name: str) -> ScoreName | None:
        """Return the parts of a logged name; None if it is not a score of this metric and a network."""
        parts = name.split("/")
        start = {"val": 1, "test": 2}.get(parts[0], len(parts))
        for place in range(start + 1, len(parts)):
            if parts[place] in self.keys:
                dataset, network = "/".join(parts[:start]), "/".join(parts[start:place])
                return ScoreName(dataset, network, parts[place], "/".join(parts[place + 1 :]) or "all")
        return None

    def rows(self, scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Return the scores of this metric as row label → keypoint group → logged value.

        Args:
            scores: logged name → value.
        """
        rows: dict[str, dict[str, float]] = {}
        for name, value in scores.items():
            if (score := self.parse(name)) is not None:
                label = f"{score.dataset} {score.network} {self.label(score.key)}"
                rows.setdefault(label, {})[score.group] = float(value)
        return rows

    def table(self, rows: Mapping[str, Mapping[str, float]], columns: Iterable[str] | None = None) -> Table:
        """Return a table of displayed values.

        Args:
            rows: label → keypoint group → logged value; cells of missing groups are empty.
            columns: the groups; default: those of the rows, "all" first.
        """
        if columns is None:
            columns = dict.fromkeys(["all", *(group for row in rows.values() for group in row)])
        columns = list(columns)
        cells = [[f"{self.factor * row[c]:.1f}" if c in row else "" for c in columns] for row in rows.values()]
        return Table([self.title, *columns], [[label, *row] for label, row in zip(rows, cells, strict=True)])


@dataclass(frozen=True)
class PCKMetric(ScoreMetric):
    """PCK at some thresholds.

    Attributes:
        thresholds: fractions of the side of the image; the first is the headline's.
    """

    thresholds: tuple[float, ...] = (0.05, 0.1)

    name = "pck"
    title = "PCK, %"
    factor = 100.0

    @staticmethod
    def key(threshold: float) -> str:
        """Return the key of a threshold.

        >>> PCKMetric.key(0.05)
        'pck@0.05'
        """
        return f"pck@{threshold:g}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Return a key per threshold."""
        return tuple(map(self.key, self.thresholds))

    def build(self, skeleton: Skeleton, size: int) -> dict[str, Metric]:
        """Return the strict metric of each threshold."""
        return {self.key(threshold): PCK(skeleton, threshold, size) for threshold in self.thresholds}

    def build_published(self, skeleton: Skeleton, variant: Literal["tll", "uniframe"]) -> dict[str, Metric]:
        """Return the published metric of each threshold."""
        return {self.key(threshold): PaperPCK(skeleton, threshold, variant) for threshold in self.thresholds}

    def label(self, key: str) -> str:
        """Return the threshold, such as "@0.05"."""
        return key.removeprefix(self.name)

    def at(self, *thresholds: float) -> "PCKMetric":
        """Return the same metric at other thresholds."""
        return replace(self, thresholds=thresholds)


PCK_METRIC = PCKMetric()

#: The metrics of every evaluation. The first is the headline, by which a checkpoint may be selected on source data.
METRICS: tuple[ScoreMetric, ...] = (PCK_METRIC,)
