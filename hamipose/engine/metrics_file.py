"""What Lightning's CSV logger wrote, read back."""

import csv
from pathlib import Path

__all__ = ["Series", "read_columns", "read_metrics", "read_run"]

#: Step → value.
Series = dict[int, float]


def read_metrics(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """The columns of a CSV logger's file: name → (steps, values), rows without a value left out.

    Raises:
        FileNotFoundError: there is no such file.
    """
    columns: dict[str, tuple[list[int], list[float]]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if value and name != "step":
                    steps, values = columns.setdefault(name, ([], []))
                    steps.append(int(row["step"]))
                    values.append(float(value))
    return columns


def read_run(folder: Path) -> dict[str, Series]:
    """Everything that a run logged: column → step → value. A resumed run has a file for each of its parts.

    Where two parts know a step, the later one has it.
    """
    columns: dict[str, Series] = {}
    for path in [*sorted(folder.glob("metrics-*.csv")), folder / "metrics.csv"]:
        if path.exists():
            for name, (steps, values) in read_metrics(path).items():
                columns.setdefault(name, {}).update(zip(steps, values, strict=True))
    return columns


def read_columns(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """What :func:`read_run` finds, as :func:`read_metrics` gives it, in the order of steps."""
    ordered = {name: sorted(series.items()) for name, series in read_run(folder).items()}
    return {name: ([s for s, _ in pairs], [v for _, v in pairs]) for name, pairs in ordered.items()}
