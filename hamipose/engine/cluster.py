"""Runs as jobs of submitit: on a SLURM cluster, or on this machine as on one."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args

from hamipose.engine.runs import run_process
from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = ["Cluster", "ClusterCommand", "parse_cluster_options"]

Cluster = Literal["slurm", "local"]


def parse_cluster_options(words: Sequence[str]) -> dict[str, Any]:
    """Return options of submitit from words such as ``gpus_per_node=1``; whole numbers become integers.

    Raises:
        UserError: a word is not of the form NAME=VALUE.

    >>> parse_cluster_options(["timeout_min=600", "slurm_partition=gpu"])
    {'timeout_min': 600, 'slurm_partition': 'gpu'}
    """
    options: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name or not value:
            raise UserError(f"--cluster-options has {word!r}: expected NAME=VALUE, such as timeout_min=600")
        options[name] = int(value) if value.isdigit() else value
    return options


class ClusterCommand:
    """Run commands as submitit jobs, see :data:`hamipose.engine.runs.RunCommand`.

    A job that the cluster kills or preempts counts as a failed run; the next call resumes it from its last checkpoint.

    Args:
        cluster: "slurm", or "local" for jobs on this machine.
        folder: folder of submitit's own files: the job scripts, results and logs of the scheduler.
        options: parameters of ``submitit.AutoExecutor``, such as ``slurm_partition`` and ``timeout_min``.

    Raises:
        UserError: submitit or SLURM is not installed, or an option is unknown.
    """

    def __init__(self, cluster: Cluster, folder: Path, options: Mapping[str, Any]) -> None:
        require_packages("--cluster", "submitit")
        import submitit

        if cluster not in get_args(Cluster):
            raise ValueError(f"cluster is {cluster!r}, expected one of {', '.join(get_args(Cluster))}")
        self._errors: tuple[type[Exception], ...] = (
            submitit.core.utils.UncompletedJobError,
            submitit.core.utils.FailedJobError,
        )
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
            self._executor.update_parameters(**{"timeout_min": 24 * 60, "name": "hamipose", **options})
        except (RuntimeError, NameError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"--cluster {cluster}: {reason}; check --cluster-options, and that sbatch runs here"
            ) from None
        self._jobs: list[Any] = []
        self._lock = Lock()

    def __call__(self, words: Sequence[str], log: Path) -> int:
        """Run ``python -m`` with these words as a job; return its exit status, or 1 if the cluster ended the job."""
        with self._lock:  # the executor's files are written one job at a time
            job = self._executor.submit(run_process, list(words), log.absolute())
            self._jobs.append(job)
        try:
            return int(job.result())
        except self._errors as error:
            with log.open("a") as output:
                output.write(f"error: job {job.job_id} ended early ({job.state}): {_first_line(error)}\n")
            return 1

    def cancel(self) -> None:
        """Cancel all jobs that have not ended."""
        for job in self._jobs:
            with contextlib.suppress(OSError):  # it has just ended
                if not job.done():
                    job.cancel()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
