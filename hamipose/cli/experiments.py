"""The verb `experiments`: the paper's tables and figures of 2D pose, and their runs."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hamipose.command_line.arguments import Arguments
from hamipose.command_line.experiments import add_options, read_options, run_missing
from hamipose.engine.experiments import ExperimentOptions
from hamipose.engine.runs import RunCommand, run_process
from hamipose.errors import UserError
from hamipose.experiments.rows import table_spec
from hamipose.experiments.runs import BUDGET, TransferCell, compose, write_data
from hamipose.experiments.transfers import Transfer, build_data_sets, transfer_data

if TYPE_CHECKING:
    from hamipose.experiments.results import Result

__all__ = ["main"]

_EXAMPLES = """\
other options are passed to every run, such as --trainer.accelerator gpu
examples
  python -m hamipose experiments --table 1 --dry-run          list the runs that the small table lacks
  python -m hamipose experiments --table 1 --only HamiPose    run one row, and write runs/tables/table1_small.md
  python -m hamipose experiments --figure 4 --scale paper --data /data
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose experiments",
        description="Run missing experiments of a table or figure of the paper, reuse finished ones, and write it.",
        epilog=_EXAMPLES,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--table", choices=list("12345"))
    which.add_argument("--figure", choices=list("45"))
    add_options(parser, BUDGET)
    parser.add_argument(
        "--transfers", nargs="+", default=[], metavar="TRANSFER", help="names of transfers; default: all"
    )
    parser.add_argument(
        "--row",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "SET", "FILE"),
        help="add a row for a system from a file of `evaluate --out`, on the test set SET",
    )
    return parser


def _available_transfers(cells: Sequence[TransferCell]) -> list[Transfer]:
    """Return one transfer for each group of data sets that some cell can use."""
    return list({cell.transfer.name: cell.transfer for cell in cells if cell.runs}.values())


def _prepare(cells: Sequence[TransferCell], options: ExperimentOptions) -> None:
    """Write the data config of every transfer, and make its data sets before several processes need them."""
    for transfer in _available_transfers(cells):
        for _, _, dataset in build_data_sets(write_data(transfer, options)):
            dataset.prepare()


def _read_external(name: str, test_set: str, path: Path, transfers: Sequence[Transfer]) -> "Result":
    """Return the scores of a system in a file of `evaluate --out` as a result.

    Raises:
        UserError: the file contains no scores under the strict protocol, or the test set is unknown.
    """
    from hamipose.evaluation.score_metrics import METRICS, PCK_METRIC
    from hamipose.experiments.results import Result

    try:
        scores = json.loads(path.read_text())["scores"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"--row {name}: {path} contains no scores; give a file of `evaluate --out`") from None
    transfer = next((t for t in transfers if t.test_set == test_set), None)
    if transfer is None:
        known = ", ".join(t.test_set for t in transfers)
        raise UserError(f"--row {name}: no test set is called {test_set}; expected one of {known}")
    values = {}
    for key, groups in scores.items():
        protocol, _, score = key.partition("/")
        factor = next((metric.factor for metric in METRICS if score in metric.keys), PCK_METRIC.factor)
        for group, value in groups.items() if protocol == "strict" else ():
            values[score if group == "all" else f"{score}/{group}"] = factor * value
    if not values:
        raise UserError(f"--row {name}: {path} has no scores under protocol strict; evaluate with --protocol strict")
    return Result(transfer.name, test_set, name, "as predicted", "", True, None, values)


def main(arguments: Sequence[str], command: RunCommand = run_process) -> None:
    """Run missing experiments and write the table.

    Args:
        arguments: the command line after the verb.
        command: runs a command.
    """
    namespace, options = read_options(_parser(), arguments)
    from hamipose.experiments.page import page_title, write_page  # imports torch, which help does not need

    spec = table_spec(namespace.table or f"figure{namespace.figure}")
    cells = compose(spec, options, namespace.transfers)
    print(page_title(spec, options.scale))
    if not run_missing(cells, namespace, lambda: _prepare(cells, options), command):
        return
    transfers = list(dict.fromkeys(cell.transfer for cell in cells))
    path = write_page(
        spec,
        options.scale,
        cells,
        extra=[_read_external(name, test_set, Path(file), transfers) for name, test_set, file in namespace.row],
        budget=options.budget,
        sets={transfer.name: transfer_data(transfer, options.data) for transfer in _available_transfers(cells)},
        command=shlex.join(["python", "-m", "hamipose", "experiments", *arguments]),
        out=namespace.out,
    )
    print(f"written to {path}")
