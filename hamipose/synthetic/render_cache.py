"""Folders of rendered images: each image is rendered once, rendering can resume, and series are never mixed.

A folder contains ``images/000000.jpg …`` and, once it is complete, ``annotations.json`` in COCO's format; until then
each image has a sidecar with its record. Several runs can share the work: each renders one shard, and a last run
without a shard writes the annotation file.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.io.json_file import read_json
from hamipose.synthetic.render_jobs import (
    BLOCK,
    check_settings,
    read_sidecars,
    remove_sidecars,
    render_missing,
    write_atomically,
)
from hamipose.synthetic.scene.appearance import check_style

__all__ = ["check_render_options", "read_annotations", "render_folder"]

#: Required fields of each entry of an annotation file.
_FIELDS = {"images": {"id", "file_name", "width", "height"}, "annotations": {"id", "image_id", "keypoints", "bbox"}}


def check_render_options(
    style: str,
    count: int,
    size: int,
    seed: int,
    workers: int | None,
    choices: Mapping[str, tuple[list[str] | None, Collection[str]]],
) -> None:
    """Check the options of a series of rendered images.

    Args:
        style: "plain" or "photo".
        count: number of images.
        size: side of the square images in pixels.
        seed: seed of the series.
        workers: number of rendering processes.
        choices: name of an option → (selected values, or None for all; valid values).

    Raises:
        UserError: an invalid option.
    """
    for name, (selected, valid) in choices.items():
        if selected is not None and (not selected or not set(selected) <= set(valid)):
            raise UserError(f"{name} are {', '.join(selected) or 'empty'}, but must be some of {', '.join(valid)}")
    check_style(style)
    for name, value, minimum in (("count", count, 1), ("size", size, 32), ("seed", seed, 0), ("workers", workers, 1)):
        if value is not None and value < minimum:
            raise UserError(f"{name} is {value}, but must be at least {minimum}")


def render_folder(
    subject: str,
    out: str,
    count: int,
    *,
    style: str,
    size: int,
    seed: int,
    backgrounds: str | None,
    workers: int | None,
    device: str | None,
    progress: bool,
    choices: Mapping[str, tuple[list[str] | None, Collection[str]]],
    options: Mapping[str, Any] | None = None,
    shard: str | None = None,
) -> Path:
    """Render the images that a folder lacks.

    Args:
        subject: "people" or "hands".
        out: output folder.
        count: number of images in the folder.
        style: "plain" or "photo".
        size: side of the square images in pixels.
        seed: seed of the series.
        backgrounds: folder of photographs to use as backgrounds.
        workers: number of rendering processes; default: one per CPU.
        device: "cpu" or "cuda:0"; default: a GPU if available.
        progress: whether to show a progress bar.
        choices: name of an option → (selected values, or None for all; valid values).
        options: further options of the images; those that are None are ignored.
        shard: "3/16" renders only the third of sixteen parts.

    Returns:
        The annotation file, or the folder of a shard.

    Raises:
        UserError: an invalid option, or a folder with images of other settings.
    """
    from hamipose.synthetic.annotations import FORMAT, build_caches
    from hamipose.synthetic.scene.backgrounds import list_photographs

    check_render_options(style, count, size, seed, workers, choices)
    if backgrounds is not None:
        list_photographs(backgrounds)
    number, total = (0, 1) if shard is None else _parse_shard(shard)
    series: dict[str, Any] = {"style": style, "size": size, "seed": seed, "backgrounds": backgrounds}
    series |= {name: sorted(selected) for name, (selected, _) in choices.items() if selected is not None}
    series |= {name: value for name, value in (options or {}).items() if value is not None}
    settings = {"subject": subject, "format": FORMAT[subject][style], **series}

    folder = Path(out)
    records, unfinished = _read_records(folder, settings)
    missing = [i for i in range(count) if i not in records and i // BLOCK % total == number]
    if missing:
        render_missing(
            folder,
            _record_function(subject),
            missing,
            settings,
            {"device": device, **series},
            workers,
            build_caches=lambda: build_caches(subject, device),
            title=f"{style} {subject}",
            progress=progress,
        )
    if shard is not None:
        return folder
    if missing or unfinished:
        _write_annotations(folder, subject, settings)
    return folder / "annotations.json"


def _parse_shard(text: str) -> tuple[int, int]:
    """Return the index of a shard, from 0, and the number of shards.

    Raises:
        UserError: the text does not have the form K/N.
    """
    number, _, total = text.partition("/")
    if number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total):
        return int(number) - 1, int(total)
    raise UserError(f"shard is {text!r}, but must be a number and a total, such as 3/16 for the third of sixteen")


def _record_function(subject: str) -> Callable[..., dict]:
    """Return the function that renders an image of people or hands and returns its record."""
    from hamipose.synthetic import annotations

    return {"people": annotations.make_person_record, "hands": annotations.make_hand_record}[subject]


def _read_records(folder: Path, settings: dict[str, Any]) -> tuple[dict[int, dict], bool]:
    """Return the records of all existing images by image index, and whether some are stored in sidecars."""
    # Sidecars first: another process may move them into the annotation file at any time.
    sidecars = read_sidecars(folder, settings)
    records = {}
    if (folder / "annotations.json").exists():
        content = _read_annotation_file(folder / "annotations.json")
        check_settings(folder, content["info"].get("settings"), settings)
        for image, annotation in zip(content["images"], content["annotations"], strict=True):
            records[image["id"]] = {"image": image, "annotation": annotation}
    records |= sidecars
    existing = {index: r for index, r in records.items() if (folder / r["image"]["file_name"]).exists()}
    return existing, bool(sidecars)


def _write_annotations(folder: Path, subject: str, settings: dict[str, Any]) -> None:
    """Write the annotation file of all images, and remove the sidecars."""
    from hamipose.synthetic.annotations import category

    records, _ = _read_records(folder, settings)
    ordered = [records[index] for index in sorted(records)]
    content = {
        "info": {"description": f"HamiPose synthetic {subject}", "settings": settings},
        "images": [record["image"] for record in ordered],
        "annotations": [record["annotation"] for record in ordered],
        "categories": [category(subject)],
    }
    write_atomically(folder / "annotations.json", json.dumps(content).encode())
    remove_sidecars(folder)


def _read_annotation_file(path: Path) -> dict:
    """Return the checked content of an annotation file.

    Raises:
        UserError: the file is damaged.
    """
    expected = "annotations of rendered images; delete the file and render the images again"
    content = read_json(path, expected)
    images, annotations = (content.get(part) if isinstance(content, dict) else None for part in _FIELDS)
    if not isinstance(images, list) or not isinstance(annotations, list) or len(images) != len(annotations):
        raise UserError(f"annotation file {path} must have one annotation per image; expected {expected}")
    for part, entries in (("images", images), ("annotations", annotations)):
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not entry.keys() >= _FIELDS[part]:
                fields = ", ".join(sorted(_FIELDS[part]))
                raise UserError(f"entry {position} of {part} in {path} lacks one of {fields}; expected {expected}")
    if not isinstance(content.get("info"), dict):
        raise UserError(f"annotation file {path} lacks info; expected {expected}")
    return content


def read_annotations(folder: Path, count: int, subject: str) -> tuple[list[dict], list[dict]]:
    """Return the COCO images and annotations of the first `count` images.

    Raises:
        UserError: the folder contains fewer images.
    """
    path = folder / "annotations.json"
    if not path.exists():
        raise UserError(
            f"{path} does not exist; render the {subject} first, with prepare() or `hamipose data synthesize`"
        )
    content = _read_annotation_file(path)
    images, annotations = content["images"][:count], content["annotations"][:count]
    if len(annotations) < count:
        raise UserError(f"{path} contains {len(annotations)} {subject}, but {count} were requested; call prepare()")
    return images, annotations
