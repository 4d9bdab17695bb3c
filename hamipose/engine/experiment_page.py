"""Parts of the page of a paper's table, for both packages: means over seeds, missing results, provenance."""

import math
import statistics
from collections.abc import Mapping, Sequence

from hamipose.engine.experiments import Cell, RowT
from hamipose.engine.run_record import describe_machine, describe_versions, recorded_revision
from hamipose.engine.runs import Run, failure, is_finished, wall_time
from hamipose.viz.tables import MarkdownPage, Table

__all__ = ["add_provenance", "failures", "format_mean", "missing_notes"]


def format_mean(values: Sequence[float]) -> str:
    """Return mean ± standard deviation; without the latter for one value, and empty for none.

    >>> format_mean([1.0, 2.0]), format_mean([3.0]), format_mean([]), format_mean([1.0, math.nan])
    ('1.5 ± 0.7', '3.0', '', 'diverged')
    """
    if not values:
        return ""
    if not all(map(math.isfinite, values)):
        return "diverged"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def missing_notes(missing: Mapping[str, Sequence[str]], title: str = "") -> list[str]:
    """Return a note for each reason of empty cells.

    Args:
        missing: reason → labels of the rows.
        title: title of the part of the table.
    """
    where = f", {title}" if title else ""
    return [f"Empty{where}: {', '.join(labels)}: {reason}" for reason, labels in missing.items()]


def failures(cells: Sequence[Cell[RowT]]) -> dict[str, list[str]]:
    """Return reason → labels of the rows whose runs are missing or failed, with their seeds."""
    missing: dict[str, list[str]] = {}
    for cell in cells:
        if cell.missing:
            missing.setdefault(cell.missing, []).append(cell.row.label)
        for seed, run in cell.runs.items():
            if reason := failure(run):
                missing.setdefault(reason, []).append(f"{cell.row.label} (seed {seed})")
    return missing


def add_provenance(page: MarkdownPage, cells: Sequence[Cell[RowT]], command: str) -> None:
    """Add versions, machine, times of the trainings and all commands of the first seed to a page.

    Args:
        page: the page of a table.
        cells: the table's cells.
        command: the command that made the page.
    """
    chains = [_chain(run) for cell in cells for run in cell.runs.values()]
    runs = [run for run in dict.fromkeys(run for chain in chains for run in chain) if is_finished(run)]
    revisions = ", ".join(sorted({recorded_revision(run.folder) for run in runs} - {""})) or "none"
    page.add_heading("Provenance")
    page.add_text(f"{describe_versions()}. Machine: {describe_machine()}. Runs made by revision {revisions}.")
    trainings: dict[str, list[Run]] = {}
    for run in runs:
        if run.epochs:
            trainings.setdefault(run.folder.name, []).append(run)
    table = Table(["training", "steps", "wall time of each run, s", "s per step, evaluation included"])
    for name, group in trainings.items():
        times = [wall_time(run) for run in group]
        steps, seconds = sum(t[0] for t in times), sum(t[1] for t in times)
        length = group[0].epochs * group[0].steps or times[0][0]
        per_step = f"{seconds / steps:.2f}" if steps else ""
        table.rows.append([name, str(length), ", ".join(f"{t[1]:.0f}" for t in times), per_step])
    page.add_table(table)
    page.add_text(f"Made by `{command}`.")
    first = dict.fromkeys(run for cell in cells if cell.runs for run in _chain(cell.runs[min(cell.runs)]))
    if commands := [run.command for run in first if is_finished(run)]:
        page.add_text("Commands of the runs of the first seed:")
        page.add_code(commands)


def _chain(run: Run) -> list[Run]:
    """Return a run and the runs before it, in order."""
    return [*([] if run.after is None else _chain(run.after)), run]
