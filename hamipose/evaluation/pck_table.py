"""PCK as both the scores of a run and those of a file of predictions are shown."""

from collections.abc import Mapping, Sequence

from rich.table import Table

__all__ = ["pck_table"]


def pck_table(rows: Mapping[str, Mapping[str, float]], columns: Sequence[str], title: str | None = None) -> Table:
    """A table that 80 columns hold, names of rows in full.

    Args:
        rows: name → group of keypoints → PCK, from 0 to 1; a group that is missing stays empty.
        columns: the groups.
        title: above it.
    """
    table = Table(title=title, padding=0)
    table.add_column("PCK, %", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, values in rows.items():
        table.add_row(name, *(f"{100 * values[c]:.1f}" if c in values else "" for c in columns))
    return table
