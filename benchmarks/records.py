"""Records of benchmark results in a JSON file."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

__all__ = ["append_record"]


def append_record(file: Path, command: str, device: torch.device, **results: Any) -> None:
    """Append a record with date and machine to a file.

    Args:
        file: JSON list of records; created if missing.
        command: the command that reproduces the results.
        device: device of the measurement.
        results: the results.
    """
    threads = f"{platform.machine()}, {torch.get_num_threads()} threads"
    record = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else threads,
        "torch": torch.__version__,
        **results,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    records = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*records, record], indent=1) + "\n")
