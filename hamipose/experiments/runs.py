"""From a plan to runs: one command line for every row, transfer and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from hamipose.config.config_file import resolve_inheritance
from hamipose.config.environment import configs_folder
from hamipose.engine.budget import Budget
from hamipose.engine.recipe import Recipe
from hamipose.engine.runs import Run, given, shown
from hamipose.errors import UserError
from hamipose.experiments.rows import Plan, Row
from hamipose.experiments.transfers import Transfer, data_sets
from hamipose.io.atomic_file import write_text

__all__ = ["BUDGET", "Cell", "Scale", "compose", "data_file", "write_data"]

Scale = Literal["small", "paper"]


#: What every row of the small table is given where nothing else is asked for.
BUDGET = Budget(500, 400)


@dataclass(frozen=True)
class Cell:
    """A row under a transfer, and its runs by seed; `missing` says why it has none."""

    row: Row
    transfer: Transfer
    runs: dict[int, Run]
    missing: str = ""


def data_file(transfer: Transfer, runs: Path) -> Path:
    """Where a transfer's data sets are written down for its runs."""
    return runs / transfer.name / "data.yaml"


def compose(
    plan: Plan,
    scale: Scale,
    *,
    seeds: Sequence[int],
    budget: Budget,
    runs: Path,
    root: Path | None,
    only: Sequence[str] = (),
    transfers: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> list[Cell]:
    """Every cell of a table.

    Args:
        plan: the table.
        scale: "small" or "paper".
        seeds: one run each.
        budget: of the small scale.
        runs: where runs are kept.
        root: the folder that configs call ``data/``.
        only: labels or recipe names of the rows to run; all where empty.
        transfers: names of the transfers to run; all where empty.
        overrides: command line options handed to every run.

    Raises:
        UserError: there is no row of a name in `only`, or no transfer of a name in `transfers`.
    """
    known = {name for row in plan.rows for name in _names(row, scale)}
    for name in only:
        if name.casefold() not in known:
            raise UserError(f"no row is called {name}; expected some of {'; '.join(r.label for r in plan.rows)}")
    chosen = [row for row in plan.rows if not only or _names(row, scale) & {name.casefold() for name in only}]
    cells = []
    available = plan.small if scale == "small" else plan.paper
    for name in transfers:
        if name not in {transfer.name for transfer in available}:
            raise UserError(f"no transfer is called {name}; expected some of {', '.join(t.name for t in available)}")
    for transfer in (t for t in available if not transfers or t.name in transfers):
        folders = transfer.missing(root)
        for row in chosen:
            recipe = row.small if scale == "small" else row.paper
            if recipe is None:
                cells.append(Cell(row, transfer, {}, row.note or "cannot be run"))
            elif folders:
                cells.append(Cell(row, transfer, {}, f"not at hand: {', '.join(folders)} (below --data)"))
            else:
                given = (budget, runs / scale, root, tuple(overrides))
                cells.append(Cell(row, transfer, {s: _run(transfer, recipe, scale, s, *given) for s in seeds}))
    return cells


def write_data(transfer: Transfer, runs: Path, root: Path | None) -> dict[str, Any]:
    """Write a transfer's data sets down for its runs; returns them."""
    sets = data_sets(transfer, root)
    path = data_file(transfer, runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump({"data": sets}, sort_keys=False))
    return sets


def _names(row: Row, scale: Scale) -> set[str]:
    recipe = row.small if scale == "small" else row.paper
    return {row.label.casefold()} | ({recipe.name.casefold()} if recipe else set())


#: The network that has seen the source alone, from which every row of a seed starts at the small scale.
_START = Recipe("start", "demo_start.yaml")


def _run(
    transfer: Transfer,
    recipe: Recipe,
    scale: Scale,
    seed: int,
    budget: Budget,
    runs: Path,
    root: Path | None,
    overrides: tuple[str, ...],
) -> Run:
    if scale == "paper":
        epochs, steps = _configured(recipe.config)
        return _fit(transfer, recipe, seed, epochs, steps, runs, root, overrides, None)
    start = _fit(
        transfer, _START, seed, budget.START_EPOCHS, budget.start // budget.START_EPOCHS, runs, root, overrides, None
    )
    return _fit(transfer, recipe, seed, budget.EPOCHS, budget.steps // budget.EPOCHS, runs, root, overrides, start)


def _configured(config: str) -> tuple[int, int]:
    """Epochs, and steps of each, as a config and those it inherits from state them."""
    epochs = steps = 0
    for path in resolve_inheritance(configs_folder() / config):
        content = yaml.safe_load(path.read_text())
        epochs = (content.get("trainer") or {}).get("max_epochs", epochs)
        steps = (content.get("data") or {}).get("steps_per_epoch", steps)
    return epochs, steps


def _fit(
    transfer: Transfer,
    recipe: Recipe,
    seed: int,
    epochs: int,
    steps: int,
    runs: Path,
    root: Path | None,
    overrides: tuple[str, ...],
    start: Run | None,
) -> Run:
    folder = runs / transfer.name / f"seed{seed}" / recipe.name
    options = {
        "seed_everything": str(seed),
        "data.steps_per_epoch": str(steps),
        "trainer.max_epochs": str(epochs),
        **transfer.located(root),
        **({} if start is None else {"model.init_args.training.warmup_steps": str(epochs * steps // 8)}),
        **{name: value.replace("{quarter}", str(epochs * steps // 4)) for name, value in recipe.options.items()},
    }
    if start is not None:
        options["model.init_args.training.init_from"] = str(start.last)
    configs = ("--config", shown(configs_folder() / recipe.config), "--config", str(data_file(transfer, runs)))
    return Run(folder, ("fit", *configs, *given(options, folder), *overrides), epochs, steps, start)
