"""A folder of built-in pictures: nothing is made twice, an interrupted run goes on, other series are not mixed in.

``FOLDER/images/000000.jpg …`` and, when all are there, ``FOLDER/annotations.json``; until then a journal keeps the
record of each picture that is made. Several runs may share the work: each makes one shard and leaves its journal, and a
last run without a shard joins them.
"""

import importlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.io.json_file import read_json
from hamipose.synthetic.processes import BLOCK, default_workers, records_of_processes, with_bar
from hamipose.synthetic.resume_log import Journal

__all__ = ["check_series", "complete_folder", "load_annotations", "records_of", "render_folder"]


_FIELDS = {"images": {"id", "file_name", "width", "height"}, "annotations": {"id", "image_id", "keypoints", "bbox"}}


def check_series(
    look: str,
    count: int,
    size: int,
    seed: int,
    workers: int | None,
    choices: Mapping[str, tuple[list[str] | None, Collection[str]]],
) -> None:
    """The options that every series of built-in pictures has.

    Args:
        look: ``plain`` or ``photo``.
        count: how many pictures.
        size: side of the square pictures in pixels.
        seed: which series.
        workers: processes that render.
        choices: by its name, what of a list may be drawn, and the list.

    Raises:
        UserError: one of them makes no sense.
    """
    from hamipose.synthetic.people.sample import LOOKS

    for name, (given, known) in choices.items():
        if given is not None and (not given or not set(given) <= set(known)):
            raise UserError(f"{name} are {', '.join(given) or 'empty'}, expected some of {', '.join(known)}")
    if look not in LOOKS:
        raise UserError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    for name, value, least in (("count", count, 1), ("size", size, 32), ("seed", seed, 0), ("workers", workers, 1)):
        if value is not None and value < least:
            raise UserError(f"{name} is {value}, expected at least {least}")


def render_folder(
    what: str,
    look: str,
    count: int,
    size: int,
    seed: int,
    out: str,
    backgrounds: str | None,
    workers: int | None,
    device: str | None,
    progress: bool,
    choices: Mapping[str, tuple[list[str] | None, Collection[str]]],
    settings: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    shard: str | None = None,
) -> Path:
    """Makes the pictures that are missing from a folder, see :func:`complete_folder`, once all options make sense.

    Args:
        what: ``people`` or ``hands``.
        look: ``plain`` or ``photo``.
        count: how many pictures the folder shall hold.
        size: side of the square pictures in pixels.
        seed: which series.
        out: the folder.
        backgrounds: a folder of photographs to show behind them.
        workers: processes that render; by default one a processor.
        device: ``cpu`` or ``cuda:0``; by default a GPU where there is one.
        progress: show a progress bar.
        choices: by its name, what of a list may be drawn, and the list; what is not given says nothing.
        settings: what else tells this kind of folder from others.
        options: further arguments of the maker that the pictures depend on, where they are given.
        shard: ``"3/16"`` makes the third of sixteen parts of the pictures only.

    Returns:
        The annotation file, or the journal of a shard.

    Raises:
        UserError: an option that makes no sense, or a folder that holds other pictures than those asked for.
    """
    from hamipose.synthetic.scene.backgrounds import photographs

    check_series(look, count, size, seed, workers, choices)
    if backgrounds is not None:
        photographs(backgrounds)
    drawn = {name: sorted(given) for name, (given, _) in choices.items() if given is not None}
    further = {**drawn, **{name: value for name, value in (options or {}).items() if value is not None}}
    series = {"look": look, "size": size, "seed": seed, "backgrounds": backgrounds}
    return complete_folder(
        what,
        Path(out),
        count,
        {**series, **settings, **further},
        {**series, "device": device, **further},
        workers,
        progress,
        None if shard is None else _read_shard(shard),
    )


def _read_shard(text: str) -> tuple[int, int]:
    """Return the number of a shard, from 1, and how many there are.

    Raises:
        UserError: the text does not say so.
    """
    number, _, total = text.partition("/")
    if number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total):
        return int(number), int(total)
    raise UserError(f"shard is {text!r}, expected a number and a total, such as 3/16 for the third of sixteen")


def _maker(what: str) -> Any:
    """The module that makes pictures of people or hands: `make_record`, `category`, `ready`."""
    from hamipose.synthetic.worker import MAKERS

    return importlib.import_module(MAKERS[what])


