"""The verb `experiments` of both packages: its options, and the steps from a table's rows to finished runs."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from hamipose.command_line.arguments import at_least
from hamipose.engine.cluster import Cluster, ClusterCommand, parse_cluster_options
from hamipose.engine.experiments import Budget, Cell, ExperimentOptions, RowT, pending_runs, pending_table
from hamipose.engine.runs import Run, RunCommand, run_all
from hamipose.errors import UserError
from hamipose.io.atomic_file import write_text

__all__ = ["add_options", "read_options", "run_missing"]


def add_options(parser: argparse.ArgumentParser, budget: Budget) -> None:
    """Add the options that the tables of both packages share.

    Args:
        parser: parser of the verb.
        budget: default budget of the small scale.
    """
    add = parser.add_argument
    add("--scale", choices=["small", "paper"], default="small", help="paper: needs the data sets, and days")
    add("--data", type=Path, default=os.environ.get("HAMIPOSE_DATA"), help="the folder that configs call data/")
    add("--seeds", type=at_least(0), nargs="+", default=[0, 1], help="seeds of each row")
    add(
        "--only", nargs="+", default=[], metavar="ROW", help="labels or names of the rows to run and show; default: all"
    )
    add("--jobs", type=at_least(1), help="runs at a time; default: 1, or all with --cluster slurm")
    add("--cluster", choices=get_args(Cluster), help="run as jobs of submitit; default: as processes of this terminal")
    add(
        "--cluster-options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of submitit's jobs, such as slurm_partition=gpu gpus_per_node=1 timeout_min=600",
    )
    add("--dry-run", action="store_true", help="show which runs are missing and how long they take, and stop")
    add(
        "--time-steps",
        type=at_least(1),
        metavar="N",
        help="with --dry-run: time N steps of each recipe without earlier runs (20 to 60 seconds each)",
    )
    add("--no-runs", action="store_true", help="write the table from finished runs, without starting any")
    add("--runs", type=Path, default=Path("runs/tables"), help="folder of the runs")
    add("--out", type=Path, default=Path("runs/tables"), help="folder for Markdown, CSV and plots")
    add("--start-steps", type=int, default=budget.start, help="small scale: steps of the start that all rows share")
    add("--steps", type=int, default=budget.steps, help="small scale: further steps of each row")


def read_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, ExperimentOptions]:
    """Parse the command line; unknown options are passed to every run.

    Args:
        parser: a parser with the options of :func:`add_options`.
        arguments: the command line after the verb.

    Returns:
        All options, and those that determine the runs.
    """
    namespace, overrides = parser.parse_known_args(list(arguments))
    budget = Budget(namespace.start_steps, namespace.steps)
    options = ExperimentOptions(
        namespace.scale,
        tuple(namespace.seeds),
        budget,
        namespace.runs,
        namespace.data,
        tuple(namespace.only),
        tuple(overrides),
    )
    return namespace, options


def run_missing(
    cells: Sequence[Cell[RowT]], namespace: argparse.Namespace, prepare: Callable[[], None], command: RunCommand
) -> bool:
    """Run the missing runs of a table, or list them for a dry run.

    Args:
        cells: cells of the table.
        namespace: all options of the verb.
        prepare: makes the data sets that all runs share.
        command: runs a command.

    Returns:
        Whether the table is to be written: False after a dry run.

    Raises:
        UserError: no row can be run at the paper's scale.
    """
    runs = [run for cell in cells for run in cell.runs.values()]
    cluster_options = parse_cluster_options(namespace.cluster_options)
    if cluster_options and not namespace.cluster:
        raise UserError("--cluster-options needs --cluster slurm or --cluster local")
    jobs = namespace.jobs or (max(1, len(runs)) if namespace.cluster == "slurm" else 1)
    if namespace.time_steps and not namespace.dry_run:
        raise UserError("--time-steps needs --dry-run")
    if namespace.dry_run:
        table, total = pending_table(runs, jobs, _step_timer(namespace.time_steps, prepare, command))
        print("\n".join([table.to_markdown(), "", total]))
        rows: dict[str, list[str]] = {}
        for cell in cells:
            if cell.missing:
                rows.setdefault(cell.missing, []).append(cell.row.label)
        for reason, labels in rows.items():
            print(f"not possible: {'; '.join(labels)}: {reason}")
        if pending := pending_runs(runs):
            path = namespace.runs / namespace.scale / "commands.sh"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, "".join(f"{run.command}\n" for run in pending))
            print(f"their commands, in order: {path}")
        return False
    if namespace.scale == "paper" and not runs:
        reasons = "; ".join(dict.fromkeys(cell.missing for cell in cells if cell.missing))
        raise UserError(f"no row can be run at the paper's scale ({reasons}); give --data DIR")
    if not namespace.no_runs and pending_runs(runs):
        prepare()
        if namespace.cluster:
            command = ClusterCommand(namespace.cluster, namespace.runs / "cluster", cluster_options)
        run_all(runs, jobs, command, log=lambda line: print(line, flush=True))
    return True


def _step_timer(steps: int | None, prepare: Callable[[], None], command: RunCommand) -> Callable[[Run], float] | None:
    """Return what times some steps of a run; None if it is not wanted."""
    if steps is None:
        return None
    from hamipose.engine.step_timing import time_steps

    prepare()

    def timer(run: Run) -> float:
        print(f"timing {steps} steps of {run.folder.name}", flush=True)
        try:
            return time_steps(run, steps, command)
        except RuntimeError as error:
            raise UserError(f"{run.folder.name} cannot be timed: {error}") from None

    return timer
