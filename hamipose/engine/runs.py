"""Runs as separate processes: run the missing ones in order, resume interrupted ones, and record failures and times."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hamipose.engine.metrics_file import read_run
from hamipose.engine.run_record import check_same_request, resume_arguments, write_request
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_list, read_record

__all__ = [
    "Run",
    "RunCommand",
    "command_line_options",
    "failure",
    "is_finished",
    "last_message",
    "run_all",
    "run_process",
    "short_path",
    "topological_batches",
    "wall_time",
]


@dataclass(frozen=True)
class Run:
    """A training, or a test of a network that another run has trained.

    Attributes:
        folder: folder of all files that it writes.
        arguments: arguments of the program.
        epochs: number of epochs of a training; 0 for a test.
        steps: steps per epoch; 0 if the data set determines it.
        after: the run whose last checkpoint it starts from.
        program: the package to run.
        scores: name of the file that it writes when it ends.
    """

    folder: Path
    arguments: tuple[str, ...]
    epochs: int
    steps: int
    after: "Run | None" = None
    program: str = "hamipose"
    scores: str = "scores.json"

    @property
    def last(self) -> Path:
        """Return the path of the checkpoint to resume from, and to start other runs from."""
        return self.folder / "checkpoints/last.ckpt"

    @property
    def command(self) -> str:
        """Return the command as a user would type it."""
        return shlex.join(["python", "-m", self.program, *self.arguments])


def command_line_options(options: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Return options as words of a command line, with the options that make a run log to `folder`."""
    logger = "trainer.logger.init_args"
    log_options = {
        "trainer.enable_progress_bar": "false",
        f"{logger}.save_dir": str(folder.parent),
        f"{logger}.name": "",
        f"{logger}.version": folder.name,
    }
    return tuple(word for name, value in {**options, **log_options}.items() for word in (f"--{name}", value))


def short_path(path: Path) -> str:
    """Return a path relative to the working directory if it is below it, as a user would type it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


#: Runs ``python -m`` with these words, appends the output to a file, and returns the exit status.
RunCommand = Callable[[Sequence[str], Path], int]


def run_process(words: Sequence[str], log: Path) -> int:
    """Run a command in a new process with the current environment; see `RunCommand`."""
    with log.open("a") as output:
        return subprocess.run([sys.executable, "-m", *words], stdout=output, stderr=output).returncode


def is_finished(run: Run) -> bool:
    """Return whether a run has written its scores and reached its last epoch."""
    path = run.folder / run.scores
    if not path.exists():
        return False
    scores = read_record(path, "epoch")
    return scores.get("last_epoch", scores["epoch"]) >= run.epochs


def failure(run: Run) -> str | None:
    """Return in one line why a run has no result; None if it is finished."""
    if is_finished(run):
        return None
    if run.after is not None and not is_finished(run.after):
        return f"the run it starts from is missing: {failure(run.after)}"
    path = run.folder / "failed.txt"
    return path.read_text().strip() if path.exists() else "not run"


def wall_time(run: Run) -> tuple[int, float]:
    """Return the number of steps of a run and their seconds, evaluation included; (0, 0.0) if unknown."""
    path = run.folder / "wall.json"
    parts = read_list(path, "steps", "seconds") if path.exists() else []
    return sum(part["steps"] for part in parts), float(sum(part["seconds"] for part in parts))


def run_all(
    runs: Sequence[Run],
    jobs: int = 1,
    command: RunCommand = run_process,
    log: Callable[[str], None] = print,
) -> None:
    """Run or resume every unfinished run; a failed run does not stop the others.

    A thread pool waits for the runs, because submitit knows no dependencies between jobs and no limit of local ones.

    Args:
        runs: the wanted runs; the runs that they start from are added.
        jobs: number of runs at a time.
        command: runs a command. If it has a method `cancel`, it is called if the wait is interrupted; it must end all
            running commands. (Ctrl-C ends the processes of a terminal, those of `run_process`, by itself.)
        log: called with a line at each start and end.

    Raises:
        UserError: the folder of a run contains a run with other options.
    """
    batches = topological_batches(runs)
    for batch in batches:
        for run in batch:
            if (run.folder / "run.json").exists():
                check_same_request(run.folder, run.arguments)
    done = 0
    total = sum(not is_finished(run) for batch in batches for run in batch)

    def run_one(run: Run) -> None:
        nonlocal done
        if run.after is not None and not is_finished(run.after):
            log(f"{run.folder}: skipped: {run.after.folder} failed")
        else:
            log(f"{run.folder}: started")
            problem = _run(run, command)
            log(f"{run.folder}: {problem or 'finished'}")
        done += 1
        log(f"{done} of {total}")

    for batch in batches:
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            try:
                list(pool.map(run_one, [run for run in batch if not is_finished(run)]))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                getattr(command, "cancel", lambda: None)()
                raise


def topological_batches(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs and all runs that they start from, each in a later batch than the run it starts from."""

    def depth_of(run: Run) -> int:
        return 0 if run.after is None else 1 + depth_of(run.after)

    wanted = dict.fromkeys(runs)
    for run in runs:
        while run.after is not None:
            wanted[run := run.after] = None
    last = max(map(depth_of, wanted), default=0)
    return [[run for run in wanted if depth_of(run) == depth] for depth in range(1 + last)]


def _run(run: Run, command: RunCommand) -> str | None:
    """Run or resume one run; return why it failed, or None."""
    run.folder.mkdir(parents=True, exist_ok=True)
    arguments = resume_arguments(run.folder, run.arguments)
    write_request(run.folder, run.arguments)
    (run.folder / "failed.txt").unlink(missing_ok=True)
    steps_before, start = _steps(run.folder), time.monotonic()
    log = run.folder / "log.txt"
    status = command([run.program, *arguments], log)
    _record_time(run, _steps(run.folder) - steps_before, time.monotonic() - start)
    if status == 0 and is_finished(run):
        return None
    missing = "its last epoch" if run.epochs else f"writing {run.scores}"
    problem = f"failed with status {status}: {last_message(log)}" if status else f"ended without {missing}"
    (run.folder / "failed.txt").write_text(problem + "\n")
    return problem


def _steps(folder: Path) -> int:
    """Return the number of steps up to the last evaluation."""
    steps = [max(series) for name, series in read_run(folder).items() if not name.startswith("train/")]
    return max(steps) + 1 if steps else 0


def _record_time(run: Run, steps: int, seconds: float) -> None:
    if steps <= 0:
        return
    path = run.folder / "wall.json"
    parts = read_list(path, "steps", "seconds") if path.exists() else []
    threads = os.environ.get("OMP_NUM_THREADS", "")
    parts.append({"steps": steps, "seconds": round(seconds, 1), "threads": threads})
    write_text(path, json.dumps(parts, indent=1) + "\n")


def last_message(log: Path) -> str:
    """Return the last error line of a log, or its last line."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ") or re.match(r"\w*(Error|Exception): ", line)]
    return (errors or lines or ["no output"])[-1][:300]
