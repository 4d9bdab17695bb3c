"""The runs of the table: one training per seed, shared between rows, and one test per row and seed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamipose.config.config_file import find_data_paths, load_config, relocate_data_paths
from hamipose.config.environment import configs_folder
from hamipose.engine.experiments import Budget, Cell, ExperimentOptions, Recipe, Scale, select_rows, training_options
from hamipose.engine.runs import Run, command_line_options, short_path
from meshtto.experiments.rows import START, Row, table_rows

__all__ = [
    "BUDGET",
    "compose",
    "data_sets",
]

#: Config with the data sets of the small scale.
_SMALL_DATA = "table_small.yaml"

#: Default budget of every row of the small table.
BUDGET = Budget(3000, 600)


def compose(options: ExperimentOptions) -> list[Cell[Row]]:
    """Return all rows of the table with their tests by seed.

    Args:
        options: scale, seeds, budget and folders.

    Raises:
        UserError: the name of a row is unknown.
    """
    cells = []
    for row in select_rows(table_rows(options.scale), lambda row: (row.label, row.name), options.only):
        absent = [] if options.scale == "small" else _absent(row, options.data)
        if absent:
            cells.append(Cell(row, {}, f"missing: {', '.join(absent)} (data/ is --data)"))
            continue
        composer = _Composer(options)
        cells.append(Cell(row, {seed: composer.test(row, seed) for seed in options.seeds}))
    return cells


@dataclass(frozen=True)
class _Composer:
    """Creates runs that share everything except row and seed."""

    options: ExperimentOptions

    @property
    def scale(self) -> Scale:
        return self.options.scale

    @property
    def folder(self) -> Path:
        return self.options.folder / "meshtto"

    def test(self, row: Row, seed: int) -> Run:
        trained = self.training(row.training, seed)
        folder = self.folder / f"seed{seed}" / f"test_{row.name}"
        batch_size = 1 if row.few_people else row.batch_size
        options = {
            "seed_everything": str(seed),
            **self._relocated_paths(row.training),
            **row.options,
            "data.test": json.dumps(_row_test_sets(self.scale, row, self.options.data)),
            **({"data.evaluation_batch_size": str(batch_size)} if batch_size else {}),
            "ckpt_path": str(trained.last),
        }
        words = self._words("test", folder, row.training, options)
        return Run(folder, words, 0, 0, trained, "meshtto", "scores-test.json")

    def training(self, training: Recipe, seed: int) -> Run:
        if self.scale == "paper":
            content = load_config(configs_folder("meshtto") / training.config)
            return self._fit(training, seed, content["trainer"]["max_epochs"], 0, None)
        budget = self.options.budget
        start = self._fit(START, seed, budget.START_EPOCHS, budget.start // budget.START_EPOCHS, None)
        return self._fit(training, seed, budget.EPOCHS, budget.steps // budget.EPOCHS, start)

    def _fit(self, training: Recipe, seed: int, epochs: int, steps: int, start: Run | None) -> Run:
        """Return a training; with `steps` 0 the config determines the length of an epoch."""
        folder = self.folder / f"seed{seed}" / training.name
        options = {
            **training_options(seed, epochs, steps, start),
            **self._relocated_paths(training),
            **training.options,
        }
        if training is START:
            options["model.init_args.training.final_lr_ratio"] = "1.0"  # trainings that continue from it reduce it
        if start is not None and _has_auxiliary(training):  # start both networks from the same one
            options["model.init_args.auxiliary.init_from"] = str(start.last)
        return Run(folder, self._words("fit", folder, training, options), epochs, steps, start, "meshtto")

    def _words(self, verb: str, folder: Path, training: Recipe, options: dict[str, str]) -> tuple[str, ...]:
        configs = [training.config, *([_SMALL_DATA] if self.scale == "small" else [])]
        words = [word for name in configs for word in ("--config", short_path(configs_folder("meshtto") / name))]
        return (verb, *words, *command_line_options(options, folder), *self.options.overrides)

    def _relocated_paths(self, training: Recipe) -> dict[str, str]:
        """Return options with the paths of the paper's data, if these are not in the folder ``data``."""
        if self.scale == "small" or self.options.data is None:
            return {}
        content = relocate_data_paths(load_config(configs_folder("meshtto") / training.config), self.options.data)
        networks = content["model"]["init_args"]
        files = {
            f"model.init_args.{network}.{option}": networks[network][option]
            for network in ("regressor", "auxiliary")
            for option in ("body", "weights", "published")
            if option in networks.get(network, {})
        }
        return files | {f"data.{key}": json.dumps(content["data"][key]) for key in ("train", "validation", "test")}


def _row_test_sets(scale: Scale, row: Row, root: Path | None) -> dict[str, dict[str, Any]]:
    """Return the sets that a row is tested on, as in a config."""
    if scale == "small":
        sets = data_sets(scale, row.training)["test"]
        arguments = sets["builtin"]["init_args"] | {"evidence": row.evidence}
        if row.few_people:
            arguments |= {"count": arguments["count"] // 8}
        return {"builtin": {**sets["builtin"], "init_args": arguments}}
    return relocate_data_paths(data_sets(scale, row.training)["test"], root)


def data_sets(scale: Scale, training: Recipe) -> dict[str, Any]:
    """Return the section ``data`` of a training's configs."""
    name = _SMALL_DATA if scale == "small" else training.config
    return load_config(configs_folder("meshtto") / name)["data"]


def _has_auxiliary(training: Recipe) -> bool:
    """Return whether a training has two networks."""
    content = load_config(configs_folder("meshtto") / training.config)
    return content["model"]["class_path"].endswith(".Dual")


def _absent(row: Row, root: Path | None) -> list[str]:
    """Return the missing files and folders that a row's configs name."""
    paths = dict.fromkeys(find_data_paths(load_config(configs_folder("meshtto") / row.training.config)))
    return [path for path in paths if not Path(relocate_data_paths(path, root)).exists()]
