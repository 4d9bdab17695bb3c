"""Cache of rendered images of the built-in body on disk; interrupted rendering can be resumed.

``FOLDER/images/000000.jpg …`` and ``FOLDER/labels.npz``, whose arrays have the names of SPIN's files where those exist
(``imgname``, ``pose``, ``shape``, ``trans``, ``focal_length``), and those of `draw_person`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain
from hamipose.synthetic.render_cache import check_series
from hamipose.synthetic.render_jobs import default_workers, records_of_processes, with_bar
from hamipose.synthetic.resume_log import Journal

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
        workers: rendering processes; default: one per CPU.
        device: "cpu" or "cuda:0"; default: a GPU if available.
        progress: show a progress bar.

    Returns:
        The file of labels.

    Raises:
        UserError: an invalid option, or a folder with images of other settings.
    """
    from hamipose.synthetic.people.pose_distributions import FAMILIES
    from meshtto.body.builtin import VERSION
    from meshtto.data.datasets.rendering import FORMAT

    check_series(style, count, size, seed, workers, {"poses": (poses, FAMILIES)})
    chosen = None if poses is None else sorted(poses)
    # "look" is the key of `style` in existing caches.
    settings = {"look": style, "size": size, "seed": seed, "poses": chosen, "body": VERSION, "format": FORMAT[style]}
    journal = Journal(folder / "labels.part", "pictures", settings)
    made = _rendered(folder, journal)
    missing = [i for i in range(count) if i not in made]
    if not missing:
        return folder / "labels.npz"
    folder.mkdir(parents=True, exist_ok=True)
    request = {"style": style, "size": size, "seed": seed, "poses": chosen, "device": device}
    shown = with_bar(_render_records(folder, missing, request, workers), len(missing), f"{style} meshes", progress)
    for record in journal.keep(list(made.values()), shown):
        made[record["index"]] = record
    return _finish(folder, journal, made)


def _rendered(folder: Path, journal: Journal) -> dict[int, dict]:
    """Return the labels of existing images, from the finished file and from an interrupted run."""
    made: dict[int, dict] = {}
    if (folder / "labels.npz").exists():
        whole = read_labels(folder / "labels.npz")
        journal.agree(json.loads(str(whole["settings"])))
        for row, index in enumerate(whole["index"].tolist()):
            made[index] = {"index": index, **{name: whole[name][row].tolist() for name in _LABELS}}
    made |= {record["index"]: record for record in journal.records()}
    from meshtto.data.datasets.rendering import image_name

    return {index: record for index, record in made.items() if (folder / image_name(index)).exists()}


def _render_records(folder: Path, missing: list[int], request: dict, workers: int | None) -> Iterator[dict]:
    """Render missing images and yield their labels."""
    from meshtto.data.datasets.rendering import make_record

    workers = default_workers(len(missing)) if workers is None else workers
    if workers == 1:
        for index in missing:
            yield make_record(folder, index, **request)
        return
    from hamipose.synthetic.renderer.raycast import get_renderer
    from meshtto.body import load_body

    get_renderer(request["device"]), load_body()  # build caches before several processes need them
    shared = {"folder": str(folder), **request}
    yield from records_of_processes("meshtto.data.datasets.rendering", missing, workers, shared)


def _finish(folder: Path, journal: Journal, made: dict[int, dict]) -> Path:
    from meshtto.data.datasets.rendering import image_name

    ordered = [made[i] for i in sorted(made)]
    path = folder / "labels.npz"
    unfinished = path.with_suffix(".part.npz")
    arrays: dict[str, Any] = {name: np.array([r[name] for r in ordered], np.float32) for name in _LABELS}
    arrays["visibility"] = arrays["visibility"].astype(np.int8)
    arrays["index"] = np.array([r["index"] for r in ordered])
    arrays["imgname"] = np.array([image_name(r["index"]) for r in ordered])
    arrays["settings"] = np.array(json.dumps(journal.settings))
    np.savez(unfinished, **arrays)
    os.replace(unfinished, path)
    journal.close()
    return path


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
