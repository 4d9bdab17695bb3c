"""Jobs of submitit: exit status, logs, failures, interruption, and options."""

import contextlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from hamipose.engine import cluster
from hamipose.engine.cluster import ClusterCommand, parse_cluster_options
from hamipose.engine.runs import Run, run_all
from hamipose.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterCommand:
    from submitit.core.core import Job

    monkeypatch.setattr(Job, "_results_timeout_s", 1)  # for the file of a dead job; 15 s suit network file systems
    return ClusterCommand("local", tmp_path / "cluster", {"timeout_min": 2})


def test_cluster_command_returns_the_exit_status_and_writes_the_log(command: ClusterCommand, tmp_path: Path):
    log = tmp_path / "log.txt"
    assert command(["calendar", "1989", "11"], log) == 0
    assert "November 1989" in log.read_text()
    assert command(["a_module_that_does_not_exist"], log) == 1
    assert log.read_text().endswith("No module named a_module_that_does_not_exist\n")


def test_cluster_command_reports_jobs_that_do_not_end_by_themselves(
    command: ClusterCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Check a job that is killed: it counts as failed, and its log says so."""
    monkeypatch.setattr(cluster, "run_process", _kill_own_process)
    log = tmp_path / "log.txt"
    log.touch()
    assert command(["calendar"], log) == 1
    assert "ended early" in log.read_text()


def _kill_own_process(words: list[str], log: Path) -> int:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_run_all_cancels_jobs_if_it_is_interrupted(command: ClusterCommand, tmp_path: Path):
    """Check that neither the job nor the process that it started outlives the interruption."""
    sleep = f"import time; time.sleep(60)  # {tmp_path}"
    run = Run(tmp_path / "seed0/a", ("-n", "1", "-r", "1", sleep), 1, 1, program="timeit")

    def interrupt(line: str) -> None:
        if line.endswith("started"):
            threading.Thread(target=interrupt_when_it_runs).start()

    def interrupt_when_it_runs() -> None:
        while not _running(sleep):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)  # to the main thread, as Ctrl-C

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if the tests run in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all([run], command=command, log=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "ended early" in (run.folder / "failed.txt").read_text()
    assert not _running(sleep)


def _running(argument: str) -> bool:
    """Return whether a process has this argument."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if argument.encode() in path.read_bytes().split(b"\0"):
                return True
    return False


def test_cluster_options_are_checked(tmp_path: Path):
    with pytest.raises(UserError, match="expected NAME=VALUE"):
        parse_cluster_options(["timeout_min"])
    with pytest.raises(UserError, match=r"--cluster local: .*speed_limit.*check --cluster-options"):
        ClusterCommand("local", tmp_path, {"speed_limit": 3})


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="SLURM is installed")
def test_slurm_that_is_not_installed_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"--cluster slurm: .*sbatch"):
        ClusterCommand("slurm", tmp_path, {})
