"""Anyone's predicted keypoints, read from COCO files and matched with the people of a data set."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.errors import InputError

__all__ = ["Found", "matched", "read_predictions"]


@dataclass(frozen=True)
class Found:
    """One predicted person.

    Attributes:
        image: the image's number, or its file name.
        keypoints_px: positions in pixels of the original image.
        score: how sure the system is of the person.
    """

    image: int | str
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    score: float


def read_predictions(path: Path) -> tuple[list[Found], list[str] | None]:
    """People of a COCO results file (a list of image_id, keypoints, score) or of a file that `predict` writes.

    ``keypoints`` holds x, y and a third number for each keypoint; the third is not looked at.

    Returns:
        The people, and the keypoints' names where the file has them.

    Raises:
        InputError: it is no such file.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"predictions {path} cannot be read ({error.strerror}); give a COCO keypoint file") from None
    except ValueError as error:
        raise InputError(f"predictions {path} are no valid JSON ({error}); give a COCO keypoint file") from None
    names: list[str] | None = None
    files: dict[Any, Any] = {}
    if isinstance(content, dict):
        if not {"images", "annotations"} <= content.keys():
            raise InputError(
                f"predictions {path} lack images or annotations; give a COCO results list or annotation file"
            )
        try:
            files = {image["id"]: str(image["file_name"]) for image in content["images"]}
            names = next((list(c["keypoints"]) for c in content.get("categories", ()) if "keypoints" in c), None)
        except (KeyError, TypeError) as error:
            raise InputError(f"predictions {path} has another form ({type(error).__name__}: {error})") from None
        content = content["annotations"]
    if not isinstance(content, list) or not content:
        raise InputError(f"predictions {path} hold no people; expected a list of image_id, keypoints and score")
    found = []
    for position, person in enumerate(content):
        if not isinstance(person, dict) or not {"image_id", "keypoints"} <= person.keys():
            raise InputError(f"prediction {position} in {path} lacks image_id or keypoints")
        found.append(_person(person, files, f"prediction {position} in {path}"))
    counts = sorted({len(person.keypoints_px) for person in found})
    if len(counts) > 1 or (names is not None and counts != [len(names)]):
        raise InputError(
            f"predictions {path} have {' or '.join(map(str, counts))} keypoints a person; expected one number"
        )
    return found, names


def _person(person: dict[str, Any], files: dict[Any, Any], what: str) -> Found:
    try:
        flat = np.asarray(person["keypoints"], np.float64)  # null among them is NaN: not predicted
    except (TypeError, ValueError):
        flat = np.array(np.nan)
    if flat.ndim == 0:
        raise InputError(f"{what} has keypoints that are no numbers, expected x, y and a third one for each")
    if flat.ndim != 1 or flat.size == 0 or flat.size % 3:
        raise InputError(f"{what} has {flat.size} numbers in keypoints, expected three for each")
    image, score = person["image_id"], person.get("score", 1.0)
    if not isinstance(image, (int, str)):
        raise InputError(f"{what} has image_id {image!r}, expected a number or a file's name")
    if not isinstance(score, (int, float)):
        raise InputError(f"{what} has score {score!r}, expected a number")
    return Found(files.get(image, image), flat.reshape(-1, 3)[:, :2], float(score))


def matched(
    found: Sequence[Found], names: Sequence[str], image_ids: dict[int, str] | None = None
) -> Float[np.ndarray, "sample keypoint 2"]:
    """The prediction for each sample of a data set.

    Images are matched by file name, or by number: that of the annotation file where the data set has one, else the one
    at the end of the file's name (1001 for im1001.jpg), else the position in the set. Where an image shows one person,
    the prediction with the best score counts; where it shows several, the k-th prediction is the k-th person's.

    Args:
        found: people predicted.
        names: of the samples: a path, and ``#`` with the person's id where an image may show several.
        image_ids: number → file name of the data set's annotation file.

    Raises:
        InputError: an image has no prediction, or another number of people than the data set.
    """
    files = [re.sub(r"#\d+$", "", name) for name in names]
    samples: dict[str, list[int]] = {}
    for position, file in enumerate(files):
        samples.setdefault(file, []).append(position)
    number = _numbers(list(samples), image_ids)
    short = _short(list(samples))
    people: dict[str, list[Found]] = {}
    strange = 0
    for person in found:
        key = number.get(person.image) if isinstance(person.image, int) else short.get(_end(person.image, short))
        strange += key is None
        if key is not None:
            people.setdefault(key, []).append(person)
    lacking = [file for file in samples if file not in people]
    if lacking:
        unknown = f"; {strange} predictions are of images that it does not have" if strange else ""
        raise InputError(
            f"{len(lacking)} of {len(samples)} images have no prediction, {Path(lacking[0]).name} the first{unknown}; "
            "expected one for every image of the data set"
        )
    result = np.zeros((len(names), len(found[0].keypoints_px), 2))
    for file, positions in samples.items():
        own = people[file]
        if len(positions) == 1:
            own = [max(own, key=lambda person: person.score)]
        if len(own) != len(positions):
            raise InputError(
                f"{Path(file).name} shows {len(positions)} labelled people and has {len(own)} predictions; "
                "expected as many, in the same order"
            )
        for position, person in zip(positions, own, strict=True):
            result[position] = person.keypoints_px
    return result


def _numbers(files: list[str], image_ids: dict[int, str] | None) -> dict[int, str]:
    if image_ids is not None:
        by_name = {Path(file).name: file for file in files}
        return {i: by_name[Path(name).name] for i, name in image_ids.items() if Path(name).name in by_name}
    ends = [re.search(r"(\d+)$", Path(file).stem) for file in files]
    if all(ends) and len({int(end[1]) for end in ends if end}) == len(files):
        return {int(end[1]): file for end, file in zip(ends, files, strict=True) if end}
    return dict(enumerate(files))


def _short(files: list[str]) -> dict[str, str]:
    """Files by the shortest ends of their paths that tell them apart."""
    for parts in range(1, 20):
        ends = {"/".join(Path(file).parts[-parts:]): file for file in files}
        if len(ends) == len(files):
            return ends
    return {file: file for file in files}


def _end(name: str, short: dict[str, str]) -> str:
    parts = next(iter(short)).count("/") + 1 if short else 1
    return "/".join(Path(name).parts[-parts:])
