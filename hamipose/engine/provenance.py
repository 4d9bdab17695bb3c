"""Where figures come from: versions, revision, machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["machine", "revision", "versions"]

_PACKAGES = ("hamipose", "torch", "lightning", "timm", "torchmetrics", "numpy", "anny", "warp-lang")


def revision() -> str:
    """The short hash of the code in use, with a mark where files differ from it; "unknown" outside a clone."""
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+changes", "--exclude=*"], cwd=here, capture_output=True, text=True
    )
    return told.stdout.strip() if told.returncode == 0 else "unknown"


def versions() -> str:
    """Python's and those of the packages that figures depend on."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def machine() -> str:
    """Processor, and accelerator where there is one."""
    import torch

    words = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    threads = os.environ.get("OMP_NUM_THREADS")
    return words + (f", {threads} thread a process" if threads else "")
