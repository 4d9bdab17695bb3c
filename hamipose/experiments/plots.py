"""Plots of a table (bars) and of a figure (curves)."""

import statistics
from collections.abc import Mapping, Sequence

from hamipose.engine.metrics_file import Series, read_run
from hamipose.engine.runs import is_finished
from hamipose.experiments.results import Result
from hamipose.experiments.runs import TransferCell
from hamipose.experiments.tables import HEADLINE, results_of
from hamipose.experiments.transfers import Transfer
from hamipose.viz.figures import create_panels, encode_figure, estimate_text_width, plot_curves

__all__ = ["plot_columns", "plot_results"]


def plot_results(transfers: Sequence[Transfer], results: Sequence[Result]) -> bytes:
    """Plot PCK@0.05 of the delivered network in the last epoch: bars of means, and a point per seed.

    Args:
        transfers: one panel each.
        results: result of :func:`~hamipose.experiments.results.collect`.

    Returns:
        A PNG.
    """
    rows = list(dict.fromkeys(r.row for r in results))
    left = 0.15 + max(map(estimate_text_width, rows), default=0.0)
    label = "PCK@0.05 in %, last epoch; a point per seed"
    titles = [transfer.title for transfer in transfers]
    figure, panels = create_panels(titles, label, 3.6, 0.3 + 0.3 * len(rows), left=left)
    for axes, transfer in zip(panels, transfers, strict=True):
        last = [r for r in results_of(transfer, results) if r.is_shown and r.selection == "last"]
        for height, row in enumerate(reversed(rows)):
            values = [r.values[HEADLINE] for r in last if r.row == row]
            if values:
                axes.barh(height, statistics.fmean(values), color="#9db4c8")
                axes.plot(values, [height] * len(values), "k.", markersize=4)
        axes.set_yticks(range(len(rows)), reversed(rows), fontsize=8)
        axes.locator_params(axis="x", nbins=6)
    return encode_figure(figure)


def plot_columns(columns: Mapping[str, str], cells: Sequence[TransferCell]) -> bytes:
    """Plot curves of logged columns, mean over seeds, with a line per row.

    Args:
        columns: panel title → logged column.
        cells: the cells of a figure.

    Returns:
        A PNG.
    """
    panels = {}
    for title, column in columns.items():
        lines = {}
        for cell in cells:
            logged = [read_run(run.folder).get(column, {}) for run in cell.runs.values() if is_finished(run)]
            steps, values = _mean_series([series for series in logged if series])
            if steps:
                lines[cell.row.label] = (steps, values)
        panels[title] = lines
    return plot_curves(panels, log_scale=[title for title in columns if "loss" in title])


def _mean_series(series: Sequence[Series]) -> tuple[list[int], list[float]]:
    """Return the mean over seeds, at the steps that all of them contain."""
    steps = sorted(set.intersection(*(set(s) for s in series))) if series else []
    return steps, [statistics.fmean(s[step] for s in series) for step in steps]
