"""What tiny runs of both packages share: callbacks that disturb them, processes of their own, bitwise comparison."""

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
    """SIGKILL in the middle of a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class FreezeBatchNorm(Callback):
    """BatchNorm that does not look at the batch, as it does in one process and in two."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for module in pl_module.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def told(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def elsewhere(script: Path, given: Any, processes: int | None = None) -> subprocess.CompletedProcess:
    """A script in a process of its own, or in several that torchrun starts, with one argument of JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    launcher = [] if processes is None else ["-m", "torch.distributed.run", "--standalone"]
    launcher += [] if processes is None else ["--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, str(script), json.dumps(given)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


def last(folder: Path) -> dict[str, Any]:
    """The last checkpoint of a run."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(a: Any, b: Any, where: str = "checkpoint") -> None:
    """Bitwise equality of nested containers."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where
