"""Labeled people of a file in COCO keypoint format."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.errors import UserError
from hamipose.geometry.crops import keypoint_box, padded_box, whole_image_box
from hamipose.io.coco import CocoFile, CocoPerson, read_coco
from hamipose.io.coco_records import CocoCategory
from hamipose.io.coco_values import Identifier
from hamipose.io.image_folder import find_missing_files
from hamipose.io.image_names import check_images_exist, locate_images
from hamipose.io.image_orientation import check_image_sizes, is_annotated_upright, read_image_header
from hamipose.io.skipped_records import SkippedRecords
from hamipose.skeletons import Skeleton
from hamipose.types import Sample

__all__ = ["CocoKeypoints"]

_log = logging.getLogger("hamipose")


@dataclass
class _Annotations:
    """Labels of all people."""

    files: list[str]
    ids: list[int]
    boxes_px: np.ndarray  # [person, 4]; NaN: the whole image
    keypoints_px: np.ndarray  # [person, keypoint, 2]
    visibility: np.ndarray  # [person, keypoint]
    sizes: list[tuple[int, int] | None]  # as the file states them
    upright: bool | None  # as the file declares
    image_ids: dict[Identifier, str]  # id → image path
    categories: list[CocoCategory]
    skipped: SkippedRecords


def _box(person: CocoPerson, labeled_px: Float[np.ndarray, "keypoint 2"], file: CocoFile) -> Float[np.ndarray, "4"]:
    """Return the person's box; if the file has none, that of the labeled keypoints."""
    if person.box_px is not None:
        return person.box_px.astype(np.float32)
    box = keypoint_box(labeled_px)
    if (box[2:] >= 1).all():
        file.skipped.add_note("people without bbox are cropped to the box of their labeled keypoints")
        return box
    file.skipped.add_note("people without bbox and with too few labeled keypoints are cropped to the whole image")
    return np.full(4, np.nan, np.float32)


def _read_annotations(path: Path, images: Path, skeleton: Skeleton, with_boxes: bool) -> _Annotations:
    """Return the people of a file with keypoints in the skeleton's order.

    Raises:
        UserError: the file cannot be used, or has no labeled person.
    """
    file = read_coco(path)
    if file.images is None:
        raise UserError(f"annotation file {path} is a list of results, which has no images; expected COCO keypoints")
    people = file.people_with_keypoints(skeleton.keypoints, boxes=with_boxes)
    if not people:
        reasons = f" (skipped {file.skipped.describe()})" if file.skipped.by_reason else ""
        raise UserError(
            f"annotation file {path} has {len(file)} annotations, none with a labeled keypoint of {skeleton.name}"
            f"{reasons}; expected keypoints with a third number above 0"
        )
    keypoints = np.zeros((len(people), len(skeleton), 2), np.float32)
    visibility = np.zeros((len(people), len(skeleton)), np.int64)
    boxes = np.full((len(people), 4), np.nan, np.float32)
    for row, person in enumerate(people):
        assert person.keypoints is not None
        labeled = person.keypoints
        columns = [skeleton.keypoints.index(name) for name in labeled.names if name in skeleton.keypoints]
        used = [k for k, name in enumerate(labeled.names) if name in skeleton.keypoints]
        keypoints[row, columns] = labeled.px[used]
        visibility[row, columns] = labeled.visibility[used]
        if with_boxes:
            boxes[row] = _box(person, labeled.px[labeled.visibility > 0], file)
    names = {image.id: image.file_name for image in file.images.values()}
    matches = locate_images(images, names.values())
    for name, several in matches.ambiguous.items():
        file.skipped.add("image", name, f"could be {' or '.join(several[:2])}")
    paths = {key: matches.found.get(name, str(images / name)) for key, name in names.items()}
    images_of_people = [person.image for person in people]
    return _Annotations(
        files=[paths[image.id] for image in images_of_people if image is not None],
        ids=[p.id if isinstance(p.id, int) and p.id >= 0 else i for i, p in enumerate(people)],
        boxes_px=boxes,
        keypoints_px=keypoints,
        visibility=visibility,
        sizes=[image.size for image in images_of_people if image is not None],
        upright=file.upright,
        image_ids=paths,
        categories=file.categories,
        skipped=file.skipped,
    )


