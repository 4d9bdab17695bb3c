"""Collect the records of a file that a reader skips, and describe them in one line."""

import logging
from pathlib import Path

__all__ = ["BadRecord", "SkippedRecords"]

_logger = logging.getLogger("hamipose")
_MAX_NAMES, _MAX_REASONS = 3, 6  # per line


class BadRecord(ValueError):
    """An unusable record; the message is the reason, without the name of the record."""


class SkippedRecords:
    """Skipped records of a file by reason, and notes about its other records.

    Args:
        path: the file.

    Attributes:
        by_reason: reason → (kind, name) of each record that was skipped for it.
        notes: notes, each once.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.by_reason: dict[str, list[tuple[str, str]]] = {}
        self.notes: list[str] = []

    def add(self, kind: str, name: object, reason: str) -> None:
        """Add a skipped record.

        Args:
            kind: kind of the record: image, annotation, category, person.
            name: id or position of the record.
            reason: why the record is skipped.
        """
        self.by_reason.setdefault(reason, []).append((kind, str(name)))

    def add_note(self, text: str) -> None:
        """Add a note, unless it exists."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, kind: str | None = None) -> int:
        """Return the number of skipped records of a kind. Default: None, of all kinds."""
        return sum(kind in (None, one) for records in self.by_reason.values() for one, _ in records)

    def describe(self) -> str:
        """Return the counts and names of the skipped records, without the name of the file; "" if there are none."""
        parts = []
        for reason, records in sorted(self.by_reason.items(), key=lambda item: -len(item[1])):
            kinds = sorted({kind for kind, _ in records})
            what = "/".join(f"{kind}s" if len(records) > 1 else kind for kind in kinds)
            names = ", ".join(name for _, name in records[:_MAX_NAMES]) + (", …" if len(records) > _MAX_NAMES else "")
            parts.append(f"{len(records)} {what} ({names}): {reason}")
        if len(parts) > _MAX_REASONS:
            remaining = self.count() - sum(
                len(records) for records in sorted(self.by_reason.values(), key=len)[-_MAX_REASONS:]
            )
            parts = [*parts[:_MAX_REASONS], f"{remaining} more for {len(parts) - _MAX_REASONS} other reasons"]
        return "; ".join(parts)

    def __bool__(self) -> bool:
        return bool(self.by_reason or self.notes)

    def __str__(self) -> str:
        """Return one line with the counts and names of skipped records, then the notes."""
        skipped = [f"skipped {self.describe()}"] if self.by_reason else []
        return f"{self.path}: {'; '.join([*skipped, *self.notes])}"

    def warn(self) -> None:
        """Log the line as a warning, unless it is empty."""
        if self:
            _logger.warning("%s", self)
