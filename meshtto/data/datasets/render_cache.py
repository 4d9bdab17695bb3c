"""Cache of rendered images of the built-in body on disk; interrupted rendering can be resumed.

A folder contains ``images/000000.jpg …`` and ``labels.npz``, whose arrays have the names of SPIN's files where those
exist (``imgname``, ``pose``, ``shape``, ``trans``, ``focal_length``), and those of `draw_person`. Until the folder is
complete, each image has a sidecar with its labels.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain
from hamipose.synthetic.render_cache import check_render_options
from hamipose.synthetic.render_jobs import (
    check_settings,
    image_name,
    read_sidecars,
    remove_sidecars,
    render_missing,
)

__all__ = ["read_labels", "render_images"]

_LABELS = ("pose", "shape", "trans", "focal_length", "keypoints", "visibility", "joints")


def render_images(
    folder: Path,
    style: str,
    count: int,
    size: int,
    seed: int,
    poses: list[str] | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Path:
    """Render the images that a folder lacks.

    Image i depends only on style, seed, i, size and poses, not on how many are rendered, in which order, or by how many
    processes.

    Args:
        folder: output folder.
        style: "plain" or "photo".
        count: number of images in the folder.
        size: side of the square images in pixels.
        seed: seed of the series.
        poses: pose families; default: all.
        workers: number of rendering processes; default: one per CPU.
        device: "cpu" or "cuda:0"; default: a GPU if available.
        progress: whether to show a progress bar.

    Returns:
        The file of labels.

    Raises:
        UserError: an invalid option, or a folder with images of other settings.
    """
    from hamipose.synthetic.people.pose_distributions import FAMILIES
    from meshtto.body.builtin import VERSION
    from meshtto.data.datasets import rendering

    check_render_options(style, count, size, seed, workers, {"poses": (poses, FAMILIES)})
    series = {"style": style, "size": size, "seed": seed, "poses": None if poses is None else sorted(poses)}
    settings = {**series, "body": VERSION, "format": rendering.FORMAT[style]}
    records, unfinished = _read_records(folder, settings)
    missing = [i for i in range(count) if i not in records]
    if missing:
        render_missing(
            folder,
            rendering.make_record,
            missing,
            settings,
            {"device": device, **series},
            workers,
            build_caches=lambda: rendering.build_caches(device),
            title=f"{style} meshes",
            progress=progress,
        )
    if missing or unfinished:
        _write_labels(folder, settings)
    return folder / "labels.npz"


def _read_records(folder: Path, settings: dict[str, Any]) -> tuple[dict[int, dict], bool]:
    """Return the labels of all existing images by image index, and whether some are stored in sidecars."""
    # Sidecars first: another process may move them into the file of labels at any time.
    sidecars = read_sidecars(folder, settings)
    records: dict[int, dict] = {}
    if (folder / "labels.npz").exists():
        arrays = read_labels(folder / "labels.npz")
        check_settings(folder, json.loads(str(arrays["settings"])), settings)
        for row, index in enumerate(arrays["index"].tolist()):
            records[index] = {name: arrays[name][row].tolist() for name in _LABELS}
    records |= sidecars
    return {index: r for index, r in records.items() if (folder / image_name(index)).exists()}, bool(sidecars)


def _write_labels(folder: Path, settings: dict[str, Any]) -> None:
    """Write the file of labels of all images, and remove the sidecars."""
    records, _ = _read_records(folder, settings)
    indices = sorted(records)
    arrays: dict[str, Any] = {name: np.array([records[i][name] for i in indices], np.float32) for name in _LABELS}
    arrays["visibility"] = arrays["visibility"].astype(np.int8)
    arrays["index"] = np.array(indices)
    arrays["imgname"] = np.array([image_name(i) for i in indices])
    arrays["settings"] = np.array(json.dumps(settings))
    unfinished = folder / "labels.part.npz"
    np.savez(unfinished, **arrays)
    os.replace(unfinished, folder / "labels.npz")
    remove_sidecars(folder)


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """Read the label arrays of a folder.

    Raises:
        UserError: the file does not exist, or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; render the images first: prepare() of the data set") from None
    except Exception as error:  # damaged bytes can raise anything
        problem = f"{explain(path, 'a NumPy archive (.npz)')} ({describe_error(error)})"
        raise UserError(f"{path} {problem}; delete its folder and render the images again") from None