def complete_folder(
    what: str,
    folder: Path,
    count: int,
    settings: dict,
    arguments: dict,
    workers: int | None,
    progress: bool,
    shard: tuple[int, int] | None = None,
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
        shard: number, from 1, and total: make only the pictures of this shard.

    Returns:
        The annotation file, or the journal of a shard.
    """
    if shard is not None:
        return _complete_shard(what, folder, count, settings, arguments, workers, progress, shard)
    journal = Journal(folder / "annotations.part", what, settings)
    shards = [Journal(path, what, settings) for path in sorted(folder.glob("annotations.*-of-*.part"))]
    made = _made(folder, journal, *shards)
    missing = [i for i in range(count) if i not in made]
    if not missing and not shards:
        return folder / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        records = _records(what, folder, missing, arguments, workers)
        shown = with_bar(records, len(missing), f"{settings['look']} {what}", progress)
        for record in journal.keep(list(made.values()), shown):
            made[record["image"]["id"]] = record
    path = _finish(folder, journal, made)
    for other in [journal, *shards]:
        other.close()
    return path


def _complete_shard(
    what: str,
    folder: Path,
    count: int,
    settings: dict,
    arguments: dict,
    workers: int | None,
    progress: bool,
    shard: tuple[int, int],
) -> Path:
    """Make the missing pictures of one shard; its journal keeps their records. See :func:`complete_folder`."""
    number, total = shard
    journal = Journal(folder / f"annotations.{number}-of-{total}.part", what, settings)
    known = journal.records()
    made = _made(folder, journal)
    # Whole blocks, as one process would make them; see `processes`.
    missing = [i for i in range(count) if i // BLOCK % total == number - 1 and i not in made]
    folder.mkdir(parents=True, exist_ok=True)
    records = _records(what, folder, missing, arguments, workers) if missing else iter(())
    for _ in journal.keep(known, with_bar(records, len(missing), f"{settings['look']} {what}", progress)):
        pass
    return journal.path


def _made(folder: Path, journal: Journal, *others: Journal) -> dict[int, dict]:
    """Records of the pictures that are already there, from the finished file, an interrupted run and other journals."""
    records = []
    if (folder / "annotations.json").exists():
        whole = load_annotations(folder / "annotations.json")
        journal.agree(whole["info"].get("settings"))
        pairs = zip(whole["images"], whole["annotations"], strict=True)
        records += [{"image": i, "annotation": a} for i, a in pairs]
    for one in (journal, *others):
        records += one.records()
    return {r["image"]["id"]: r for r in records if (folder / r["image"]["file_name"]).exists()}


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


def _finish(folder: Path, journal: Journal, made: dict[int, dict]) -> Path:
    ordered = [made[i] for i in sorted(made)]
    whole = {
        "info": {"description": f"HamiPose built-in {journal.what}", "settings": journal.settings},
        "images": [r["image"] for r in ordered],
        "annotations": [r["annotation"] for r in ordered],
        "categories": [_maker(journal.what).category()],
    }
    path = folder / "annotations.json"
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(whole))
    os.replace(unfinished, path)
    return path


def load_annotations(path: Path) -> dict:
    """Return the finished annotation file, with all fields of its records.

    Raises:
        UserError: it is not one.
    """
    expected = "built-in pictures; delete it and make them again"
    content = read_json(path, expected)
    images, annotations = (content.get(part) if isinstance(content, dict) else None for part in _FIELDS)
    if not isinstance(images, list) or not isinstance(annotations, list) or len(images) != len(annotations):
        raise UserError(f"annotation file {path} has no annotation for each of its images; expected {expected}")
    for part, records in (("images", images), ("annotations", annotations)):
        for position, record in enumerate(records):
            if not isinstance(record, dict) or not record.keys() >= _FIELDS[part]:
                fields = ", ".join(sorted(_FIELDS[part]))
                raise UserError(f"entry {position} of {part} in {path} lacks one of {fields}; expected {expected}")
    if not isinstance(content.get("info"), dict):
        raise UserError(f"annotation file {path} lacks info; expected {expected}")
    return content


def records_of(folder: Path, count: int, what: str) -> tuple[list[dict], list[dict]]:
    """Images and annotations of the first `count` pictures.

    Raises:
        UserError: the folder does not hold so many.
    """
    path = folder / "annotations.json"
    if not path.exists():
        raise UserError(f"{path} does not exist; make the {what} first: prepare(), or hamipose data synthesize")
    whole = load_annotations(path)
    images, annotations = whole["images"][:count], whole["annotations"][:count]
    if len(annotations) < count:
        raise UserError(f"{path} holds {len(annotations)} {what}, asked for are {count}; call prepare()")
    return images, annotations
