"""What is left to do, and how long it may take: said before anything is started."""

from collections.abc import Sequence

from hamipose.engine.runs import Run, finished, wall_seconds, waves

__all__ = ["dry_run", "pending"]


def pending(runs: Sequence[Run]) -> list[Run]:
    """Those that are missing, and those that they start from, which come first."""
    return [run for wave in waves(runs) for run in wave if not finished(run)]


def dry_run(runs: Sequence[Run], jobs: int) -> list[str]:
    """A line for each missing run and one for the sum.

    The time of a run is known where runs of the same row and transfer have been timed: their seconds per step, times
    the steps that are left. It is not where a run's data decide how long its epochs are.

    Args:
        runs: all that are wanted, finished ones too.
        jobs: runs at a time; the sum is divided by it, as if they did not disturb each other.
    """
    timed: dict[tuple[str, str], tuple[int, float]] = {}
    for run in (run for wave in waves(runs) for run in wave):
        steps, seconds = wall_seconds(run)
        before = timed.get(_kind(run), (0, 0.0))
        timed[_kind(run)] = (before[0] + steps, before[1] + seconds)
    told, total, unknown = [], 0.0, 0
    for run in pending(runs):
        left = run.epochs * run.steps - wall_seconds(run)[0]
        steps, seconds = timed[_kind(run)]
        if not run.epochs:
            unknown += 1
            told.append(f"{run.folder}: a test, time unknown")
        elif not run.steps:
            unknown += 1
            told.append(f"{run.folder}: {run.epochs} epochs, time unknown")
        elif steps:
            total += left * seconds / steps
            told.append(f"{run.folder}: {left} steps, about {_time(left * seconds / steps)}")
        else:
            unknown += 1
            told.append(f"{run.folder}: {left} steps, time unknown")
        told.append(f"    {run.command}")
    if not told:
        return ["nothing is missing"]
    known = f"about {_time(total / jobs)}" if total else "time unknown"
    more = f" and {unknown} runs whose time is unknown" if total and unknown else ""
    return [*told, f"{len(told) // 2} runs are missing: {known}{more}, with {jobs} at a time"]


def _kind(run: Run) -> tuple[str, str]:
    """Row and transfer, whatever the seed."""
    return run.folder.name, run.folder.parent.parent.name


def _time(seconds: float) -> str:
    """Hours and minutes."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
