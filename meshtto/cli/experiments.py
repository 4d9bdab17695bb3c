"""The verb `experiments`: the paper's table of mesh recovery, and the runs it consists of."""

import shlex
from collections.abc import Sequence

from hamipose.command_line.arguments import add_table_options
from hamipose.config.config_file import instantiate
from hamipose.engine.budget import Budget
from hamipose.engine.runs import Call, call, run_all
from hamipose.engine.time_estimate import dry_run, pending
from hamipose.errors import UserError
from meshtto.cli.arguments import Arguments
from meshtto.experiments.page import title, write
from meshtto.experiments.rows import Scale
from meshtto.experiments.runs import BUDGET, Cell, compose, data_sets

__all__ = ["main"]

_EXAMPLES = """\
other options are passed to every run, such as --trainer.accelerator gpu
examples
  python -m meshtto experiments --dry-run                   list the runs that the small table lacks
  python -m meshtto experiments --steps 600 --jobs 2        run them, and write runs/tables/meshtto_table1_small.md
  python -m meshtto experiments --scale paper --data /data  needs SMPL, 3DPW, Human3.6M, the training sets, and days
"""


def _parser() -> Arguments:
    parser = Arguments("experiments", "Run the experiments of the paper's table and write it.", _EXAMPLES)
    add_table_options(parser, BUDGET)
    return parser


def _sets(scale: Scale, cells: Sequence[Cell]) -> dict[str, str]:
    """Return role → description of the sets in the first row's config."""
    content = data_sets(scale, cells[0].line.training)
    named = {
        "training": content["train"],
        "validation": [content["validation"]],
        **{f"test, {name}": [value] for name, value in content["test"].items()},
    }
    return {
        role: "; ".join(
            f"{one['class_path'].rpartition('.')[2]}({', '.join(f'{k}={v}' for k, v in one['init_args'].items())})"
            for one in sets
        )
        for role, sets in named.items()
    }


def _prepare(scale: Scale, cells: Sequence[Cell]) -> None:
    """Render the built-in images before several processes need them."""
    if scale == "small":
        content = data_sets(scale, cells[0].line.training)
        for one in instantiate([*content["train"], content["validation"], *content["test"].values()]):
            one.prepare()


def main(arguments: Sequence[str], call: Call = call) -> None:
    """Run missing experiments and write the table.

    Args:
        arguments: the command line after the verb.
        call: runs a command.
    """
    given, overrides = _parser().parse_known_args(list(arguments))
    budget = Budget(given.start_steps, given.steps)
    cells = compose(
        given.scale,
        seeds=given.seeds,
        budget=budget,
        runs=given.runs,
        root=given.data,
        only=given.only,
        overrides=overrides,
    )
    wanted = [run for cell in cells for run in cell.tests.values()]
    print(title(given.scale))
    if given.dry_run:
        print("\n".join([*dry_run(wanted, given.jobs), *(f"{c.line.label}: {c.missing}" for c in cells if c.missing)]))
        return
    if not wanted:
        reasons = "; ".join(dict.fromkeys(cell.missing for cell in cells if cell.missing))
        raise UserError(f"nothing can be run at the paper's scale ({reasons}); give --data DIR")
    if not given.no_runs and pending(wanted):
        _prepare(given.scale, cells)
        run_all(wanted, given.jobs, call, say=lambda words: print(words, flush=True))
    command = shlex.join(["python", "-m", "meshtto", "experiments", *arguments])
    path = write(given.scale, cells, budget=budget, sets=_sets(given.scale, cells), command=command, out=given.out)
    print(f"written to {path}")
