"""Experiments of a paper's table, for both packages: recipes, budget, rows and their runs, time estimates."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from hamipose.engine.runs import Run, is_finished, topological_batches, wall_time
from hamipose.errors import UserError
from hamipose.viz.tables import Table

__all__ = [
    "Budget",
    "Cell",
    "ExperimentOptions",
    "Recipe",
    "RowT",
    "Scale",
    "pending_runs",
    "pending_table",
    "select_rows",
    "training_options",
]

Scale = Literal["small", "paper"]


@dataclass(frozen=True)
class Recipe:
    """A training; table rows with the same training share it.

    Attributes:
        name: folder of its runs.
        config: file in the package's folder of configs.
        options: options that override the config, by their names on the command line.
    """

    name: str
    config: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Budget:
    """Training steps at the small scale; at the paper's scale, each config states its own.

    Attributes:
        start: steps of the training from which all rows of a seed start, evaluated ten times.
        steps: further steps of each row, evaluated four times.

    Raises:
        UserError: the steps are not a multiple of the epochs.
    """

    start: int
    steps: int

    START_EPOCHS: ClassVar[int] = 10
    EPOCHS: ClassVar[int] = 4

    def __post_init__(self) -> None:
        for name, value, epochs in (("start", self.start, self.START_EPOCHS), ("steps", self.steps, self.EPOCHS)):
            if value < epochs or value % epochs:
                raise UserError(f"{name} is {value}; it must be a multiple of its {epochs} epochs")


@dataclass(frozen=True)
class ExperimentOptions:
    """The options that determine the runs of a table.

    Attributes:
        scale: "small", or "paper": the paper's data sets, networks and budget.
        seeds: seeds of each row, one run each.
        budget: budget of the small scale.
        runs: folder of all runs.
        data: the folder that configs call ``data/``; default: None, paths stay as they are.
        only: names of the rows to run; default: all.
        overrides: command line options passed to every run.
    """

    scale: Scale
    seeds: Sequence[int]
    budget: Budget
    runs: Path
    data: Path | None = None
    only: Sequence[str] = ()
    overrides: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Return the folder of the runs of this scale."""
        return self.runs / self.scale


@runtime_checkable
class _Row(Protocol):
    """A row of a table."""

    @property
    def label(self) -> str: ...


RowT = TypeVar("RowT", bound=_Row)


@dataclass(frozen=True)
class Cell(Generic[RowT]):
    """A row of a table and its runs.

    Attributes:
        row: the row.
        runs: seed → run whose scores it shows.
        missing: why it has no runs; empty if it has some.
    """

    row: RowT
    runs: Mapping[int, Run]
    missing: str = ""


def select_rows(rows: Sequence[RowT], names: Callable[[RowT], Iterable[str]], only: Sequence[str]) -> list[RowT]:
    """Return the rows with one of some names, ignoring case; all rows if no name is given.

    Args:
        rows: the rows of a table.
        names: returns the names of a row.
        only: the wanted names.

    Raises:
        UserError: a name is unknown.
    """
    named = [({name.casefold() for name in names(row)}, row) for row in rows]
    for name in only:
        if not any(name.casefold() in known for known, _ in named):
            raise UserError(f"no row is called {name}; expected some of {'; '.join(row.label for row in rows)}")
    wanted = {name.casefold() for name in only}
    return [row for known, row in named if not wanted or known & wanted]


def training_options(seed: int, epochs: int, steps: int, start: Run | None) -> dict[str, str]:
    """Return the options of a training that both packages share.

    Args:
        seed: seed of the training.
        epochs: number of epochs.
        steps: steps per epoch; 0 if the config or the data set determines them.
        start: the run whose network it starts from, with a warm-up of an eighth of the steps.
    """
    options = {"seed_everything": str(seed), "trainer.max_epochs": str(epochs)}
    if steps:
        options["data.steps_per_epoch"] = str(steps)
    if start is not None:
        options["model.init_args.training.init_from"] = str(start.last)
        options["model.init_args.training.warmup_steps"] = str(epochs * steps // 8)
    return options


def pending_runs(runs: Sequence[Run]) -> list[Run]:
    """Return the unfinished runs, and the unfinished runs that they start from, which come first."""
    return [run for batch in topological_batches(runs) for run in batch if not is_finished(run)]


def pending_table(runs: Sequence[Run], jobs: int, time_step: Callable[[Run], float] | None = None) -> tuple[Table, str]:
    """Return a table of all runs with what is done and what is missing, and a line with the sum.

    The time of a run is the number of its remaining steps times the seconds per step of earlier runs of the same recipe
    and transfer, or else of timed steps. It is unknown if there are neither, or if the data set determines the length
    of an epoch.

    Args:
        runs: all wanted runs, including finished ones.
        jobs: runs at a time; the sum is divided by it, as if they did not slow each other down.
        time_step: returns the seconds per step of a run; called once for each recipe without earlier runs.
    """
    ordered = [run for batch in topological_batches(runs) for run in batch]
    timed: dict[tuple[str, str], tuple[int, float]] = {}
    for run in ordered:
        steps, seconds = wall_time(run)
        before = timed.get(_transfer_and_recipe(run), (0, 0.0))
        timed[_transfer_and_recipe(run)] = (before[0] + steps, before[1] + seconds)
    if time_step is not None:
        for run in ordered:
            key = _transfer_and_recipe(run)
            if not timed[key][0] and run.epochs and run.steps and not is_finished(run):
                timed[key] = 1, time_step(run)
    seeds = list(dict.fromkeys(run.folder.parent.name for run in ordered))
    table = Table(["transfer", "run", "steps", *seeds], text_columns=2)
    rows: dict[tuple[str, str], dict[str, str]] = {}
    total, missing, unknown = 0.0, 0, 0
    for run in ordered:
        cells = rows.setdefault(_transfer_and_recipe(run), {"steps": str(run.epochs * run.steps or "")})
        if is_finished(run):
            cells[run.folder.parent.name] = "done"
            continue
        missing += 1
        steps, seconds = timed[_transfer_and_recipe(run)]
        if run.epochs and run.steps and steps:
            needed = (run.epochs * run.steps - wall_time(run)[0]) * seconds / steps
            total += needed
            cells[run.folder.parent.name] = f"missing, {_format_time(needed)}"
        else:
            unknown += 1
            cells[run.folder.parent.name] = "missing"
    for key, cells in rows.items():
        table.rows.append([*key, *(cells.get(column, "") for column in ("steps", *seeds))])
    if not missing:
        return table, "no run is missing"
    known = f"about {_format_time(total / jobs)}" if total else "time unknown"
    more = f" and {unknown} runs whose time is unknown" if total and unknown else ""
    return table, f"{missing} of {len(ordered)} runs are missing: {known}{more}, with {jobs} at a time"


def _transfer_and_recipe(run: Run) -> tuple[str, str]:
    """Return the parts of a run's folder that do not depend on the seed."""
    return run.folder.parent.parent.name, run.folder.name


def _format_time(seconds: float) -> str:
    """Return hours and minutes."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
