"""People of an annotation file in COCO keypoint format, whichever program wrote it."""

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
    """One row per person."""

    files: list[str]
    ids: list[int]
    boxes_px: np.ndarray  # [person, 4]; NaN: the whole picture
    keypoints_px: np.ndarray  # [person, keypoint, 2]
    visibility: np.ndarray  # [person, keypoint]
    sizes: list[tuple[int, int] | None]  # as the file states them
    upright: bool | None  # as the file declares
    image_ids: dict[Identifier, str]  # → picture
    categories: list[CocoCategory]
    skipped: SkippedRecords


def _box(person: CocoPerson, labeled_px: Float[np.ndarray, "keypoint 2"], file: CocoFile) -> Float[np.ndarray, "4"]:
    """Return the person's box; that of the labeled keypoints where the file has none."""
    if person.box_px is not None:
        return person.box_px.astype(np.float32)
    box = keypoint_box(labeled_px)
    if (box[2:] >= 1).all():
        file.skipped.add_note("people without bbox are shown in the box of their labeled keypoints")
        return box
    file.skipped.add_note("people without bbox and with too few labeled keypoints are shown as the whole picture")
    return np.full(4, np.nan, np.float32)


def _table(path: Path, images: Path, skeleton: Skeleton, with_boxes: bool) -> _Annotations:
    """Return the file's people in the skeleton's order.

    Raises:
        UserError: the file cannot be used, or has no labeled person.
    """
    file = read_coco(path)
    if file.images is None:
        raise UserError(
            f"annotation file {path} is a list of results, which names no pictures; expected COCO keypoints"
        )
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
        found = person.keypoints
        places = [skeleton.keypoints.index(name) for name in found.names if name in skeleton.keypoints]
        taken = [k for k, name in enumerate(found.names) if name in skeleton.keypoints]
        keypoints[row, places] = found.px[taken]
        visibility[row, places] = found.visibility[taken]
        if with_boxes:
            boxes[row] = _box(person, found.px[found.visibility > 0], file)
    names = {image.id: image.file_name for image in file.images.values()}
    where = locate_images(images, names.values())
    for name, several in where.ambiguous.items():
        file.skipped.add("image", name, f"could be {' or '.join(several[:2])}")
    paths = {key: where.found.get(name, str(images / name)) for key, name in names.items()}
    pictures = [person.image for person in people]
    return _Annotations(
        files=[paths[image.id] for image in pictures if image is not None],
        ids=[p.id if isinstance(p.id, int) and p.id >= 0 else i for i, p in enumerate(people)],
        boxes_px=boxes,
        keypoints_px=keypoints,
        visibility=visibility,
        sizes=[image.size for image in pictures if image is not None],
        upright=file.upright,
        image_ids=paths,
        categories=file.categories,
        skipped=file.skipped,
    )


class CocoKeypoints(KeypointDataset):
    """People of a COCO keypoint file that have at least one labeled keypoint of the skeleton.

    Keypoints are matched by name, in any spelling that :mod:`hamipose.keypoint_names` knows, so COCO's own 17 serve a
    network of 16 body joints: those that the file does not name count as unlabeled. What cannot be used is skipped,
    and counted and named in one warning.

    Annotations are in pixels of the stored picture, or of the upright one if the file says so (``info.upright``) or if
    its width and height are those of the upright picture; a picture of another size is an error.

    Args:
        root: folder of the data set.
        annotations: the annotation file, relative to `root`.
        images: folder that the file names are relative to, itself relative to `root`.
        skeleton: keypoint order of the samples: body16, coco17, hand21 or lsp14.
        box: "image" crops to the whole picture, "person" to the annotated box enlarged by `padding`.
        padding: see `box`.
        start: position of the first person to use.
        count: how many people to use; default: all that follow.
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
        self._table: _Annotations | None = None

    @property
    def table(self) -> _Annotations:
        """The annotations, read on first use; what is skipped is logged then."""
        if self._table is None:
            self._table = _table(self.annotations, self.images, self.skeleton, self.box == "person")
            self._table.skipped.warn()
            if len(self) == 0:
                raise UserError(
                    f"{self.annotations} has {len(self._table.files)} labeled people, none from number {self.start} on"
                )
        return self._table

    @property
    def image_ids(self) -> Mapping[Identifier, str]:
        """The picture of each id of the file."""
        return self.table.image_ids

    @property
    def categories(self) -> list[CocoCategory]:
        """Those of the file, which say in which order results for it have their keypoints."""
        return self.table.categories

    @property
    def upright(self) -> bool:  # type: ignore[override]
        """Whether the file says that its pixels are those of upright pictures."""
        return bool(self.table.upright)

    def is_upright(self, index: int) -> bool:
        row = self.start + index
        return self._turned(Path(self.table.files[row]), self.table.sizes[row])

    def _turned(self, path: Path, stated: tuple[int, int] | None) -> bool:
        header = None if stated is None and not self.table.upright else read_image_header(path)
        if header is None:  # no size to compare with, or a file that decoding will refuse
            return bool(self.table.upright)
        return is_annotated_upright(path, header, stated, self.table.upright, self.annotations)

    @property
    def pictures(self) -> dict[str, tuple[int, int] | None]:
        """The pictures that are used, with width and height as the file states them."""
        used = range(self.start, self.start + len(self))
        return {self.table.files[row]: self.table.sizes[row] for row in used}

    def prepare(self) -> None:
        """Check that pictures are there, and that the sizes of some from all over the file are right.

        Some may be missing: training replaces them, and a warning names and counts them.
        """
        pictures = self.pictures
        missing = [str(path) for path in find_missing_files(map(Path, pictures))]
        if len(missing) == len(pictures):
            check_images_exist(missing, self.annotations)
        elif missing:
            _log.warning(
                "%s: %d of its %d pictures do not exist, %s the first",
                *(self.annotations, len(missing), len(pictures), missing[0]),
            )
        check_image_sizes(pictures, self.table.upright, self.annotations)

    def __len__(self) -> int:
        left = max(0, len(self.table.files) - self.start)
        return left if self.count is None else min(left, self.count)

    def __getitem__(self, index: int) -> Sample:
        row = self.start + index
        path, stated = Path(self.table.files[row]), self.table.sizes[row]
        box: Any = self.table.boxes_px[row]
        whole = self.box == "image" or bool(np.isnan(box).any())
        if whole:
            box = None if stated is None else whole_image_box(*stated)
        image, reduction = self.decode(path, box, self._turned(path, stated))
        height, width = image.shape[:2]
        shown = width * reduction, height * reduction  # up to a block of `reduction` pixels at the edges
        if stated and max(abs(shown[0] - stated[0]), abs(shown[1] - stated[1])) >= reduction:
            raise UserError(
                f"image {path} has {shown[0]} × {shown[1]} px, but {self.annotations} states "
                f"{stated[0]} × {stated[1]} px; give the pictures that were annotated"
            )
        # A pixel of the reduced picture is the mean of a block of `reduction` pixels: its center lies in their middle.
        keypoints = (self.table.keypoints_px[row] + 0.5) / reduction - 0.5
        box = whole_image_box(width, height) if whole else padded_box(box / reduction, self.padding)
        return Sample(
            image=image,
            box_px=box.astype(np.float32),
            name=f"{path}#{self.table.ids[row]}",
            reduction=reduction,
            keypoints_px=keypoints.astype(np.float32),
            visibility=self.table.visibility[row],
        )
