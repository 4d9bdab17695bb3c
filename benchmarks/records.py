"""Measurements, kept beside those made before."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

__all__ = ["keep"]


def keep(file: Path, command: str, device: torch.device, **measured: Any) -> None:
    """Append a record that says when and where it was made.

    Args:
        file: a list of records as JSON, begun where it is missing.
        command: that makes it again.
        device: measured on.
        measured: what came of it.
    """
    threads = f"{platform.machine()}, {torch.get_num_threads()} threads"
    record = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else threads,
        "torch": torch.__version__,
        **measured,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    past = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*past, record], indent=1) + "\n")
