"""Pictures of the built-in body on disk: made once, taken up again where a run was interrupted.

``FOLDER/images/000000.jpg …`` and ``FOLDER/labels.npz``, whose arrays carry the names of SPIN's files where those have
one (``imgname``, ``pose``, ``shape``, ``trans``, ``focal_length``), and those of `draw_person`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.data.journal import Journal
from hamipose.data.rendered_folder import check_series
from hamipose.errors import InputError
from hamipose.io.foreign import explain, reason
from hamipose.synthetic.processes import default_workers, records_of_processes, with_bar

__all__ = ["make_pictures", "read_labels"]

_LABELS = ("pose", "shape", "trans", "focal_length", "keypoints", "visibility", "joints")


def make_pictures(
    folder: Path,
    look: str,
    count: int,
    size: int,
    seed: int,
    poses: list[str] | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Path:
    """Renders the pictures that are missing from a folder.

    Picture i depends on look, seed, i, size and poses only: not on how many are made, in what order or by how many
    processes.

    Args:
        folder: where they go.
        look: "plain" or "photo".
        count: how many pictures the folder shall hold.
        size: side of the square pictures in pixels.
        seed: which series.
        poses: families of poses to draw from; all where None.
        workers: processes that render; by default one a processor.
        device: "cpu" or "cuda:0"; by default a GPU where there is one.
        progress: show a progress bar.

    Returns:
        The file of labels.

    Raises:
        InputError: an option that makes no sense, or a folder with other pictures than those asked for.
    """
    from hamipose.synthetic.families import FAMILIES
    from meshtto.body.builtin import VERSION
    from meshtto.data.datasets.rendering import FORMAT

    check_series(look, count, size, seed, workers, {"poses": (poses, FAMILIES)})
    chosen = None if poses is None else sorted(poses)
    settings = {"look": look, "size": size, "seed": seed, "poses": chosen, "body": VERSION, "format": FORMAT[look]}
    journal = Journal(folder / "labels.part", "pictures", settings)
    made = _made(folder, journal)
    missing = [i for i in range(count) if i not in made]
    if not missing:
        return folder / "labels.npz"
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"look": look, "size": size, "seed": seed, "poses": chosen, "device": device}
    shown = with_bar(_records(folder, missing, asked, workers), len(missing), f"{look} meshes", progress)
    for record in journal.keep(list(made.values()), shown):
        made[record["index"]] = record
    return _finish(folder, journal, made)


def _made(folder: Path, journal: Journal) -> dict[int, dict]:
    """Labels of the pictures that are already there, from the finished file and from an interrupted run."""
    made: dict[int, dict] = {}
    if (folder / "labels.npz").exists():
        whole = read_labels(folder / "labels.npz")
        journal.agree(json.loads(str(whole["settings"])))
        for row, index in enumerate(whole["index"].tolist()):
            made[index] = {"index": index, **{name: whole[name][row].tolist() for name in _LABELS}}
    made |= {record["index"]: record for record in journal.records()}
    from meshtto.data.datasets.rendering import picture_name

    return {index: record for index, record in made.items() if (folder / picture_name(index)).exists()}


def _records(folder: Path, missing: list[int], asked: dict, workers: int | None) -> Iterator[dict]:
    """The labels of the missing pictures, as they are made."""
    from meshtto.data.datasets.rendering import make_record

    workers = default_workers(len(missing)) if workers is None else workers
    if workers == 1:
        for index in missing:
            yield make_record(folder, index, **asked)
        return
    from hamipose.synthetic.raycast import renderer
    from meshtto.body import load_body

    renderer(asked["device"]), load_body()  # build caches once, before several processes want them
    yield from records_of_processes(
        "meshtto.data.datasets.rendering", missing, workers, {"folder": str(folder), **asked}
    )


def _finish(folder: Path, journal: Journal, made: dict[int, dict]) -> Path:
    from meshtto.data.datasets.rendering import picture_name

    ordered = [made[i] for i in sorted(made)]
    path = folder / "labels.npz"
    unfinished = path.with_suffix(".part.npz")
    arrays: dict[str, Any] = {name: np.array([r[name] for r in ordered], np.float32) for name in _LABELS}
    arrays["visibility"] = arrays["visibility"].astype(np.int8)
    arrays["index"] = np.array([r["index"] for r in ordered])
    arrays["imgname"] = np.array([picture_name(r["index"]) for r in ordered])
    arrays["settings"] = np.array(json.dumps(journal.settings))
    np.savez(unfinished, **arrays)
    os.replace(unfinished, path)
    journal.close()
    return path


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder's labels.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; make the pictures first: prepare() of the data set") from None
    except Exception as error:  # damaged bytes can raise anything
        told = f"{explain(path, 'a NumPy archive (.npz)')} ({reason(error)})"
        raise InputError(f"{path} {told}; delete its folder and make the pictures again") from None
