"""Tools to interrupt and compare training runs: callbacks, scripts in other processes, bitwise comparison."""

import json
import os
import signal
import subprocess
import sys
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


def run_script(script: Path, given: Any, processes: int | None = None) -> subprocess.CompletedProcess:
    """Run a script with one JSON argument in a new process, or in several processes started by torchrun."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    launcher = [] if processes is None else ["-m", "torch.distributed.run", "--standalone"]
    launcher += [] if processes is None else ["--nproc-per-node", str(processes)]
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
