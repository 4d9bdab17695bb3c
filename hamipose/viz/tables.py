"""Tables as Markdown, CSV or terminal output, and Markdown pages that contain them."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hamipose.io.atomic_file import write_bytes, write_text

__all__ = ["MarkdownPage", "Table"]


@dataclass
class Table:
    """A table of text cells.

    Attributes:
        header: titles of the columns.
        rows: cells of each row, in the order of the header.
        text_columns: number of leading columns of text, aligned to the left; the others contain numbers.
    """

    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    text_columns: int = 1

    def to_markdown(self) -> str:
        """Return the table in Markdown.

        >>> print(Table(["method", "PCK"], [["ours", "83.9"]]).to_markdown())
        | method | PCK |
        |---|---:|
        | ours | 83.9 |
        """
        marks = ["---" if place < self.text_columns else "---:" for place in range(len(self.header))]
        lines = [" | ".join(row) for row in (self.header, *self.rows)]
        return "\n".join([f"| {lines[0]} |", f"|{'|'.join(marks)}|", *(f"| {line} |" for line in lines[1:])])

    def to_rich(self, title: str | None = None) -> Any:
        """Return the table for a rich console of 80 columns, with unbroken cells.

        Args:
            title: text above it.
        """
        from rich.table import Table as RichTable

        table = RichTable(title=title, padding=0)
        for place, column in enumerate(self.header):
            table.add_column(column, justify="left" if place < self.text_columns else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def write_csv(self, path: Path) -> None:
        """Write the table as CSV, creating the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([self.header, *self.rows])


class MarkdownPage:
    """A Markdown page, built from top to bottom and written once; its images are files beside it.

    Args:
        path: the file.
        title: heading of the page.
    """

    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        self._parts = [f"# {title}"]

    def add_heading(self, text: str) -> None:
        """Add a section heading."""
        self._parts.append(f"## {text}")

    def add_text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(text)

    def add_list(self, items: Iterable[str]) -> None:
        """Add a list of items."""
        self._parts.append("\n".join(f"- {item}" for item in items))

    def add_table(self, table: Table) -> None:
        """Add a table."""
        self._parts.append(table.to_markdown())

    def add_code(self, lines: Iterable[str]) -> None:
        """Add a code block."""
        self._parts.append("\n".join(["```", *lines, "```"]))

    def add_png(self, png: bytes, caption: str, suffix: str = "") -> None:
        """Write a PNG beside the page and show it.

        Args:
            png: content of the file.
            caption: alternative text.
            suffix: added to the page's name in the name of the file.
        """
        name = f"{self.path.stem}{suffix}.png"
        write_bytes(self.path.with_name(name), png)
        self._parts.append(f"![{caption}]({name})")

    def write(self) -> Path:
        """Write the page; returns its path."""
        write_text(self.path, "\n\n".join(self._parts) + "\n")
        return self.path
