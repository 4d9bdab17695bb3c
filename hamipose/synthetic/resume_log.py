"""A folder of pictures made one by one: a journal beside them keeps the record of each until all are there."""

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from hamipose.errors import UserError

__all__ = ["Journal"]


class Journal:
    """The settings in the first line, then a line of JSON for each record, written as soon as its picture is.

    Args:
        path: the file, in the folder of the pictures.
        what: which pictures, for messages.
        settings: what they depend on.
    """

    def __init__(self, path: Path, what: str, settings: dict[str, Any]) -> None:
        self.path, self.what, self.settings = path, what, settings

    def agree(self, found: Any) -> None:
        """Refuse to mix series.

        Raises:
            UserError: `found` are other settings.
        """
        if found != self.settings:
            raise UserError(
                f"{self.path.parent} holds {self.what} made with {found}, asked for are {self.settings}; "
                "delete it or give another folder"
            )

    def records(self) -> list[dict]:
        """What an interrupted run has made; a torn last line is taken away.

        Raises:
            UserError: it made another series.
        """
        if not self.path.exists():
            return []
        complete = self.path.read_text().rpartition("\n")[0].splitlines()
        if not complete:
            return []
        found = []
        for number, line in enumerate(complete, 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise UserError(
                    f"{self.path} is damaged in line {number} ({error}); delete it, and what it lists is made again"
                ) from None
        self.agree(found[0])
        self.path.write_text("\n".join(complete) + "\n")
        return found[1:]

    def keep(self, known: Collection[dict], made: Iterable[dict]) -> Iterator[dict]:
        """Write down each record as it is made, and hand it on.

        Args:
            known: records of the pictures that are already there; a new journal starts with them.
            made: those to come.
        """
        with open(self.path, "a" if known else "w") as file:
            if file.tell() == 0:
                file.write(json.dumps(self.settings) + "\n")
                file.writelines(json.dumps(record) + "\n" for record in known)
            for record in made:
                file.write(json.dumps(record) + "\n")
                file.flush()
                yield record

    def close(self) -> None:
        """All is there: what the journal held stands in the finished file."""
        self.path.unlink(missing_ok=True)
