"""Read the files of Lightning's CSV logger."""

import csv
from pathlib import Path

__all__ = ["Series", "read_columns", "read_metrics", "read_run"]

#: Step → value.
Series = dict[int, float]


def read_metrics(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Return the columns of one file: name → (steps, values), without empty cells.

    Raises:
        FileNotFoundError: the file does not exist.
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
    """Return everything that a run logged: column → step → value.

    A resumed run has a file for each of its parts; if two parts contain a step, the later one is used.
    """
    columns: dict[str, Series] = {}
    for path in [*sorted(folder.glob("metrics-*.csv")), folder / "metrics.csv"]:
        if path.exists():
            for name, (steps, values) in read_metrics(path).items():
                columns.setdefault(name, {}).update(zip(steps, values, strict=True))
    return columns


def read_columns(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Return everything that a run logged in the format of :func:`read_metrics`, ordered by step."""
    ordered = {name: sorted(series.items()) for name, series in read_run(folder).items()}
    return {name: ([s for s, _ in pairs], [v for _, v in pairs]) for name, pairs in ordered.items()}
