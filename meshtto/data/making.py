"""Pictures of the built-in body on disk: made once, taken up again where a run was interrupted.

``FOLDER/images/000000.jpg …`` and ``FOLDER/labels.npz``, whose arrays carry the names of SPIN's files where those have
one (``imgname``, ``pose``, ``shape``, ``trans``, ``focal_length``) and those of `meshtto.data.rendering.draw_person`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import InputError
from hamipose.synthetic.processes import default_workers, records_of_processes, with_bar

__all__ = ["make_pictures", "read_labels"]

_JOURNAL = "labels.part"
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
    from hamipose.synthetic.people import LOOKS
    from meshtto.body.builtin import VERSION
    from meshtto.data.rendering import FORMAT

    if look not in LOOKS:
        raise InputError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    if poses is not None and (not poses or not set(poses) <= set(FAMILIES)):
        raise InputError(f"poses are {', '.join(poses) or 'empty'}, expected some of {', '.join(FAMILIES)}")
    for name, value, least in (("count", count, 1), ("size", size, 32), ("seed", seed, 0), ("workers", workers, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    chosen = None if poses is None else sorted(poses)
    settings = {"look": look, "size": size, "seed": seed, "poses": chosen, "body": VERSION, "format": FORMAT}
    made = _made(folder, settings)
    missing = [i for i in range(count) if i not in made]
    if not missing:
        return folder / "labels.npz"
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"look": look, "size": size, "seed": seed, "poses": chosen, "device": device}
    with open(folder / _JOURNAL, "w" if not made else "a") as journal:
        if journal.tell() == 0:
            journal.write(json.dumps(settings) + "\n")
            journal.writelines(json.dumps(record) + "\n" for record in made.values())
        for record in with_bar(_records(folder, missing, asked, workers), len(missing), f"{look} meshes", progress):
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            made[record["index"]] = record
    return _finish(folder, settings, made)


def _made(folder: Path, settings: dict) -> dict[int, dict]:
    """Labels of the pictures that are already there, from the finished file and from an interrupted run."""
    made: dict[int, dict] = {}
    if (folder / "labels.npz").exists():
        whole = read_labels(folder / "labels.npz")
        _agree(folder, json.loads(str(whole["settings"])), settings)
        for row, index in enumerate(whole["index"].tolist()):
            made[index] = {"index": index, **{name: whole[name][row].tolist() for name in _LABELS}}
    if (folder / _JOURNAL).exists():
        complete = (folder / _JOURNAL).read_text().rpartition("\n")[0].splitlines()
        if complete:
            _agree(folder, json.loads(complete[0]), settings)
            made |= {record["index"]: record for record in map(json.loads, complete[1:])}
            (folder / _JOURNAL).write_text("\n".join(complete) + "\n")  # without a torn last line
    from meshtto.data.rendering import picture_name

    return {index: record for index, record in made.items() if (folder / picture_name(index)).exists()}


def _agree(folder: Path, found: dict, asked: dict) -> None:
    if found != asked:
        raise InputError(f"{folder} holds pictures made with {found}, asked for are {asked}; give another folder")


def _records(folder: Path, missing: list[int], asked: dict, workers: int | None) -> Iterator[dict]:
    """The labels of the missing pictures, as they are made."""
    from meshtto.data.rendering import make_record

    workers = default_workers(len(missing)) if workers is None else workers
    if workers == 1:
        for index in missing:
            yield make_record(folder, index, **asked)
        return
    from hamipose.synthetic.raycast import renderer
    from meshtto.body import load_body

    renderer(asked["device"]), load_body()  # build caches once, before several processes want them
    yield from records_of_processes("meshtto.data.worker", missing, workers, {"folder": str(folder), **asked})


def _finish(folder: Path, settings: dict, made: dict[int, dict]) -> Path:
    from meshtto.data.rendering import picture_name

    ordered = [made[i] for i in sorted(made)]
    path = folder / "labels.npz"
    unfinished = path.with_suffix(".part.npz")
    arrays: dict[str, Any] = {name: np.array([r[name] for r in ordered], np.float32) for name in _LABELS}
    arrays["visibility"] = arrays["visibility"].astype(np.int8)
    arrays["index"] = np.array([r["index"] for r in ordered])
    arrays["imgname"] = np.array([picture_name(r["index"]) for r in ordered])
    arrays["settings"] = np.array(json.dumps(settings))
    np.savez(unfinished, **arrays)
    os.replace(unfinished, path)
    (folder / _JOURNAL).unlink()
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
        told = " ".join(str(error).split())[:100]
        raise InputError(f"{path} is damaged ({told}); delete its folder and make the pictures again") from None
