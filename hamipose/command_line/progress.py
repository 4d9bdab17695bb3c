"""Progress of a long command: a bar on a terminal, and a line now and then where the output goes to a file."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

__all__ = ["CommandProgress"]

_Item = TypeVar("_Item")


class CommandProgress:
    """Show on standard error how many images have been processed.

    Args:
        description: what is being done, such as "predicting".
        total: number of images; None if unknown.
        every_s: seconds between two lines if standard error is not a terminal.
    """

    def __init__(self, description: str, total: int | None, every_s: float = 30.0):
        self.description, self.total, self.every_s = description, total, every_s
        self.done = 0
        self._console = Console(stderr=True)
        self._bar = Progress(transient=True, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(description, total=total)
        self._last = time.monotonic()

    def __enter__(self) -> "CommandProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Count processed images."""
        self.update(self.done + count, self.total)

    def update(self, done: int, total: int | None) -> None:
        """Set the numbers of processed and of all images."""
        self.done, self.total = done, total
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last >= self.every_s:
            self._last = now
            of = "" if total is None else f" of {total}"
            self._console.print(f"{self.description}: {done}{of}", highlight=False)

    def track(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield items, and count each when the next one is asked for."""
        for item in items:
            yield item
            self.advance()
