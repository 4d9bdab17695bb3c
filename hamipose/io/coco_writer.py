"""Write predictions in COCO keypoint format."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hamipose.io.media_types import VIDEO_SUFFIXES
from hamipose.skeletons import Skeleton

__all__ = ["PredictedPerson", "build_coco", "image_name"]


class PredictedPerson(NamedTuple):
    """Prediction for one person, in pixels of the original image."""

    name: str
    """Name of the image: path or path#person; for a video path#frame or path#frame#person."""
    keypoints_px: Sequence[Sequence[float]]
    confidence: Sequence[float]
    region_px: Sequence[float]
    """Left, top, width and height of the crop that was the input of the network."""
    size_px: tuple[int, int] | None = None
    """Width and height of the image."""


def image_name(name: str) -> str:
    """Return the name of a person's image: without the number of the person, but with the frame of a video or webcam.

    >>> image_name("a#b.jpg"), image_name("a#b.jpg#3")
    ('a#b.jpg', 'a#b.jpg')
    >>> image_name("clip.mp4#12"), image_name("clip.mp4#12#3"), image_name("webcam:0#7#1")
    ('clip.mp4#12', 'clip.mp4#12', 'webcam:0#7')
    """
    match = re.fullmatch(r"(.*?)((?:#\d+){0,2})", name, re.DOTALL)
    assert match is not None
    source, numbers = match[1], match[2].split("#")[1:]
    is_sequence = source.startswith("webcam:") or Path(source).suffix.lower() in VIDEO_SUFFIXES
    if is_sequence:
        return "#".join([source, *numbers[:1]])
    return "#".join([source, *numbers[:-1]])


def _triple(x: float, y: float, score: float) -> tuple[float, float, int]:
    """Return x, y and the visibility of COCO; a position that is not finite becomes (0, 0) with visibility 0."""
    if not (math.isfinite(x) and math.isfinite(y)):
        return 0.0, 0.0, 0
    return round(x, 2), round(y, 2), 2 if score > 0 else 0


def _annotation(number: int, image: int, person: PredictedPerson) -> dict[str, Any]:
    scores = [float(score) if math.isfinite(score) else 0.0 for score in person.confidence]
    triples = [_triple(float(x), float(y), s) for (x, y), s in zip(person.keypoints_px, scores, strict=True)]
    box = [round(float(v), 2) for v in person.region_px]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": box,
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
        "keypoints": [value for triple in triples for value in triple],
        "num_keypoints": sum(visible > 0 for *_, visible in triples),
        "keypoint_scores": [round(score, 4) for score in scores],
        "score": round(sum(scores) / len(scores), 4),
    }


def build_coco(people: Sequence[PredictedPerson], skeleton: Skeleton, *, upright: bool = True) -> dict[str, Any]:
    """Return the content of a COCO annotation file: ``info``, ``images``, ``annotations`` and ``categories``.

    An annotation has ``keypoints`` (x, y, and 2, or 0 if the confidence is 0), ``keypoint_scores``, ``score`` (their
    mean), and the crop as ``bbox`` and ``area``. The list of annotations is also a valid list of results.

    Args:
        people: predictions, in the order of the annotations.
        skeleton: skeleton of all predictions.
        upright: whether pixels are those of images rotated by their orientation tags; False: of stored images.
    """
    names = [image_name(person.name) for person in people]
    sizes = {name: person.size_px for name, person in zip(names, people, strict=True)}
    images: list[dict[str, Any]] = []
    for number, (name, size) in enumerate(sizes.items(), 1):
        stated = {} if size is None else {"width": int(size[0]), "height": int(size[1])}
        images.append({"id": number, "file_name": name, **stated})
    number_of = {image["file_name"]: image["id"] for image in images}
    return {
        "info": {"description": "keypoints predicted by hamipose", "upright": upright},
        "images": images,
        "annotations": [
            _annotation(number, number_of[name], person)
            for number, (name, person) in enumerate(zip(names, people, strict=True), 1)
        ],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_indices],
            }
        ],
    }
