"""Write the table's page: errors before and after adaptation, with protocol, data and provenance."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamipose.engine.experiment_page import add_provenance, failures, format_mean, missing_notes
from hamipose.engine.experiments import Budget, Cell, Scale
from hamipose.engine.runs import is_finished
from hamipose.io.json_file import read_record
from hamipose.viz.tables import MarkdownPage, Table
from meshtto.evaluation.plots import plot_joint_errors, plot_step_errors
from meshtto.experiments.paper_results import PAPER_RESULTS
from meshtto.experiments.rows import Row

__all__ = ["Result", "collect", "page_title", "write_page"]

_ERRORS = {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pve": "PVE", "error_2d": "2D, px"}

#: Number of rows in the plot of joints.
_PLOTTED_ROWS = 4


@dataclass(frozen=True)
class Result:
    """The test of one table row with one seed on one set.

    Attributes:
        row: the table row.
        seed: the seed of its training.
        test_set: name of the set.
        curves: error → its values after 0, 1, 2 … steps; in mm, and in pixels of the crop for the 2D error.
        per_joint: joint → MPJPE before and after adaptation, in mm.
        people: number of adapted people and outcomes, if the test counted them.
        protocol: the protocol of the scores.
    """

    row: Row
    seed: int
    test_set: str
    curves: Mapping[str, Sequence[float]]
    per_joint: Mapping[str, Sequence[float]]
    people: Mapping[str, Any]
    protocol: Mapping[str, str]


def page_title(scale: Scale) -> str:
    """Return the page's title, which states the scale, so that small-scale numbers never look like the paper's."""
    if scale == "paper":
        return "Human mesh recovery at the paper's scale: test-time optimization inside training"
    return (
        "Human mesh recovery at a small scale, NOT the paper's data, networks or budget: test-time optimization inside "
        "training on the built-in body"
    )


def collect(cells: Sequence[Cell[Row]]) -> tuple[list[Result], list[str]]:
    """Return all available results, and notes on rows and on missing results."""
    results: list[Result] = []
    for cell in cells:
        for seed, test in cell.runs.items():
            if not is_finished(test):
                continue
            content = read_record(test.folder / test.scores, "sets", "protocol")
            for name, scores in content["sets"].items():
                kind, _, test_set = name.partition("/")
                if kind == "test":
                    people = scores.get("people") or {}
                    curves, joints = scores["against_steps"], scores["per_joint"]
                    results.append(Result(cell.row, seed, test_set, curves, joints, people, content["protocol"]))
    notes = [f"{cell.row.label}: {cell.row.note}" for cell in cells if cell.row.note]
    return results, [*notes, *missing_notes(failures(cells))]


def _mean_curve(results: Sequence[Result], error: str) -> list[float]:
    return [statistics.fmean(values) for values in zip(*(r.curves[error] for r in results), strict=True)]


def _error_table(labels: Sequence[str], results: Sequence[Result], test_set: str, *, paper: bool) -> Table:
    table = Table(["training, adaptation", "seeds", "people", "steps"])
    for name in _ERRORS.values():
        table.header = [*table.header, f"{name} before", "after"]
    table.header = [*table.header, "vertices moved, mm", "lowest PA-MPJPE (at step), not a result"]
    for label in labels:
        own = [r for r in results if r.row.label == label and r.test_set == test_set]
        cells = [str(len(own)) if own else "", _count_people(own), str(len(own[0].curves["mpjpe"]) - 1) if own else ""]
        for error in _ERRORS:
            cells += [format_mean([r.curves[error][end] for r in own]) for end in (0, -1)]
        moved = [r.curves["moved"][-1] for r in own if "moved" in r.curves]  # not in older results
        table.rows.append([label, *cells, f"{statistics.fmean(moved):.2f}" if moved else "", _lowest(own)])
    for label, sets in PAPER_RESULTS.items() if paper else ():
        if printed := sets.get(test_set):
            values = [f"{printed[error]:.1f}" if error in printed else "" for error in ("mpjpe", "pa_mpjpe", "pve")]
            after = [cell for value in values for cell in ("", value)]
            table.rows.append([f"{label}, printed in the paper", "", "", "", *after, "", "", "", ""])
    return table


def _count_people(results: Sequence[Result]) -> str:
    counts = {", ".join(f"{value} {name}" for name, value in r.people.items() if value) for r in results}
    return "; ".join(sorted(counts))


def _lowest(results: Sequence[Result]) -> str:
    """Return the lowest error over steps, which only test labels could select."""
    if not results:
        return ""
    curve = [value if math.isfinite(value) else math.inf for value in _mean_curve(results, "pa_mpjpe")]
    step = min(range(len(curve)), key=curve.__getitem__)
    return f"{curve[step]:.1f} ({step})"


def write_page(
    scale: Scale,
    cells: Sequence[Cell[Row]],
    *,
    budget: Budget,
    sets: Mapping[str, str],
    command: str,
    out: Path,
) -> Path:
    """Write Markdown, CSV and plots; returns the path of the Markdown file.

    Args:
        scale: "small" or "paper".
        cells: result of :func:`~meshtto.experiments.runs.compose`.
        budget: budget of the small scale.
        sets: role → description of the set.
        command: the command that made the page.
        out: output folder.
    """
    results, notes = collect(cells)
    page = MarkdownPage(out / f"meshtto_table1_{scale}.md", page_title(scale))
    _table_of_all(results).write_csv(page.path.with_suffix(".csv"))
    page.add_text(_introduction(scale, budget))
    labels = [cell.row.label for cell in cells]
    test_sets = list(dict.fromkeys(r.test_set for r in results))
    for test_set in test_sets or (["3dpw", "h36m"] if scale == "paper" else ["builtin"]):
        page.add_heading(f"On {test_set}")
        page.add_table(_error_table(labels, results, test_set, paper=scale == "paper"))
        own = [r for r in results if r.test_set == test_set]
        if own:
            _add_plots(page, own, test_set)
    if notes:
        page.add_heading("Notes")
        page.add_list(notes)
    if results:
        page.add_heading("Protocol")
        page.add_list(_protocol(results))
        page.add_text("Means over people; ± is the standard deviation over seeds. Weights: those of the last step.")
    page.add_heading("Data")
    page.add_list(f"{role}: {description}" for role, description in sets.items())
    add_provenance(page, cells, command)
    return page.write()


def _protocol(results: Sequence[Result]) -> list[str]:
    """List what the scores depend on; name the rows where they differ, and always for evidence."""
    items = []
    for key in dict.fromkeys(key for r in results for key in r.protocol):
        by_value: dict[str, dict[str, None]] = {}
        for r in results:
            by_value.setdefault(r.protocol.get(key, "not stated"), {})[r.row.label] = None
        named = key == "evidence" or len(by_value) > 1
        for value, labels in by_value.items():
            items.append(f"{key}: {value}" + (f" ({'; '.join(labels)})" if named else ""))
    return items


def _add_plots(page: MarkdownPage, results: Sequence[Result], test_set: str) -> None:
    """Add plots of the curves of all adapted rows, and of the joints of the first rows."""
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.row.label, []).append(result)
    curves = {
        label: {error: _mean_curve(own, error) for error in _ERRORS}
        for label, own in by_row.items()
        if len(own[0].curves["mpjpe"]) > 1
    }
    if curves:
        page.add_png(plot_step_errors(curves), "errors against adaptation steps", f"_{test_set}_curves")
    shown = {label: own[0].per_joint for label, own in list(by_row.items())[:_PLOTTED_ROWS]}
    page.add_png(plot_joint_errors(shown), "MPJPE per joint", f"_{test_set}_joints")


def _introduction(scale: Scale, budget: Budget) -> str:
    if scale == "paper":
        return "Each training follows the recipe of its config; the paper's results are listed too. Errors in mm."
    return (
        f"For each seed, one regression is trained for {budget.start} steps of 16 images; every training continues "
        f"from it for {budget.steps} steps, on the same images in the same order. Errors in mm, the 2D error (against "
        "the true projection) in pixels of the crop. An empty cell was not run."
    )


def _table_of_all(results: Sequence[Result]) -> Table:
    """Return a table with a row for each test, set and step."""
    table = Table(["training and adaptation", "seed", "set", "step", *_ERRORS])
    for r in results:
        for step, errors in enumerate(zip(*(r.curves[error] for error in _ERRORS), strict=True)):
            table.rows.append([r.row.label, str(r.seed), r.test_set, str(step), *(f"{e:.4f}" for e in errors)])
    return table
