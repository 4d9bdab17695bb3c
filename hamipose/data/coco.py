"""Any folder in COCO keypoint format: one annotation file, keypoints found by the names it gives."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.data.base import KeypointDataset, named_skeleton
from hamipose.errors import InputError
from hamipose.skeletons import Skeleton
from hamipose.types import Sample

__all__ = ["CocoKeypoints"]


@dataclass
class _Annotations:
    """One row a person."""

    files: list[str]
    ids: list[int]
    boxes_px: np.ndarray  # [person, 4]
    keypoints_px: np.ndarray  # [person, keypoint, 2]
    visibility: np.ndarray  # [person, keypoint]


def _parse(path: Path, skeleton: Skeleton, with_area: bool) -> _Annotations:
    """Read the file's people into the skeleton's order; keypoints the file does not have get visibility 0.

    Args:
        path: of the file.
        skeleton: the order.
        with_area: refuse a box without area.

    Raises:
        InputError: the file is missing or of another form.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"annotation file {path} cannot be read ({error.strerror}); expected COCO keypoints") from None
    except ValueError as error:
        raise InputError(f"annotation file {path} is no valid JSON ({error}); expected COCO keypoints") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise InputError(f"annotation file {path} lacks images, annotations or categories; expected COCO keypoints")
    try:
        return _people(content, path, skeleton, with_area)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"annotation file {path} has another form ({type(error).__name__}: {error})") from None


def _box(person: dict[str, Any], path: Path, with_area: bool) -> Float[np.ndarray, "4"]:
    try:
        box = np.asarray(person["bbox"], np.float32)
    except (TypeError, ValueError):
        box = np.zeros(0, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or (with_area and not (box[2:] > 0).all()):
        raise InputError(
            f"annotation {person.get('id')} in {path} has bbox {person['bbox']}, expected left, top, width and height"
            + (" above 0" if with_area else "")
        )
    return box


def _people(content: dict[str, Any], path: Path, skeleton: Skeleton, with_area: bool) -> _Annotations:
    names = next((c["keypoints"] for c in content["categories"] if "keypoints" in c), None)
    if not names:
        raise InputError(f"annotation file {path} names no keypoints in its categories; expected COCO keypoints")
    source = [names.index(k) if k in names else None for k in skeleton.keypoints]
    if all(s is None for s in source):
        raise InputError(f"annotation file {path} has keypoints {', '.join(names[:4])}…, none of {skeleton.name}'s")
    names_of = {image["id"]: image["file_name"] for image in content["images"]}  # every image has both
    images = {image["id"]: image for image in content["images"]}
    people = [a for a in content["annotations"] if any((a.get("keypoints") or ())[2::3])]
    points = np.zeros((len(people), len(skeleton), 3), np.float32)
    boxes = np.zeros((len(people), 4), np.float32)
    files = []
    for row, person in enumerate(people):
        try:
            flat = np.asarray(person["keypoints"], np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"annotation {person.get('id')} in {path}: keypoints are no numbers ({error})") from None
        if flat.shape != (3 * len(names),):
            raise InputError(
                f"annotation {person.get('id')} in {path} has {flat.size} numbers in keypoints, "
                f"expected {3 * len(names)} (x, y, visibility for each of {len(names)} keypoints)"
            )
        if person.get("image_id") not in images:
            raise InputError(f"annotation {person.get('id')} in {path} refers to an image that the file does not list")
        image = images[person["image_id"]]
        files.append(names_of[person["image_id"]])
        triples = flat.reshape(-1, 3)
        for k, s in enumerate(source):
            if s is not None:
                points[row, k] = triples[s]
        if "bbox" in person:
            boxes[row] = _box(person, path, with_area)
        elif {"width", "height"} <= image.keys():
            boxes[row] = (0, 0, image["width"], image["height"])
        else:
            raise InputError(f"annotation {person.get('id')} in {path} has no bbox, nor its image width and height")
    return _Annotations(
        files=files,
        ids=[found if isinstance(found := p.get("id"), int) else i for i, p in enumerate(people)],
        boxes_px=boxes,
        keypoints_px=points[..., :2],
        visibility=points[..., 2].astype(np.int64),
    )


class CocoKeypoints(KeypointDataset):
    """People of a COCO keypoint file that have at least one labelled keypoint.

    Keypoints are matched by name, so that COCO's own 17 serve a network of 16 body joints: those that the file does not
    name count as unlabelled.

    Args:
        root: folder of the data set.
        annotations: the annotation file, relative to `root`.
        images: folder that the file names are relative to, itself relative to `root`.
        skeleton: keypoint order of the samples: body16, coco17, hand21 or lsp14.
        box: "image" crops to the whole picture, "person" to the annotated box enlarged by `padding`.
        padding: see `box`.
        start: position of the first person to use.
        count: how many people to use; all that follow when not given.
        cache: keep decoded pictures in memory.
    """

    def __init__(
        self,
        root: str,
        annotations: str = "annotations.json",
        images: str = "images",
        skeleton: str = "body16",
        box: str = "person",
        padding: float = 1.25,
        start: int = 0,
        count: int | None = None,
        cache: bool = False,
    ):
        if box not in ("image", "person"):
            raise InputError(f"box is {box!r}, expected 'image' or 'person'")
        self.root = Path(root)
        self.annotations = self.root / annotations
        self.images = self.root / images
        self.skeleton = named_skeleton(skeleton)
        self.box = box
        self.padding = padding
        self.start = start
        self.count = count
        self.cache = cache
        self._table: _Annotations | None = None

    @property
    def table(self) -> _Annotations:
        """The annotations, read on first use."""
        if self._table is None:
            self._table = _parse(self.annotations, self.skeleton, self.box == "person")
            if len(self) == 0:
                raise InputError(
                    f"{self.annotations} has {len(self._table.files)} labelled people, none from number {self.start} on"
                )
        return self._table

    def prepare(self) -> None:
        _ = self.table
        first = self.images / self.table.files[self.start]
        if not first.is_file():
            raise InputError(f"image {first}, named in {self.annotations}, does not exist; check the images folder")

    def __len__(self) -> int:
        left = max(0, len(self.table.files) - self.start)
        return left if self.count is None else min(left, self.count)

    def __getitem__(self, index: int) -> Sample:
        row = self.start + index
        path = self.images / self.table.files[row]
        box = self.table.boxes_px[row]
        image, reduction = self.decode(path, box)
        # A pixel of the reduced picture is the mean of a block of `reduction` pixels: its centre lies in their middle.
        keypoints = (self.table.keypoints_px[row] + 0.5) / reduction - 0.5
        box = box / reduction
        height, width = image.shape[:2]
        if self.box == "image":
            box = np.array([0, 0, width, height], np.float32)
        else:
            centre, size = box[:2] + box[2:] / 2, box[2:] * self.padding
            box = np.concatenate([centre - size / 2, size])
        return Sample(
            image=image,
            box_px=box.astype(np.float32),
            name=f"{path}#{self.table.ids[row]}",
            reduction=reduction,
            keypoints_px=keypoints.astype(np.float32),
            visibility=self.table.visibility[row],
        )
