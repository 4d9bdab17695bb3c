"""From finished runs to a table: Markdown for readers, CSV for programs."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hamipose.engine.metrics_file import read_run
from hamipose.engine.runs import failure
from hamipose.engine.statistics import mean_and_spread
from hamipose.experiments.paper_results import GAMMA_MAX, TABLE5, figures
from hamipose.experiments.rows import Plan
from hamipose.experiments.runs import Cell
from hamipose.experiments.scores import SELECTIONS, selected
from hamipose.experiments.transfers import Transfer

__all__ = ["PROTOCOLS", "Score", "collect", "grid", "markdown", "write_csv"]

_SHOWN = {"oracle-selected": "oracle-selected (no result)"}


@dataclass(frozen=True)
class Score:
    """One run's scores under one selection, in per cent."""

    transfer: str
    report: str
    row: str
    selection: str
    network: str
    given: bool
    """Whether it is the network that the row is of: the one that a user gets, where the row names no other."""
    seed: int | None
    values: Mapping[str, float]


def collect(cells: Sequence[Cell]) -> tuple[list[Score], list[str]]:
    """All scores that there are, and notes: why cells lack some, and what else is to be known of a row."""
    scores: list[Score] = []
    missing: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.missing:
            missing.setdefault((cell.transfer.title, cell.missing), []).append(cell.row.label)
        for seed, run in cell.runs.items():
            reason = failure(run)
            found = {} if reason else selected(read_run(run.folder), cell.transfer.report)
            named = cell.row.network
            if not any(networks and named in ("", *networks) for networks in found.values()):
                of = f" of {named}" if named else ""
                reason = reason or f"the run has no scores{of} on {cell.transfer.report}"
                missing.setdefault((cell.transfer.title, reason), []).append(f"{cell.row.label} (seed {seed})")
            for selection, networks in found.items():
                for network, values in networks.items():
                    given = network == (named or list(networks)[-1])
                    where = (cell.transfer.name, cell.transfer.report, cell.row.label)
                    scores.append(Score(*where, selection, network, given, seed, values))
    notes = [f"Empty, {title}: {', '.join(rows)}: {reason}" for (title, reason), rows in missing.items()]
    about = [f"{cell.row.label}: {cell.row.note}" for cell in cells if cell.row.note and not cell.missing]
    return scores, list(dict.fromkeys([*about, *notes]))


#: Name of a protocol → how its scores' names begin; the published one has two variants of its averaging.
PROTOCOLS = {"strict": "", "as RegDA averages": "paper-tll/", "as UniFrame averages": "paper-uniframe/"}


def _columns(transfer: Transfer, protocol: str) -> dict[str, str]:
    """Column of the table → name of the score."""
    first = PROTOCOLS[protocol]
    *groups, _ = transfer.columns
    return {
        "all": f"{first}pck@0.05",
        **{group: f"{first}pck@0.05/{group}" for group in groups},
        **({} if first else {"all @0.1": "pck@0.1"}),
    }


def markdown(
    plan: Plan,
    transfer: Transfer,
    cells: Sequence[Cell],
    scores: Sequence[Score],
    *,
    paper: bool,
    protocol: str = "strict",
) -> str:
    """The table of one transfer; a cell that was not run is empty.

    Args:
        plan: the table it is of.
        transfer: whose.
        cells: of that transfer, in the order of the rows.
        scores: of :func:`collect`.
        paper: whether the paper's figures stand beside; at its scale alone.
        protocol: of ``PROTOCOLS``.
    """
    columns = _columns(transfer, protocol)
    lines = [
        "| method | selection | network | seeds | " + " | ".join(columns) + " |",
        "|---|---|---|---|" + "---|" * len(columns),
    ]
    printed = figures(plan.number) if paper and plan.number in (1, 2, 3, 4) else {}
    here = [s for s in scores if (s.transfer, s.report) == (transfer.name, transfer.report)]
    for label in dict.fromkeys([*(cell.row.label for cell in cells), *(s.row for s in here)]):
        own = [s for s in here if s.row == label and s.given]
        for selection in dict.fromkeys([*SELECTIONS, *(s.selection for s in own)] if own else [""]):
            shown = [s for s in own if s.selection == selection]
            if own and not shown:
                continue
            values = [mean_and_spread([s.values[key] for s in shown if key in s.values]) for key in columns.values()]
            network = ", ".join(dict.fromkeys(s.network for s in shown))
            seeds = str(len({s.seed for s in shown} - {None})) if shown else ""
            head = f"| {label} | {_SHOWN.get(selection, selection)} | {network} | {seeds} | "
            lines.append(head + " | ".join(values) + " |")
        stands = printed.get((label, transfer.printed or ""))
        if stands:
            values = [f"{stands[c]:.1f}" if c in stands else "" for c in columns]
            lines.append(f"| {label} | printed in the paper |  |  | " + " | ".join(values) + " |")
    return "\n".join(lines)


def grid(
    transfer: Transfer, scores: Sequence[Score], label: Callable[[float, float, float], str], *, paper: bool
) -> str:
    """Table 5: γ_min and warm-up down, γ_max across; PCK@0.05 of the last epoch.

    Args:
        transfer: whose.
        scores: of :func:`collect`.
        label: the row's name of (γ_min, warm-up, γ_max).
        paper: whether a second line has the paper's figures.
    """
    lines = ["| γ_min | warm-up | " + " | ".join(f"γ_max {g:g}" for g in GAMMA_MAX) + " |", "|---|---|" + "---|" * 5]
    here = [s for s in scores if (s.transfer, s.report) == (transfer.name, transfer.report)]
    for (gamma_min, warmup), stands in TABLE5.items():
        values = []
        for gamma_max in GAMMA_MAX:
            name = label(gamma_min, warmup, gamma_max)
            found = [s for s in here if s.row == name and s.given and s.selection == "last"]
            values.append(mean_and_spread([s.values["pck@0.05"] for s in found]))
        lines.append(f"| {gamma_min:g} | {100 * warmup:g} % | " + " | ".join(values) + " |")
        if paper and transfer.printed == "rhd_to_h3d":
            lines.append(f"| {gamma_min:g} | {100 * warmup:g} %, printed | " + " | ".join(map(str, stands)) + " |")
    return "\n".join(lines)


def write_csv(path: Path, scores: Sequence[Score]) -> None:
    """A line for each run, selection and network; all scores in per cent."""
    names = sorted({name for score in scores for name in score.values})
    head = ("transfer", "report", "method", "selection", "network", "given", "seed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*head, *names])
        for s in scores:
            values = [f"{s.values[name]:.3f}" if name in s.values else "" for name in names]
            seed = "" if s.seed is None else s.seed
            writer.writerow([s.transfer, s.report, s.row, s.selection, s.network, int(s.given), seed, *values])
