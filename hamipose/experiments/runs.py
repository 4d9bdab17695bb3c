"""The runs of a table: one command line per row, transfer and seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.engine.experiments import Budget, Cell, ExperimentOptions, Recipe, select_rows, training_options
from hamipose.engine.runs import Run, command_line_options, short_path
from hamipose.errors import UserError
from hamipose.experiments.rows import Row, TableSpec
from hamipose.experiments.transfers import Transfer, transfer_data
from hamipose.io.atomic_file import write_text

__all__ = ["BUDGET", "TransferCell", "compose", "write_data"]

#: Default budget of every row of a small table.
BUDGET = Budget(500, 400)

#: The training on source data from which every row of a seed starts at the small scale.
_START = Recipe("start", "demo_start.yaml")


@dataclass(frozen=True)
class TransferCell(Cell[Row]):
    """A row under a transfer, and its runs by seed; `missing` explains why it has none."""

    transfer: Transfer = field(kw_only=True)


def compose(spec: TableSpec, options: ExperimentOptions, transfers: Sequence[str] = ()) -> list[TransferCell]:
    """Return every cell of a table with its runs.

    Args:
        spec: the table.
        options: scale, seeds, budget and folders.
        transfers: names of the transfers to run; default: all.

    Raises:
        UserError: the name of a row or transfer is unknown.
    """
    small = options.scale == "small"

    def recipe_of(row: Row) -> Recipe | None:
        return row.small if small else row.paper

    def names_of(row: Row) -> list[str]:
        recipe = recipe_of(row)
        return [row.label, *([recipe.name] if recipe else [])]

    rows = select_rows(spec.rows, names_of, options.only)
    available = spec.small if small else spec.paper
    for name in transfers:
        if name not in {transfer.name for transfer in available}:
            raise UserError(f"no transfer is called {name}; expected some of {', '.join(t.name for t in available)}")
    cells = []
    for transfer in (t for t in available if not transfers or t.name in transfers):
        absent = transfer.missing(options.data)
        for row in rows:
            recipe = recipe_of(row)
            if recipe is None:
                cells.append(TransferCell(row, {}, row.note or "cannot be run", transfer=transfer))
            elif absent:
                reason = f"missing: {', '.join(absent)} (data/ is --data)"
                cells.append(TransferCell(row, {}, reason, transfer=transfer))
            else:
                runs = {seed: _compose_run(transfer, recipe, seed, options) for seed in options.seeds}
                cells.append(TransferCell(row, runs, transfer=transfer))
    return cells


def write_data(transfer: Transfer, options: ExperimentOptions) -> dict[str, Any]:
    """Write the data sets of a transfer to the config file that its runs read; returns them."""
    sets = transfer_data(transfer, options.data)
    path = _data_config(transfer, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump({"data": sets}, sort_keys=False))
    return sets


def _data_config(transfer: Transfer, options: ExperimentOptions) -> Path:
    return options.folder / transfer.name / "data.yaml"


def _compose_run(transfer: Transfer, recipe: Recipe, seed: int, options: ExperimentOptions) -> Run:
    if options.scale == "paper":
        config = load_config(configs_folder() / recipe.config)
        epochs, steps = config["trainer"]["max_epochs"], config["data"].get("steps_per_epoch", 0)
        return _compose_training(transfer, recipe, seed, epochs, steps, None, options)
    budget = options.budget
    start_steps = budget.start // budget.START_EPOCHS
    start = _compose_training(transfer, _START, seed, budget.START_EPOCHS, start_steps, None, options)
    return _compose_training(transfer, recipe, seed, budget.EPOCHS, budget.steps // budget.EPOCHS, start, options)


def _compose_training(
    transfer: Transfer,
    recipe: Recipe,
    seed: int,
    epochs: int,
    steps: int,
    start: Run | None,
    options: ExperimentOptions,
) -> Run:
    folder = options.folder / transfer.name / f"seed{seed}" / recipe.name
    own_options = {
        **training_options(seed, epochs, steps, start),
        **transfer.relocated_options(options.data),
        **{name: value.replace("{quarter}", str(epochs * steps // 4)) for name, value in recipe.options.items()},
    }
    configs = [short_path(configs_folder() / recipe.config), str(_data_config(transfer, options))]
    words = [word for config in configs for word in ("--config", config)]
    arguments = ("fit", *words, *command_line_options(own_options, folder), *options.overrides)
    return Run(folder, arguments, epochs, steps, start)
