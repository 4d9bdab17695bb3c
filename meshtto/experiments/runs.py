"""The runs of the table: one training per seed, shared between rows, and one test per row and seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamipose.config.config_file import find_data_paths, load_config, relocate_data_paths
from hamipose.config.environment import configs_folder
from hamipose.engine.budget import Budget
from hamipose.engine.recipe import Recipe
from hamipose.engine.runs import Run, given, shown
from hamipose.errors import UserError
from meshtto.experiments.rows import START, Line, Scale, lines

__all__ = ["BUDGET", "Cell", "compose", "data_sets", "report_sets"]

_OVER = "table_small.yaml"


#: Default budget of every row of the small table.
BUDGET = Budget(3000, 600)


@dataclass(frozen=True)
class Cell:
    """A row and its tests by seed; `missing` explains why it has none."""

    line: Line
    tests: dict[int, Run]
    missing: str = ""


def compose(
    scale: Scale,
    *,
    seeds: Sequence[int],
    budget: Budget,
    runs: Path,
    root: Path | None,
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> list[Cell]:
    """Return all rows of the table with their runs.

    Args:
        scale: "small" or "paper".
        seeds: seeds of each training.
        budget: budget of the small scale.
        runs: folder of all runs.
        root: the folder that configs call ``data/``.
        only: labels or names of the rows to run; default: all.
        overrides: command line options passed to every run.

    Raises:
        UserError: `only` names an unknown row.
    """
    known = {name.casefold() for line in lines(scale) for name in (line.label, line.name)}
    for name in only:
        if name.casefold() not in known:
            raise UserError(f"no row is called {name}; expected some of {'; '.join(x.label for x in lines(scale))}")
    wanted = {name.casefold() for name in only}
    cells = []
    for line in lines(scale):
        if wanted and not wanted & {line.label.casefold(), line.name.casefold()}:
            continue
        absent = [] if scale == "small" else _absent(line, root)
        if absent:
            cells.append(Cell(line, {}, f"missing: {', '.join(absent)} (data/ is --data)"))
            continue
        make = _Runs(scale, budget, runs / scale / "meshtto", root, tuple(overrides))
        cells.append(Cell(line, {seed: make.test(line, seed) for seed in seeds}))
    return cells


@dataclass(frozen=True)
class _Runs:
    """Creates runs that share everything except row and seed."""

    scale: Scale
    budget: Budget
    folder: Path
    root: Path | None
    overrides: tuple[str, ...]

    def test(self, line: Line, seed: int) -> Run:
        trained = self.training(line.training, seed)
        folder = self.folder / f"seed{seed}" / f"test_{line.name}"
        options = {
            "seed_everything": str(seed),
            **self._places(line.training),
            **line.options,
            "data.test": json.dumps(report_sets(self.scale, line, self.root)),
            **({"data.evaluation_batch_size": "1"} if line.few else {}),
            "ckpt_path": str(trained.last),
        }
        words = self._words("test", folder, line.training, options)
        return Run(folder, words, 0, 0, trained, "meshtto", "scores-test.json")

    def training(self, training: Recipe, seed: int) -> Run:
        if self.scale == "paper":
            content = load_config(configs_folder("meshtto") / training.config)
            return self._fit(training, seed, content["trainer"]["max_epochs"], 0, None)
        start = self._fit(START, seed, self.budget.START_EPOCHS, self.budget.start // self.budget.START_EPOCHS, None)
        return self._fit(training, seed, self.budget.EPOCHS, self.budget.steps // self.budget.EPOCHS, start)

    def _fit(self, training: Recipe, seed: int, epochs: int, steps: int, start: Run | None) -> Run:
        """Return a training; with `steps` 0 the config determines the length of an epoch."""
        folder = self.folder / f"seed{seed}" / training.name
        options = {
            "seed_everything": str(seed),
            **({"data.steps_per_epoch": str(steps)} if steps else {}),
            "trainer.max_epochs": str(epochs),
            **self._places(training),
            **training.options,
        }
        if training is START:
            options["model.init_args.training.final_lr_ratio"] = "1.0"  # trainings that continue from it reduce it
        if start is not None:
            options["model.init_args.training.init_from"] = str(start.last)
            if _has_auxiliary(training):  # start it from the same network, which has no auxiliary network
                options["model.init_args.auxiliary.init_from"] = str(start.last)
            options["model.init_args.training.warmup_steps"] = str(epochs * steps // 8)
        return Run(folder, self._words("fit", folder, training, options), epochs, steps, start, "meshtto")

    def _words(self, verb: str, folder: Path, training: Recipe, options: dict[str, str]) -> tuple[str, ...]:
        configs = [training.config, *([_OVER] if self.scale == "small" else [])]
        words = [word for name in configs for word in ("--config", shown(configs_folder("meshtto") / name))]
        return (verb, *words, *given(options, folder), *self.overrides)

    def _places(self, training: Recipe) -> dict[str, str]:
        """Return options with the paths of the paper's data, if these are not in the folder ``data``."""
        if self.scale == "small" or self.root is None:
            return {}
        content = relocate_data_paths(load_config(configs_folder("meshtto") / training.config), self.root)
        body = {"model.init_args.regressor.body": content["model"]["init_args"]["regressor"]["body"]}
        return body | {f"data.{key}": json.dumps(content["data"][key]) for key in ("train", "validation", "test")}


def report_sets(scale: Scale, line: Line, root: Path | None) -> dict[str, dict[str, Any]]:
    """Return the sets that a row is tested on, as in a config."""
    if scale == "small":
        sets = data_sets(scale, line.training)["test"]
        arguments = sets["builtin"]["init_args"] | {"evidence": line.evidence}
        if line.few:
            arguments |= {"count": arguments["count"] // 8}
        return {"builtin": {**sets["builtin"], "init_args": arguments}}
    return relocate_data_paths(data_sets(scale, line.training)["test"], root)


def data_sets(scale: Scale, training: Recipe) -> dict[str, Any]:
    """Return the section ``data`` of a training's configs."""
    name = _OVER if scale == "small" else training.config
    return load_config(configs_folder("meshtto") / name)["data"]


def _has_auxiliary(training: Recipe) -> bool:
    """Return whether a training has two networks."""
    content = load_config(configs_folder("meshtto") / training.config)
    return content["model"]["class_path"].endswith(".Dual")


def _absent(line: Line, root: Path | None) -> list[str]:
    """Return the missing files and folders that a row's configs name."""
    paths = dict.fromkeys(find_data_paths(load_config(configs_folder("meshtto") / line.training.config)))
    return [path for path in paths if not Path(relocate_data_paths(path, root)).exists()]
