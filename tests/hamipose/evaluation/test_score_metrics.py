import pytest
from torchmetrics import Metric

from hamipose.evaluation import run_report, score_metrics, scores
from hamipose.evaluation.score_metrics import METRICS, PCK_METRIC, ScoreMetric, ScoreName
from hamipose.evaluation.scores import Scores
from hamipose.metrics import PCK
from hamipose.skeletons import BODY16, Skeleton


@pytest.mark.parametrize("dataset", ["val", "test/lsp"])
@pytest.mark.parametrize("network", ["student", "teacher/paper-tll"])
@pytest.mark.parametrize("group", ["all", "elbow"])
@pytest.mark.parametrize("key", PCK_METRIC.keys)
def test_parse_inverts_str(dataset: str, network: str, key: str, group: str):
    name = ScoreName(dataset, network, key, group)
    assert PCK_METRIC.parse(str(name)) == name


@pytest.mark.parametrize("name", ["val/pck", "test/lsp/pck", "train/pck@0.05", "step", "val/student/pck@0.2"])
def test_parse_ignores_other_names(name: str):
    assert PCK_METRIC.parse(name) is None


def test_headlines_are_unique_and_rows_show_displayed_values():
    assert PCK_METRIC.headline("val") == "val/pck"
    rows = PCK_METRIC.rows({"val/student/pck@0.05": 0.5, "val/student/pck@0.05/elbow": 0.25, "val/pck": 0.5})
    assert rows == {"val student @0.05": {"all": 0.5, "elbow": 0.25}}
    table = PCK_METRIC.table(rows)
    assert (table.header, table.rows) == (["PCK, %", "all", "elbow"], [["val student @0.05", "50.0", "25.0"]])


class Misses(ScoreMetric):
    """A metric with one key, as a new entry of `METRICS`."""

    name = "misses"
    title = "misses"
    keys = ("misses",)

    def build(self, skeleton: Skeleton, size: int) -> dict[str, Metric]:
        return {"misses": PCK(skeleton, 0.5, size)}


def test_new_metric_needs_only_an_entry(monkeypatch: pytest.MonkeyPatch):
    metrics = (*METRICS, Misses())
    for module in (score_metrics, scores, run_report):
        monkeypatch.setattr(module, "METRICS", metrics)
    built = Scores("test/x", ["student"], BODY16, 64)
    assert len(built.metrics) == 3
    assert metrics[1].parse("test/x/student/misses/elbow") == ScoreName("test/x", "student", "misses", "elbow")
    assert metrics[1].parse("test/misses/student/pck@0.05") is None
