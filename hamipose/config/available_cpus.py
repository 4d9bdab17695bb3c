"""How many processors there are for us."""

import os

__all__ = ["available_cpus"]


def available_cpus() -> int:
    """Those that this process may use; all of the machine where the system, such as macOS, does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
