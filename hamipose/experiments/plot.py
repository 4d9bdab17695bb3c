"""A table as bars, a figure as curves."""

import io
import statistics
from collections.abc import Mapping, Sequence

from hamipose.engine.metrics_file import Series, read_run
from hamipose.engine.runs import finished
from hamipose.experiments.runs import Cell
from hamipose.experiments.table import Score
from hamipose.experiments.transfers import Transfer
from hamipose.viz.html import plot_curves

__all__ = ["bars", "lines", "mean_series"]


def bars(transfers: Sequence[Transfer], scores: Sequence[Score]) -> bytes:
    """PCK@0.05 of the network that a user gets at the last epoch, as a PNG: mean, and a point for each seed.

    Args:
        transfers: a panel each.
        scores: of ``table.collect``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys(s.row for s in scores))
    figure = Figure(figsize=(1 + 5 * len(transfers), 1.2 + 0.3 * len(rows)), layout="constrained")
    for position, transfer in enumerate(transfers, 1):
        axes = figure.add_subplot(1, len(transfers), position)
        for height, row in enumerate(reversed(rows)):
            own = [s for s in scores if (s.row, s.transfer, s.report) == (row, transfer.name, transfer.report)]
            values = [s.values["pck@0.05"] for s in own if s.given and s.selection == "last"]
            if values:
                axes.barh(height, statistics.fmean(values), color="#9db4c8")
                axes.plot(values, [height] * len(values), "k.", markersize=4)
        axes.set_yticks(range(len(rows)), reversed(rows), fontsize=8)
        axes.set_xlabel("PCK@0.05 in %, last epoch; a point is a seed", fontsize=8)
        axes.set_title(transfer.title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def mean_series(series: Sequence[Series]) -> tuple[list[int], list[float]]:
    """The mean over seeds, at the steps that all of them have."""
    steps = sorted(set.intersection(*(set(s) for s in series))) if series else []
    return steps, [statistics.fmean(s[step] for s in series) for step in steps]


def lines(columns: Mapping[str, str], cells: Sequence[Cell]) -> bytes:
    """Curves of a training quantity, mean over seeds, as a PNG.

    Args:
        columns: panel title → column of the runs' metrics.
        cells: a line each.
    """
    panels = {}
    for title, column in columns.items():
        drawn = {}
        for cell in cells:
            logged = [read_run(run.folder).get(column, {}) for run in cell.runs.values() if finished(run)]
            steps, values = mean_series([series for series in logged if series])
            if steps:
                drawn[cell.row.label] = (steps, values)
        panels[title] = drawn
    return plot_curves(panels, log_scale=[title for title in columns if "loss" in title])
