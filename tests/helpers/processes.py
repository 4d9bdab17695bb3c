"""Tools to interrupt and compare training runs: callbacks, scripts in other processes, bitwise comparison."""

import json
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback


class Kill(Callback):
    """Kill the process in the middle of a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class FreezeBatchNorm(Callback):
    """Keep BatchNorm in eval mode, so that it is the same with one process and with two."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for module in pl_module.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def to_json_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with paths as strings, as JSON requires."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def run_script(
    script: Path, given: Any, processes: int | None = None, seconds: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a script with one JSON argument in a new process, or in several that form a process group.

    The processes are forked from a server that has imported the packages, because importing them takes longer than most
    scripts. Several processes find each other by the environment that torchrun sets.

    Args:
        script: path of the script.
        given: its argument.
        processes: number of processes of the group; None runs the script alone, without a group. It may start others
            itself, as Lightning does.
        seconds: time limit, after which all processes are killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.preload"])
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        started = []
        for rank in range(processes or 1):
            environment = {} if processes is None else _torchrun_environment(rank, processes, port)
            environment["PYTHONPATH"] = _python_path()  # for processes that the script starts
            log = str(Path(folder) / str(rank))
            process = context.Process(target=_run, args=(str(script), json.dumps(given), environment, os.getcwd(), log))
            process.start()
            started.append(process)
        deadline = time.monotonic() + seconds
        while any(process.is_alive() for process in started):
            failed = any(process.exitcode for process in started)
            if time.monotonic() > deadline or failed:
                time.sleep(1 if failed else 0)  # so that the others can print their errors, too
                for process in started:
                    process.kill()
            time.sleep(0.05)
        for process in started:
            process.join()
        code = next((process.exitcode for process in started if process.exitcode), 0)
        output = [
            "".join(path.read_text() for path in sorted(Path(folder).glob(f"*.{kind}"))) for kind in ("out", "err")
        ]
    return subprocess.CompletedProcess([str(script), given], code, *output)


def _run(script: str, argument: str, environment: dict[str, str], folder: str, log: str) -> None:
    """Run a script in this (forked) process, with its output in files."""
    for descriptor, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{kind}", os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [script, argument]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _torchrun_environment(rank: int, world: int, port: int) -> dict[str, str]:
    ranks = dict.fromkeys(("RANK", "LOCAL_RANK"), rank)
    sizes = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), world)
    group = {"GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}
    return {name: str(value) for name, value in (ranks | sizes | group).items()}


def _python_path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def launch_script(script: Path, given: Any, torchrun: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script with one JSON argument by a new Python interpreter, or by `torchrun` many, as a user does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _python_path()}
    launcher = [] if torchrun is None else ["-m", "torch.distributed.run", "--standalone"]
    launcher += [] if torchrun is None else ["--nproc-per-node", str(torchrun)]
    command = [sys.executable, *launcher, str(script), json.dumps(given)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


def read_last_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the last checkpoint of a run."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_identical(a: Any, b: Any, where: str = "checkpoint") -> None:
    """Check that nested containers are bitwise equal."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_identical(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_identical(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where
