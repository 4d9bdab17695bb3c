"""The origin of results: versions, revision of the code, and machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe_machine", "describe_versions", "revision"]

_PACKAGES = ("hamipose", "torch", "lightning", "timm", "torchmetrics", "numpy", "anny", "warp-lang")


def revision() -> str:
    """Return the short hash of the code, marked if files differ from it; "unknown" outside a clone."""
    folder = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty=+changes", "--exclude=*"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def describe_versions() -> str:
    """Return the versions of Python and of the packages that results depend on."""
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(versions)


def describe_machine() -> str:
    """Return operating system, number of cores, GPU and threads per process."""
    import torch

    words = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    threads = os.environ.get("OMP_NUM_THREADS")
    return words + (f", threads per process: {threads}" if threads else "")
