"""A folder of built-in pictures: nothing is made twice, an interrupted run goes on, other series are not mixed in.

``FOLDER/images/000000.jpg …`` and, when all are there, ``FOLDER/annotations.json``; until then a journal keeps the
record of each picture that is made.
"""

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hamipose.errors import InputError
from hamipose.synthetic.processes import default_workers, records_of_processes, with_bar

__all__ = ["check_numbers", "complete_folder", "load_annotations"]

_JOURNAL = "annotations.part"


def check_numbers(count: int, size: int, seed: int, workers: int | None) -> None:
    """Raises `InputError` where one of them makes no sense."""
    for name, value, least in (("count", count, 1), ("size", size, 32), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}, expected at least 1")


def _maker(what: str) -> Any:
    """The module that makes pictures of people or hands: `make_record`, `category`, `ready`."""
    from hamipose.synthetic.worker import MAKERS

    return importlib.import_module(MAKERS[what])


def complete_folder(
    what: str, folder: Path, count: int, settings: dict, arguments: dict, workers: int | None, progress: bool
) -> Path:
    """Makes the pictures that are missing.

    Args:
        what: ``people`` or ``hands``.
        folder: where to.
        count: how many the folder shall hold.
        settings: what the pictures depend on; a folder with others is refused.
        arguments: of the maker's `make_record`.
        workers: processes that render; by default one a processor.
        progress: show a progress bar.

    Returns:
        The annotation file.
    """
    made = _made(what, folder, settings)
    missing = [i for i in range(count) if i not in made]
    if not missing:
        return folder / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _JOURNAL, "w" if not made else "a") as journal:
        if journal.tell() == 0:
            journal.write(json.dumps(settings) + "\n")
            journal.writelines(json.dumps(record) + "\n" for record in made.values())
        records = _records(what, folder, missing, arguments, workers)
        for record in with_bar(records, len(missing), f"{settings['look']} {what}", progress):
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            made[record["image"]["id"]] = record
    return _finish(what, folder, settings, made)


def _made(what: str, folder: Path, settings: dict) -> dict[int, dict]:
    """Records of the pictures that are already there, from the finished file and from an interrupted run."""
    made: dict[int, dict] = {}
    sources = []
    if (folder / "annotations.json").exists():
        whole = load_annotations(folder / "annotations.json")
        pairs = zip(whole["images"], whole["annotations"], strict=True)
        sources.append((whole["info"].get("settings"), [{"image": i, "annotation": a} for i, a in pairs]))
    if (folder / _JOURNAL).exists():
        complete = (folder / _JOURNAL).read_text().rpartition("\n")[0].splitlines()
        if complete:
            sources.append((json.loads(complete[0]), [json.loads(line) for line in complete[1:]]))
            (folder / _JOURNAL).write_text("\n".join(complete) + "\n")  # without a torn last line
    for found, records in sources:
        if found != settings:
            raise InputError(f"{folder} holds {what} made with {found}, asked for are {settings}; give another folder")
        made |= {r["image"]["id"]: r for r in records if (folder / r["image"]["file_name"]).exists()}
    return made


def _records(what: str, folder: Path, missing: list[int], arguments: dict, workers: int | None) -> Iterator[dict]:
    """The records of the missing pictures, as they are made."""
    maker = _maker(what)
    workers = default_workers(len(missing)) if workers is None else workers
    if workers == 1:
        for index in missing:
            yield maker.make_record(folder, index, **arguments)
        return
    maker.ready(arguments["device"])  # builds caches once, before several processes want them
    request = {"what": what, "folder": str(folder), **arguments}
    yield from records_of_processes("hamipose.synthetic.worker", missing, workers, request)


def _finish(what: str, folder: Path, settings: dict, made: dict[int, dict]) -> Path:
    ordered = [made[i] for i in sorted(made)]
    whole = {
        "info": {"description": f"HamiPose built-in {what}", "settings": settings},
        "images": [r["image"] for r in ordered],
        "annotations": [r["annotation"] for r in ordered],
        "categories": [_maker(what).category()],
    }
    path = folder / "annotations.json"
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(whole))
    os.replace(unfinished, path)
    (folder / _JOURNAL).unlink()
    return path


def load_annotations(path: Path) -> dict:
    """The finished annotation file.

    Raises:
        InputError: it is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}); delete it and make the pictures again") from None
