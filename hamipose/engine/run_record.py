"""The record of a run folder: options, revision, and the arguments that resume it; also versions and machine."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hamipose.errors import UserError
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_record

__all__ = [
    "check_same_request",
    "describe_machine",
    "describe_versions",
    "has_checkpoints",
    "recorded_revision",
    "resume_arguments",
    "revision",
    "write_request",
]

_FILE = "run.json"
_PACKAGES = ("hamipose", "torch", "lightning", "timm", "torchmetrics", "numpy", "anny", "warp-lang")


def write_request(folder: Path, arguments: Sequence[str]) -> None:
    """Record the arguments of a run and the revision of the code, for :func:`check_same_request`."""
    content = {"arguments": list(arguments), "revision": revision()}
    write_text(folder / _FILE, json.dumps(content, indent=1))


def check_same_request(folder: Path, arguments: Sequence[str], option: str = "--runs") -> None:
    """Raise an error if a folder contains a run with other arguments.

    Args:
        folder: folder of a run.
        arguments: the requested arguments.
        option: the caller's option that selects another folder.

    Raises:
        UserError: the recorded arguments differ, or there is no record.
    """
    path = folder / _FILE
    if not path.exists():
        raise UserError(f"{folder} has no record of the options of its runs; give another {option} or delete it")
    recorded = read_record(path, "arguments")["arguments"]
    if recorded != list(arguments):
        new, old = (sorted(set(a) - set(b)) for a, b in ((arguments, recorded), (recorded, arguments)))
        raise UserError(
            f"{folder} contains a run with different options (found {' '.join(old) or 'fewer options'}, requested "
            f"{' '.join(new) or 'fewer options'}); give another {option} or delete the folder"
        )


def recorded_revision(folder: Path) -> str:
    """Return the revision of the code that made a run; empty if there is no record."""
    path = folder / _FILE
    return str(read_record(path, "revision")["revision"]) if path.exists() else ""


def has_checkpoints(folder: Path) -> bool:
    """Return whether a folder of several runs contains a checkpoint."""
    return any(folder.glob("*/checkpoints/last.ckpt"))


def resume_arguments(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Return the arguments that resume a run from its last checkpoint, or start it if there is none.

    The metrics file of the earlier part is renamed, because Lightning's CSV logger would delete it.

    Args:
        folder: folder of the run.
        arguments: the arguments that start it.
    """
    last, metrics = folder / "checkpoints" / "last.ckpt", folder / "metrics.csv"
    if not last.exists():
        return list(arguments)
    if metrics.exists():
        number = len(list(folder.glob("metrics-*.csv")))
        metrics.rename(folder / f"metrics-{number:03d}.csv")
    return [*arguments, "--ckpt_path", str(last)]


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
