"""Runs as processes of their own: which are finished, which go on, which failed and why."""

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
from hamipose.engine.provenance import revision
from hamipose.errors import UserError
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_list, read_record

__all__ = [
    "Call",
    "Run",
    "agree",
    "begun",
    "carry_out",
    "failure",
    "finished",
    "given",
    "gone_on",
    "made_by",
    "note",
    "shown",
    "wall_seconds",
    "waves",
]


@dataclass(frozen=True)
class Run:
    """One training, or one test of what another has trained.

    Attributes:
        folder: everything that it writes.
        arguments: of the program.
        epochs: epochs after which a training is finished; 0 for a test.
        steps: steps of one epoch; 0 where its data decide.
        after: the run whose last network it starts from.
        program: package that is run by name.
        scores: file that it leaves when it ends.
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
        """The checkpoint to resume from, and for others to start from."""
        return self.folder / "checkpoints/last.ckpt"

    @property
    def command(self) -> str:
        """As a user would type it."""
        return shlex.join(["python", "-m", self.program, *self.arguments])


def given(options: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Options as words of a command line, and those that have everything that a run writes put into `folder`."""
    logger = "trainer.logger.init_args"
    where = {
        "trainer.enable_progress_bar": "false",
        f"{logger}.save_dir": str(folder.parent),
        f"{logger}.name": "",
        f"{logger}.version": folder.name,
    }
    return tuple(word for name, value in {**options, **where}.items() for word in (f"--{name}", value))


def shown(path: Path) -> str:
    """A path from here where it is below: what a user would type in a clone."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


#: Carries out ``python -m`` with these words, its output appended to a file; gives the exit status.
Call = Callable[[Sequence[str], Path], int]


def call(words: Sequence[str], log: Path) -> int:
    """A process with the caller's surroundings."""
    with log.open("a") as output:
        return subprocess.run([sys.executable, "-m", *words], stdout=output, stderr=output).returncode


def finished(run: Run) -> bool:
    """Whether it has got to its last epoch."""
    path = run.folder / run.scores
    if not path.exists():
        return False
    scores = read_record(path, "epoch")
    return scores.get("last_epoch", scores["epoch"]) >= run.epochs


def failure(run: Run) -> str | None:
    """Why there is nothing to show, in a line; None where it is finished."""
    if finished(run):
        return None
    if run.after is not None and not finished(run.after):
        return f"the run it starts from is not there: {failure(run.after)}"
    path = run.folder / "failed.txt"
    return path.read_text().strip() if path.exists() else "not run"


def wall_seconds(run: Run) -> tuple[int, float]:
    """Steps that this run has made, and what they took, evaluation included; (0, 0.0) where nothing is known."""
    path = run.folder / "wall.json"
    parts = read_list(path, "steps", "seconds") if path.exists() else []
    return sum(part["steps"] for part in parts), float(sum(part["seconds"] for part in parts))


def made_by(run: Run) -> str:
    """The revision that made it; empty where there is none."""
    path = run.folder / "run.json"
    return str(read_record(path, "revision")["revision"]) if path.exists() else ""


def carry_out(runs: Sequence[Run], jobs: int = 1, call: Call = call, say: Callable[[str], None] = print) -> None:
    """Every run that is not finished, each from its last checkpoint; a failed one does not stop the others.

    Args:
        runs: in the order in which they are wanted; those that others start from come first by themselves.
        jobs: how many at a time.
        call: carries out a command.
        say: told of each beginning and end.

    Raises:
        UserError: a run's folder holds one of other options.
    """
    ordered = waves(runs)
    for wave in ordered:
        for run in wave:
            if (run.folder / "run.json").exists():
                agree(run.folder, run.arguments)
    done = 0
    total = sum(not finished(run) for wave in ordered for run in wave)

    def one(run: Run) -> None:
        nonlocal done
        if run.after is not None and not finished(run.after):
            say(f"{run.folder}: left out, for {run.after.folder} failed")
        else:
            say(f"{run.folder}: begun")
            failed = _run(run, call)
            say(f"{run.folder}: {failed or 'finished'}")
        done += 1
        say(f"{done} of {total}")

    for wave in ordered:
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            list(pool.map(one, [run for run in wave if not finished(run)]))


