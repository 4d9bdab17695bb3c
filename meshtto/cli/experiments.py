"""The verb `experiments`: the paper's table of mesh recovery, and its runs."""

import shlex
from collections.abc import Sequence

from hamipose.command_line.arguments import Arguments
from hamipose.command_line.experiments import add_options, read_options, run_missing
from hamipose.config.config_file import instantiate
from hamipose.engine.experiments import Cell, Scale
from hamipose.engine.runs import RunCommand, run_process
from meshtto.experiments.page import page_title, write_page
from meshtto.experiments.rows import Row
from meshtto.experiments.runs import BUDGET, compose, data_sets

__all__ = ["main"]

_EXAMPLES = """\
other options are passed to every run, such as --trainer.accelerator gpu
examples
  python -m meshtto experiments --dry-run                   list the runs that the small table lacks
  python -m meshtto experiments --steps 600 --jobs 2        run them, and write runs/tables/meshtto_table1_small.md
  python -m meshtto experiments --scale paper --data /data  needs SMPL, 3DPW, Human3.6M, the training sets, and days
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m meshtto experiments",
        description="Run missing experiments of the paper's table and write it.",
        epilog=_EXAMPLES,
    )
    add_options(parser, BUDGET)
    return parser


def _describe_sets(scale: Scale, cells: Sequence[Cell[Row]]) -> dict[str, str]:
    """Return role → description of the sets in the first row's config."""
    content = data_sets(scale, cells[0].row.training)
    by_role = {
        "training": content["train"],
        "validation": [content["validation"]],
        **{f"test, {name}": [value] for name, value in content["test"].items()},
    }
    return {
        role: "; ".join(
            f"{one['class_path'].rpartition('.')[2]}({', '.join(f'{k}={v}' for k, v in one['init_args'].items())})"
            for one in sets
        )
        for role, sets in by_role.items()
    }


def _prepare(scale: Scale, cells: Sequence[Cell[Row]]) -> None:
    """Render the built-in images before several processes need them."""
    if scale == "small":
        content = data_sets(scale, cells[0].row.training)
        for dataset in instantiate([*content["train"], content["validation"], *content["test"].values()]):
            dataset.prepare()


def main(arguments: Sequence[str], command: RunCommand = run_process) -> None:
    """Run missing experiments and write the table.

    Args:
        arguments: the command line after the verb.
        command: runs a command.
    """
    namespace, options = read_options(_parser(), arguments)
    cells = compose(options)
    print(page_title(options.scale))
    if not run_missing(cells, namespace, lambda: _prepare(options.scale, cells), command):
        if options.scale == "paper":
            from meshtto.experiments.memory import memory_table  # imports the networks

            print(
                "\nMemory on a GPU, computed from the bytes that one person takes, which are measured now (a minute):"
            )
            print(memory_table(tuple(cell.row for cell in cells)).to_markdown())
        return
    path = write_page(
        options.scale,
        cells,
        budget=options.budget,
        sets=_describe_sets(options.scale, cells),
        command=shlex.join(["python", "-m", "meshtto", "experiments", *arguments]),
        out=namespace.out,
    )
    print(f"written to {path}")
