"""Predictions as the content of an annotation file in COCO keypoint format, which every tool of the field reads."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from hamipose.skeletons import Skeleton

__all__ = ["FoundPerson", "coco_content", "picture_name"]


class FoundPerson(NamedTuple):
    """One person, in pixels of the original image."""

    name: str
    """The image: a path, or path#person; in a video path#frame, or path#frame#person."""
    keypoints_px: Sequence[Sequence[float]]
    confidence: Sequence[float]
    region_px: Sequence[float]
    """Left, top, width and height of what the network was shown."""


def picture_name(name: str, frames: bool = False) -> str:
    """A person's picture: its name without the person's number.

    >>> picture_name("a#b.jpg"), picture_name("a#b.jpg#3")
    ('a#b.jpg', 'a#b.jpg')
    >>> picture_name("clip.mp4#12", frames=True), picture_name("clip.mp4#12#3", frames=True)
    ('clip.mp4#12', 'clip.mp4#12')
    """
    return re.sub(r"(#\d+)#\d+$" if frames else r"#\d+$", r"\1" if frames else "", name)


def coco_content(people: Sequence[FoundPerson], skeleton: Skeleton, *, frames: bool = False) -> dict[str, Any]:
    """Images, annotations with ``keypoints`` (x, y, 2 for each), ``keypoint_scores`` and ``score`` (their mean), names.

    Args:
        people: in the order they are to have.
        skeleton: of all of them.
        frames: whether what follows # in a name is the number of a video's frame, each frame an image of its own.
    """
    images = [picture_name(person.name, frames) for person in people]
    identifier = {name: i for i, name in enumerate(dict.fromkeys(images), 1)}
    annotations = [
        {
            "id": number,
            "image_id": identifier[image],
            "category_id": 1,
            "bbox": [round(float(v), 2) for v in person.region_px],
            "keypoints": [v for x, y in person.keypoints_px for v in (round(float(x), 2), round(float(y), 2), 2)],
            "num_keypoints": len(person.keypoints_px),
            "keypoint_scores": [round(float(score), 4) for score in person.confidence],
            "score": round(float(sum(person.confidence)) / len(person.confidence), 4),
        }
        for number, (person, image) in enumerate(zip(people, images, strict=True), 1)
    ]
    return {
        "images": [{"id": i, "file_name": name} for name, i in identifier.items()],
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_indices],
            }
        ],
    }
