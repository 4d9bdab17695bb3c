"""Render missing images in worker processes; one sidecar file per image keeps its record, so rendering can resume.

The workers are loky processes of joblib. They do not import the user's script, which therefore needs no
``if __name__ == "__main__"``.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hamipose.config.environment import available_cpus
from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = [
    "BLOCK",
    "check_settings",
    "image_name",
    "read_sidecars",
    "remove_sidecars",
    "render_missing",
    "write_atomically",
]

#: Images that one task renders, because the bodies of a block are posed together, which is faster.
BLOCK = 16

#: Seconds after which idle workers end. Until then, the next folder finds the body model and the renderer loaded.
_IDLE_S = 30


def image_name(index: int) -> str:
    """Return the path of an image inside its folder."""
    return f"images/{index:06d}.jpg"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, and create its folder; the file is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def check_settings(folder: Path, found: Any, settings: Mapping[str, Any]) -> None:
    """Refuse a folder of another series.

    Raises:
        UserError: the folder was rendered with other settings.
    """
    if found != settings:
        raise UserError(
            f"{folder} contains images rendered with {found}, but {dict(settings)} was requested; "
            "delete the folder or choose another one"
        )


def read_sidecars(folder: Path, settings: Mapping[str, Any]) -> dict[int, dict]:
    """Return the records of the images rendered so far, by image index.

    Raises:
        UserError: a sidecar is damaged, or its image was rendered with other settings.
    """
    records = {}
    for path in folder.glob("images/*.json"):
        try:
            sidecar = json.loads(path.read_text())
        except FileNotFoundError:  # another process finished the folder in the meantime
            continue
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); delete it, and its image will be rendered again") from None
        check_settings(folder, sidecar["settings"], settings)
        records[int(path.stem)] = sidecar["record"]
    return records


def remove_sidecars(folder: Path) -> None:
    """Delete the sidecars of a folder whose records are stored in one file."""
    for path in folder.glob("images/*.json"):
        path.unlink(missing_ok=True)


def render_missing(
    folder: Path,
    make_record: Callable[..., dict],
    missing: list[int],
    settings: Mapping[str, Any],
    arguments: Mapping[str, Any],
    workers: int | None = None,
    *,
    build_caches: Callable[[], object],
    title: str = "images",
    progress: bool = True,
) -> None:
    """Render images and write their sidecars.

    Args:
        folder: output folder.
        make_record: renders image `index` into a folder, and returns its record as plain numbers and text.
        missing: indices of the images.
        settings: settings of the series, stored in each sidecar.
        arguments: further arguments of `make_record`.
        workers: number of worker processes; 1 renders in this process; default: one per CPU, fewer for few images.
        build_caches: called before worker processes start, to build caches that each of them would build otherwise.
        title: name of the images in the progress bar.
        progress: whether to show a progress bar.
    """
    require_packages("rendering", "joblib")
    from joblib import Parallel, delayed, parallel_config
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    workers = min(available_cpus(), max(1, len(missing) // 64)) if workers is None else workers
    if workers > 1:
        build_caches()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks = (
        delayed(_render)(folder, make_record, indices, settings, arguments) for indices in _split(missing, workers)
    )
    # One thread per worker, because the workers already occupy all CPUs.
    with (
        Progress(*columns, disable=not progress) as bar,
        parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=_IDLE_S),
    ):
        task = bar.add_task(f"rendering {title}", total=len(missing))
        for count in Parallel(n_jobs=workers, return_as="generator_unordered")(tasks):
            bar.advance(task, count)


def _render(
    folder: Path,
    make_record: Callable[..., dict],
    indices: list[int],
    settings: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> int:
    """Render some images with their sidecars, and return their number."""
    for index in indices:
        sidecar = {"settings": settings, "record": make_record(folder, index, **arguments)}
        write_atomically((folder / image_name(index)).with_suffix(".json"), json.dumps(sidecar).encode())
    return len(indices)


def _split(missing: list[int], workers: int) -> list[list[int]]:
    """Return the indices of each task: whole blocks for several workers, unless there are fewer blocks than workers."""
    blocks: dict[int, list[int]] = {}
    for index in missing:
        blocks.setdefault(index // BLOCK, []).append(index)
    return list(blocks.values()) if 1 < workers <= len(blocks) else [[index] for index in missing]