class CocoKeypoints(KeypointDataset):
    """People of a COCO keypoint file that have at least one labeled keypoint of the skeleton.

    Keypoints are matched by name, in any spelling of :mod:`hamipose.keypoint_names`; keypoints that the file does not
    name are not labeled. Annotations that cannot be used are skipped, and one warning counts and names them.

    Annotations are in pixels of the stored image, or of the upright image if the file says so (``info.upright``) or
    states the width and height of the upright image; an image of another size is an error.

    Args:
        root: folder of the data set.
        annotations: the annotation file, relative to `root`.
        images: folder of the images, relative to `root`.
        skeleton: keypoint order of the samples: body16, coco17, hand21 or lsp14.
        box: "image" crops to the whole image, "person" to the annotated box enlarged by `padding`.
        padding: see `box`.
        start: position of the first person to use.
        count: number of people to use; default: all from `start` on.
        cache: keep decoded images in memory.
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
            raise UserError(f"box is {box!r}, expected 'image' or 'person'")
        self.root = Path(root)
        self.annotations = self.root / annotations
        self.images = self.root / images
        self.skeleton = get_skeleton(skeleton)
        self.box = box
        self.padding = padding
        self.start = start
        self.count = count
        self.cache = cache
        self._labels: _Annotations | None = None

    @property
    def labels(self) -> _Annotations:
        """Return the annotations, read on first use, when skipped ones are logged, too."""
        if self._labels is None:
            self._labels = _read_annotations(self.annotations, self.images, self.skeleton, self.box == "person")
            self._labels.skipped.warn()
            if len(self) == 0:
                raise UserError(
                    f"{self.annotations} has {len(self._labels.files)} labeled people, none from number {self.start} on"
                )
        return self._labels

    @property
    def image_ids(self) -> Mapping[Identifier, str]:
        """Return the image path of each image id."""
        return self.labels.image_ids

    @property
    def categories(self) -> list[CocoCategory]:
        """Return the file's categories, which state the keypoint order of result files."""
        return self.labels.categories

    @property
    def upright(self) -> bool:  # type: ignore[override]
        """Return whether the file states that its pixels are those of upright images."""
        return bool(self.labels.upright)

    def is_upright(self, index: int) -> bool:
        """Return whether the annotations of an item are in pixels of the upright image."""
        row = self.start + index
        return self._is_upright(Path(self.labels.files[row]), self.labels.sizes[row])

    def _is_upright(self, path: Path, stated: tuple[int, int] | None) -> bool:
        header = None if stated is None and not self.labels.upright else read_image_header(path)
        if header is None:  # no size to compare with, or an unreadable file, which decoding reports
            return bool(self.labels.upright)
        return is_annotated_upright(path, header, stated, self.labels.upright, self.annotations)

    @property
    def image_sizes(self) -> dict[str, tuple[int, int] | None]:
        """Return the used images with the width and height that the file states."""
        used = range(self.start, self.start + len(self))
        return {self.labels.files[row]: self.labels.sizes[row] for row in used}

    def prepare(self) -> None:
        """Check that images exist, and that the sizes of a sample of them are right.

        Some may be missing: training replaces them, and a warning counts them.
        """
        sizes = self.image_sizes
        missing = [str(path) for path in find_missing_files(map(Path, sizes))]
        if len(missing) == len(sizes):
            check_images_exist(missing, self.annotations)
        elif missing:
            _log.warning(
                "%s: %d of its %d images do not exist; the first is %s",
                *(self.annotations, len(missing), len(sizes), missing[0]),
            )
        check_image_sizes(sizes, self.labels.upright, self.annotations)

    def __len__(self) -> int:
        available = max(0, len(self.labels.files) - self.start)
        return available if self.count is None else min(available, self.count)

    def __getitem__(self, index: int) -> Sample:
        row = self.start + index
        path, stated = Path(self.labels.files[row]), self.labels.sizes[row]
        box: Any = self.labels.boxes_px[row]
        whole = self.box == "image" or bool(np.isnan(box).any())
        if whole:
            box = None if stated is None else whole_image_box(*stated)
        image, reduction = self.decode(path, box, self._is_upright(path, stated))
        height, width = image.shape[:2]
        actual = width * reduction, height * reduction  # up to a block of `reduction` pixels at the edges
        if stated and max(abs(actual[0] - stated[0]), abs(actual[1] - stated[1])) >= reduction:
            raise UserError(
                f"image {path} has {actual[0]} × {actual[1]} px, but {self.annotations} states "
                f"{stated[0]} × {stated[1]} px; give the images that were annotated"
            )
        # A pixel of the reduced image is the mean of a block, at whose center it lies.
        keypoints = (self.labels.keypoints_px[row] + 0.5) / reduction - 0.5
        box = whole_image_box(width, height) if whole else padded_box(box / reduction, self.padding)
        return Sample(
            image=image,
            box_px=box.astype(np.float32),
            name=f"{path}#{self.labels.ids[row]}",
            reduction=reduction,
            keypoints_px=keypoints.astype(np.float32),
            visibility=self.labels.visibility[row],
        )
