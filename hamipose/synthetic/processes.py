"""Pictures made by several processes, each of which prints one line of JSON a picture, its record.

Modules run by name rather than `multiprocessing`, so that a user's script needs no ``if __name__ == "__main__"``.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

from hamipose.config.environment import available_cpus

__all__ = ["BLOCK", "default_workers", "make_share", "records_of_processes", "with_bar"]

#: Numbers of pictures that one process should make, because making them together is quicker.
BLOCK = 16


def default_workers(pictures: int) -> int:
    """Processes worth starting for so many pictures."""
    return min(available_cpus(), max(1, pictures // 64))


def make_share(asked: dict[str, Any], make_record: Callable[..., dict]) -> None:
    """What a process does: makes pictures and prints their records.

    Args:
        asked: {"indices": [...], "folder": ..., and what `make_record` takes}.
        make_record: writes picture `index` into a folder.
    """
    indices, folder = asked.pop("indices"), Path(asked.pop("folder"))
    # Warp's or anny's prints must not mix with the records.
    records, sys.stdout = os.fdopen(os.dup(1), "w", buffering=1), sys.stderr
    for index in indices:
        print(json.dumps(make_record(folder, index, **asked)), file=records, flush=True)


def records_of_processes(module: str, missing: list[int], workers: int, request: dict[str, Any]) -> Iterator[dict]:
    """The records of the missing pictures, as they are made.

    Args:
        module: run by name; it reads its share of the request as JSON from its input and calls :func:`make_share`.
        missing: numbers of the pictures.
        workers: how many processes.
        request: what every process is asked for, less its indices.

    Raises:
        RuntimeError: a process failed.
    """
    running = [_start(module, {"indices": share, **request}) for share in _shares(missing, workers)]
    lines: Queue = Queue()

    def read(process: subprocess.Popen) -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    for process in running:
        threading.Thread(target=read, args=(process,), daemon=True).start()
    try:
        ended = 0
        while ended < len(running):
            line = lines.get()
            if line is None:
                ended += 1
            else:
                yield json.loads(line)
        if any(process.wait() for process in running):
            raise RuntimeError("a process that makes pictures failed; its message is above. What is made is kept")
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _shares(missing: list[int], workers: int) -> list[list[int]]:
    """The numbers of each process, in whole blocks if there are enough of them."""
    blocks: dict[int, list[int]] = {}
    for index in missing:
        blocks.setdefault(index // BLOCK, []).append(index)
    dealt = list(blocks.values()) if len(blocks) >= workers else [[index] for index in missing]
    shares = [[index for block in dealt[i::workers] for index in block] for i in range(workers)]
    return [share for share in shares if share]


def _start(module: str, request: dict[str, Any]) -> subprocess.Popen:
    """A process that reads the request from a file: a command line could not hold the numbers of many pictures."""
    # One thread each: the processes share the processors already.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as file:
        json.dump(request, file)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-m", module], stdin=file, stdout=subprocess.PIPE, text=True, env=environment
        )


def with_bar(records: Iterator[dict], total: int, title: str, shown: bool) -> Iterator[dict]:
    """The records, with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not shown) as bar:
        task = bar.add_task(f"making {title}", total=total)
        for record in records:
            bar.advance(task)
            yield record