def waves(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs and those they start from, each in a later wave than its start."""

    def behind(run: Run) -> int:
        return 0 if run.after is None else 1 + behind(run.after)

    wanted = dict.fromkeys(runs)
    for run in runs:
        while run.after is not None:
            wanted[run := run.after] = None
    return [[run for run in wanted if behind(run) == depth] for depth in range(1 + max(map(behind, wanted), default=0))]


def begun(folder: Path) -> bool:
    """Whether something has been trained in a folder of several runs."""
    return any(folder.glob("*/checkpoints/last.ckpt"))


def agree(folder: Path, arguments: Sequence[str], option: str = "--runs") -> None:
    """Refuses to go on with, or to hand out, what was made for other arguments.

    Args:
        folder: something was run in it.
        arguments: what is asked for.
        option: the caller's, which names another folder.

    Raises:
        UserError: it was something else, or nothing says what.
    """
    path = folder / "run.json"
    if not path.exists():
        raise UserError(f"{folder} does not say what its runs were asked for; give another {option} or delete it")
    found = read_record(path, "arguments")["arguments"]
    if found != list(arguments):
        here, there = (sorted(set(a) - set(b)) for a, b in ((arguments, found), (found, arguments)))
        raise UserError(
            f"{folder} holds a run with {' '.join(there) or 'fewer options'}, asked for is "
            f"{' '.join(here) or 'fewer options'}; give another {option} or delete the folder"
        )


def note(folder: Path, arguments: Sequence[str]) -> None:
    """Writes down what is run in a folder, and the revision that does it, for :func:`agree`."""
    content = {"arguments": list(arguments), "revision": revision()}
    write_text(folder / "run.json", json.dumps(content, indent=1))


def gone_on(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Arguments that go on with a run from its last checkpoint, or begin it where it has none.

    Metrics of the part before are set aside: Lightning's CSV logger deletes them.

    Args:
        folder: the run's.
        arguments: that begin it.
    """
    last, metrics = folder / "checkpoints" / "last.ckpt", folder / "metrics.csv"
    if not last.exists():
        return list(arguments)
    if metrics.exists():
        number = len(list(folder.glob("metrics-*.csv")))
        metrics.rename(folder / f"metrics-{number:03d}.csv")
    return [*arguments, "--ckpt_path", str(last)]


def _run(run: Run, call: Call) -> str | None:
    """One run to its end; why it failed, if it did."""
    run.folder.mkdir(parents=True, exist_ok=True)
    arguments = gone_on(run.folder, run.arguments)
    note(run.folder, run.arguments)
    (run.folder / "failed.txt").unlink(missing_ok=True)
    before, began = _steps(run.folder), time.monotonic()
    log = run.folder / "log.txt"
    status = call([run.program, *arguments], log)
    _note_time(run, _steps(run.folder) - before, time.monotonic() - began)
    if status == 0 and finished(run):
        return None
    failed = f"failed with status {status}: {_last_word(log)}" if status else f"ended without {_end(run)}"
    (run.folder / "failed.txt").write_text(failed + "\n")
    return failed


def _end(run: Run) -> str:
    return "its last epoch" if run.epochs else f"writing {run.scores}"


def _steps(folder: Path) -> int:
    """Steps up to the last evaluation."""
    steps = [max(series) for name, series in read_run(folder).items() if not name.startswith("train/")]
    return max(steps) + 1 if steps else 0


def _note_time(run: Run, steps: int, seconds: float) -> None:
    if steps <= 0:
        return
    path = run.folder / "wall.json"
    parts = read_list(path, "steps", "seconds") if path.exists() else []
    threads = os.environ.get("OMP_NUM_THREADS", "")
    parts.append({"steps": steps, "seconds": round(seconds, 1), "threads": threads})
    write_text(path, json.dumps(parts, indent=1) + "\n")


def _last_word(log: Path) -> str:
    lines = (
        [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    )
    told = [line for line in lines if line.startswith("error: ") or re.match(r"\w*(Error|Exception): ", line)]
    return (told or lines or ["no word"])[-1][:300]
