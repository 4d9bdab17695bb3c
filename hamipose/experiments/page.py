"""Write the page of a table: results, notes, protocol, data and provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hamipose.engine.experiment_page import add_provenance
from hamipose.engine.experiments import Budget, Scale
from hamipose.errors import UserError
from hamipose.experiments.plots import plot_columns, plot_results
from hamipose.experiments.results import Result, collect
from hamipose.experiments.rows import TableSpec
from hamipose.experiments.runs import TransferCell
from hamipose.experiments.tables import (
    HEADLINE,
    PROTOCOLS,
    results_of,
    sensitivity_table,
    table_of_all,
    transfer_table,
)
from hamipose.experiments.transfers import Transfer, build_data_sets
from hamipose.viz.tables import MarkdownPage, Table

__all__ = ["page_title", "write_page"]

_PROTOCOL = (
    "Protocol `strict`: PCK, the fraction of labeled keypoints predicted within 5 % of the side of the crop (@0.1: 10 "
    "%), sub-pixel decoding, every labeled keypoint once, mean over keypoints; `all` is the 12 limb joints of a body, "
    "the 21 keypoints of a hand. No target label is used for training or selection. `last`: the last epoch. `source- "
    "selected`: the epoch with the best PCK on held-out source images. `oracle-selected`: the epoch that the target's "
    "test labels would select; it is a bound, **no result**. The table shows the delivered network (the teacher if "
    "there is one); the CSV contains all. ± is the standard deviation over seeds. Source validation uses the source's "
    "BatchNorm statistics. `Source only, target statistics` is the source-only network with the statistics of 512 "
    "unlabeled target images: what a method gains over that row is not due to statistics alone."
)


def page_title(spec: TableSpec, scale: Scale) -> str:
    """Return the title, which states the scale, so that small-scale numbers never look like the paper's."""
    name = f"{spec.name[:-1].capitalize()} {spec.name[-1]}"
    if scale == "paper":
        return f"{name} at the paper's scale: {spec.title}"
    return f"{name} at a small scale, NOT the paper's data, network or budget: {spec.title}"


def write_page(
    spec: TableSpec,
    scale: Scale,
    cells: Sequence[TransferCell],
    *,
    extra: Sequence[Result],
    budget: Budget,
    sets: Mapping[str, Mapping[str, Any]],
    command: str,
    out: Path,
) -> Path:
    """Write Markdown, CSV and a plot; returns the path of the Markdown file.

    Args:
        spec: the table.
        scale: "small" or "paper".
        cells: result of :func:`~hamipose.experiments.runs.compose`.
        extra: results of external predictions.
        budget: budget of the small scale.
        sets: name of the transfer → its data sets.
        command: the command that made the page.
        out: output folder.
    """
    paper = scale == "paper"
    results, notes = collect(cells)
    results = [*results, *extra]
    page = MarkdownPage(out / f"{spec.name}_{scale}.md", page_title(spec, scale))
    table_of_all(results).write_csv(page.path.with_suffix(".csv"))
    page.add_text(_introduction(scale, budget))
    transfers = list(dict.fromkeys(cell.transfer for cell in cells))
    for transfer in transfers:
        own = [cell for cell in cells if cell.transfer == transfer]
        page.add_heading(f"{transfer.title[0].upper()}{transfer.title[1:]}")
        if spec.number == 5:
            page.add_table(sensitivity_table(transfer, results, paper=paper))
        for protocol, prefix in PROTOCOLS.items():
            has_results = any(r.transfer == transfer.name and prefix + HEADLINE in r.values for r in results)
            if has_results or (protocol == "strict" and spec.number != 5):
                if protocol != "strict":
                    page.add_text(f"Protocol `paper`, {protocol}:")
                page.add_table(transfer_table(spec, transfer, own, results, paper=paper, protocol=protocol))
    shown = [transfer for transfer in transfers if results_of(transfer, results)]
    if spec.curves or shown:
        page.add_png(plot_columns(spec.curves, cells) if spec.curves else plot_results(shown, results), spec.title)
    if notes:
        page.add_heading("Notes")
        page.add_list(notes)
    page.add_heading("Protocol")
    page.add_text(_PROTOCOL)
    page.add_heading("Data")
    page.add_table(_data_table(transfers, sets))
    add_provenance(page, cells, command)
    return page.write()


def _introduction(scale: Scale, budget: Budget) -> str:
    if scale == "paper":
        return "Each method uses the recipe of its config; the paper's results are listed if it prints any."
    return (
        f"Every row starts from the same network (one per seed), which was trained for {budget.start} steps on the "
        f"source, and is trained for {budget.steps} further steps in four epochs. An empty cell was not run."
    )


def _data_table(transfers: Sequence[Transfer], sets: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(["transfer", "role", "set", "images"], text_columns=3)
    for name in dict.fromkeys(transfer.name for transfer in transfers):
        try:
            rows = [[name, role, kind, str(len(built))] for role, kind, built in build_data_sets(sets.get(name, {}))]
        except (UserError, OSError):
            rows = [[name, "all", "", "not available"]]
        table.rows += rows
    return table
