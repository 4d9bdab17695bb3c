"""What the installation and the machine provide: the folder of the shipped configs, and CPUs."""

import os
import sys
from pathlib import Path

__all__ = ["available_cpus", "configs_folder"]


def configs_folder(package: str = "hamipose") -> Path:
    """Return the folder of a package's shipped configs: ``configs/`` of a clone, or where pip installed them."""
    clone = Path(__file__).parent.parent.parent / "configs" / package
    return clone if clone.is_dir() else Path(sys.prefix) / "share" / package / "configs"


def available_cpus() -> int:
    """Return how many CPUs this process may use.

    Systems without CPU affinity, such as macOS, report all CPUs of the machine.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
