"""Collect what a reader leaves out of a file, and say it in one line."""

import logging
from pathlib import Path

__all__ = ["BadRecord", "SkippedRecords"]

_log = logging.getLogger("hamipose")
_NAMED, _REASONS = 3, 6  # per line


class BadRecord(ValueError):
    """A record that cannot be used; the message is the reason, without the record's name."""


class SkippedRecords:
    """Records skipped while a file was read, by reason, and remarks about the others.

    Args:
        path: the file.

    Attributes:
        skipped: reason → (kind, name) of each record skipped for it.
        notes: further remarks, each once.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.by_reason: dict[str, list[tuple[str, str]]] = {}
        self.notes: list[str] = []

    def skip(self, kind: str, name: object, reason: str) -> None:
        """Count a record.

        Args:
            kind: what it is: image, annotation, category, person.
            name: its id or position.
            reason: why it is skipped.
        """
        self.by_reason.setdefault(reason, []).append((kind, str(name)))

    def note(self, text: str) -> None:
        """Add a remark, unless it is there."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, kind: str | None = None) -> int:
        """Return how many records of a kind, or of all kinds, were skipped."""
        return sum(kind in (None, one) for records in self.by_reason.values() for one, _ in records)

    def reasons(self) -> str:
        """Return the skipped records, counted and named, without the file's name; "" if there are none."""
        parts = []
        for reason, records in sorted(self.by_reason.items(), key=lambda item: -len(item[1])):
            kinds = sorted({kind for kind, _ in records})
            what = "/".join(f"{kind}s" if len(records) > 1 else kind for kind in kinds)
            names = ", ".join(name for _, name in records[:_NAMED]) + (", …" if len(records) > _NAMED else "")
            parts.append(f"{len(records)} {what} ({names}): {reason}")
        if len(parts) > _REASONS:
            left = self.count() - sum(len(records) for records in sorted(self.by_reason.values(), key=len)[-_REASONS:])
            parts = [*parts[:_REASONS], f"{left} more for {len(parts) - _REASONS} other reasons"]
        return "; ".join(parts)

    def __bool__(self) -> bool:
        return bool(self.by_reason or self.notes)

    def __str__(self) -> str:
        """Return one line: skipped records counted and named, then the remarks."""
        skipped = [f"skipped {self.reasons()}"] if self.by_reason else []
        return f"{self.path}: {'; '.join([*skipped, *self.notes])}"

    def warn(self) -> None:
        """Log the line as a warning, if there is anything to say."""
        if self:
            _log.warning("%s", self)
