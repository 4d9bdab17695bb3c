"""``python -m hamipose report``: the paper's tables and figures, and the runs that they lack."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from hamipose.command_line.arguments import Arguments, add_table_options
from hamipose.engine.budget import Budget
from hamipose.engine.runs import Call, call, run_all
from hamipose.engine.time_estimate import dry_run, pending
from hamipose.errors import UserError
from hamipose.experiments.page import title, write
from hamipose.experiments.rows import plan
from hamipose.experiments.runs import BUDGET, Cell, compose, write_data
from hamipose.experiments.table import Score
from hamipose.experiments.transfers import Transfer, data_sets, named_sets

__all__ = ["main"]


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose report",
        description=__doc__,
        epilog="Other options are handed to every run, such as --trainer.accelerator gpu.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", choices=list("12345"))
    what.add_argument("--figure", choices=list("45"))
    add_table_options(parser, BUDGET)
    parser.add_argument(
        "--transfers", nargs="+", default=[], metavar="TRANSFER", help="transfers, by the names of their runs"
    )
    parser.add_argument(
        "--row",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "SET", "FILE"),
        help="a further row: what `evaluate --out FILE` said of a system on the test set SET",
    )
    return parser


def _prepare(cells: Sequence[Cell], runs: Path, root: Path | None) -> None:
    """Write down and make every transfer's data before several processes want them."""
    for transfer in _at_hand(cells):
        for _, _, built in named_sets(write_data(transfer, runs, root)):
            built.prepare()


def _at_hand(cells: Sequence[Cell]) -> list[Transfer]:
    """A transfer for each set of data that some cell can use."""
    return list({cell.transfer.name: cell.transfer for cell in cells if cell.runs}.values())


def _row(name: str, report: str, path: Path, transfers: Sequence[Transfer]) -> Score:
    """A system's scores as a row's."""
    try:
        scores = json.loads(path.read_text())["scores"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"--row {name}: {path} holds no scores; give a file that `evaluate --out` wrote") from None
    transfer = next((t for t in transfers if t.report == report), None)
    if transfer is None:
        raise UserError(
            f"--row {name}: no test set is called {report}; expected {', '.join(t.report for t in transfers)}"
        )
    values = {}
    for key, groups in scores.items():
        protocol, _, score = key.partition("/")
        for group, value in groups.items() if protocol == "strict" else ():
            values[score if group == "all" else f"{score}/{group}"] = 100 * value
    if not values:
        raise UserError(f"--row {name}: {path} has no scores under protocol strict; evaluate with it")
    return Score(transfer.name, report, name, "as predicted", "", True, None, values)


def main(arguments: Sequence[str], call: Call = call) -> None:
    """Run what a table lacks and write it.

    Args:
        arguments: command line after the verb.
        call: carries out a run's command.
    """
    given, overrides = _parser().parse_known_args(arguments)
    chosen = plan(given.table or f"figure{given.figure}")
    budget = Budget(given.start_steps, given.steps)
    cells = compose(
        chosen,
        given.scale,
        seeds=given.seeds,
        budget=budget,
        runs=given.runs,
        root=given.data,
        only=given.only,
        transfers=given.transfers,
        overrides=overrides,
    )
    wanted = [run for cell in cells for run in cell.runs.values()]
    print(title(chosen, given.scale))
    if given.dry_run:
        print("\n".join([*dry_run(wanted, given.jobs), *(f"{c.row.label}: {c.missing}" for c in cells if c.missing)]))
        return
    if given.scale == "paper" and not any(cell.runs for cell in cells):
        reasons = "; ".join(dict.fromkeys(cell.missing for cell in cells if cell.missing))
        raise UserError(f"nothing of {chosen.name} can be run at the paper's scale ({reasons}); give --data DIR")
    if not given.no_runs and pending(wanted):
        _prepare(cells, given.runs / given.scale, given.data)
        run_all(wanted, given.jobs, call, say=lambda words: print(words, flush=True))
    transfers = list(dict.fromkeys(cell.transfer for cell in cells))
    path = write(
        chosen,
        given.scale,
        cells,
        extra=[_row(name, report, Path(file), transfers) for name, report, file in given.row],
        budget=budget,
        sets={transfer.name: data_sets(transfer, given.data) for transfer in _at_hand(cells)},
        command=shlex.join(["python", "-m", "hamipose", "report", *arguments]),
        out=given.out,
    )
    print(f"written to {path}")
