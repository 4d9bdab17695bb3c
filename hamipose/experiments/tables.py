"""The tables of results: one per transfer and protocol, the grid of Table 5, and a table of all results for CSV."""

from collections.abc import Sequence

from hamipose.engine.experiment_page import format_mean
from hamipose.evaluation.score_metrics import PCK_METRIC
from hamipose.experiments.paper_results import GAMMA_MAX, TABLE5, paper_results
from hamipose.experiments.results import SELECTIONS, Result
from hamipose.experiments.rows import TableSpec, sensitivity_label
from hamipose.experiments.runs import TransferCell
from hamipose.experiments.transfers import Transfer
from hamipose.viz.tables import Table

__all__ = ["HEADLINE", "PROTOCOLS", "results_of", "sensitivity_table", "table_of_all", "transfer_table"]

#: Protocol → prefix of its scores; the published protocol has two variants of averaging.
PROTOCOLS = {"strict": "", "as RegDA averages": "paper-tll/", "as UniFrame averages": "paper-uniframe/"}

#: The score of the plots and of Table 5.
HEADLINE = PCK_METRIC.keys[0]

_SELECTION_LABELS = {"oracle-selected": "oracle-selected (no result)"}


def results_of(transfer: Transfer, results: Sequence[Result]) -> list[Result]:
    """Return the results on the test set of a transfer."""
    return [r for r in results if (r.transfer, r.test_set) == (transfer.name, transfer.test_set)]


def _columns(transfer: Transfer, protocol: str) -> dict[str, str]:
    """Return column of the table → key of the score."""
    prefix = PROTOCOLS[protocol]
    *groups, _ = transfer.columns
    columns = {"all": prefix + HEADLINE, **{group: f"{prefix}{HEADLINE}/{group}" for group in groups}}
    further = {f"all {PCK_METRIC.label(key)}": key for key in PCK_METRIC.keys[1:]}
    return columns if prefix else columns | further


def transfer_table(
    spec: TableSpec,
    transfer: Transfer,
    cells: Sequence[TransferCell],
    results: Sequence[Result],
    *,
    paper: bool,
    protocol: str = "strict",
) -> Table:
    """Return the table of one transfer; cells that were not run are empty.

    Args:
        spec: the table of the paper.
        transfer: the transfer.
        cells: the transfer's cells, in the order of the rows.
        results: result of :func:`~hamipose.experiments.results.collect`.
        paper: whether to list the paper's results.
        protocol: key of `PROTOCOLS`.
    """
    columns = _columns(transfer, protocol)
    table = Table(["method", "selection", "network", "seeds", *columns], text_columns=4)
    printed = paper_results(spec.number) if paper and spec.number in (1, 2, 3, 4) else {}
    here = results_of(transfer, results)
    for label in dict.fromkeys([*(cell.row.label for cell in cells), *(r.row for r in here)]):
        own = [r for r in here if r.row == label and r.is_shown]
        for selection in dict.fromkeys([*SELECTIONS, *(r.selection for r in own)] if own else [""]):
            shown = [r for r in own if r.selection == selection]
            if own and not shown:
                continue
            values = [format_mean([r.values[key] for r in shown if key in r.values]) for key in columns.values()]
            network = ", ".join(dict.fromkeys(r.network for r in shown))
            seeds = str(len({r.seed for r in shown} - {None})) if shown else ""
            table.rows.append([label, _SELECTION_LABELS.get(selection, selection), network, seeds, *values])
        row = printed.get((label, transfer.paper_name or ""))
        if row:
            values = [f"{row[column]:.1f}" if column in row else "" for column in columns]
            table.rows.append([label, "printed in the paper", "", "", *values])
    return table


def sensitivity_table(transfer: Transfer, results: Sequence[Result], *, paper: bool) -> Table:
    """Return Table 5: PCK@0.05 of the last epoch for each γ_min and warm-up (rows) and γ_max (columns).

    Args:
        transfer: the transfer.
        results: result of :func:`~hamipose.experiments.results.collect`.
        paper: whether to add rows with the paper's results.
    """
    table = Table(["γ_min", "warm-up", *(f"γ_max {gamma:g}" for gamma in GAMMA_MAX)], text_columns=2)
    last = [r for r in results_of(transfer, results) if r.is_shown and r.selection == "last"]
    for (gamma_min, warmup), printed in TABLE5.items():
        values = []
        for gamma_max in GAMMA_MAX:
            label = sensitivity_label(gamma_min, warmup, gamma_max)
            values.append(format_mean([r.values[HEADLINE] for r in last if r.row == label]))
        table.rows.append([f"{gamma_min:g}", f"{100 * warmup:g} %", *values])
        if paper and transfer.paper_name == "rhd_to_h3d":
            table.rows.append([f"{gamma_min:g}", f"{100 * warmup:g} %, printed", *map(str, printed)])
    return table


def table_of_all(results: Sequence[Result]) -> Table:
    """Return a table with a row for each run, selection and network, and a column for each score."""
    names = sorted({name for result in results for name in result.values})
    table = Table(["transfer", "test set", "method", "selection", "network", "shown", "seed", *names], text_columns=7)
    for r in results:
        seed = "" if r.seed is None else str(r.seed)
        values = [f"{r.values[name]:.3f}" if name in r.values else "" for name in names]
        table.rows.append([r.transfer, r.test_set, r.row, r.selection, r.network, str(int(r.is_shown)), seed, *values])
    return table
