"""People in pictures by the boxes of an annotation file, which any detector can write, ours included."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.data.base import UnlabeledDataset
from hamipose.errors import UserError
from hamipose.geometry.crops import padded_box, whole_image_box
from hamipose.io.coco import CocoFile, CocoPerson, read_coco
from hamipose.io.image_names import ImageMatches, check_images_exist, locate_images, match_images
from hamipose.io.image_orientation import check_image_sizes, is_annotated_upright, orient_box, read_image_header
from hamipose.io.json_file import format_value
from hamipose.io.video import VideoDecoder, check_video, compute_frame_rate, describe_lost_frames, read_frame_times
from hamipose.types import UnlabeledSample

__all__ = ["ImagePersonCrops", "VideoPersonCrops", "coco_box_content"]


def coco_box_content(
    pictures: Mapping[str, tuple[int, int]],
    people: Mapping[str, Sequence[Sequence[float]]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return people as the content of a COCO annotation file.

    Args:
        pictures: width and height of each, those without people too, in the order they are to have.
        people: left, top, width, height and score of those in each picture.
        about: becomes ``info``; ``upright: true`` says that pixels are those of upright pictures.
    """
    annotations = [
        {
            "image_id": number,
            "category_id": 1,
            "bbox": [round(float(v), 2) for v in box],
            "area": round(float(box[2] * box[3]), 2),
            "iscrowd": 0,
            "score": round(float(score), 4),
        }
        for number, name in enumerate(pictures, 1)
        for *box, score in people.get(name, ())
    ]
    return {
        "info": dict(about),
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(pictures.items(), 1)
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
        "categories": [{"id": 1, "name": "person"}],
    }


def _read(path: Path, whole: bool) -> tuple[CocoFile, list[CocoPerson]]:
    """Return the file and its people that have boxes; what is skipped is logged.

    Args:
        path: of the file.
        whole: add a person without a box for each picture that has none, and sort people by picture.

    Raises:
        UserError: the file cannot be read, or has no person.
    """
    file = read_coco(path, "box file")
    people = file.people_with_boxes()
    if whole and file.images:
        boxed = {person.image_name for person in people}
        empty = [
            CocoPerson(-1, None, number, image, None, None, None, None)
            for number, image in file.images.items()
            if image.file_name not in boxed and image.size is not None
        ]
        place = {image.file_name: i for i, image in enumerate(file.images.values())}
        people = sorted([*people, *empty], key=lambda person: place[str(person.image_name)])
    if not people:
        reasons = f" (skipped {file.skipped.describe()})" if file.skipped.by_reason else ""
        raise UserError(f"box file {path} has no annotation that can be used{reasons}; expected a box for each person")
    file.skipped.warn()
    return file, people


class ImagePersonCrops(UnlabeledDataset):
    """People in a folder of pictures, where an annotation file or a list of results has a box for them.

    A number ``rotation_deg`` of an annotation turns the crop, for people who are not upright in the picture.

    Pictures are upright: turned as their orientation tags say. Boxes in pixels of the stored pictures are turned with
    them; see :func:`hamipose.io.image_orientation.is_annotated_upright` for how the two are told apart.

    Args:
        root: folder that the file names of the annotations are relative to.
        boxes: COCO annotation file or list of results with ``bbox``; only people are used.
        margin: what is shown is this many times the box.
        cache: keep decoded pictures in memory.
        only: file name of the one picture that is used; default: all.
        whole: also show pictures of the file in which it has no person, each as a whole.
    """

    upright = True

    def __init__(
        self,
        root: str,
        boxes: str,
        margin: float = 1.25,
        cache: bool = False,
        only: str | None = None,
        whole: bool = False,
    ):
        self.root = Path(root)
        self.boxes = Path(boxes)
        self.margin = margin
        self.cache = cache
        self.only = only
        self.whole = whole

    @cached_property
    def _content(self) -> tuple[CocoFile, list[CocoPerson]]:
        return _read(self.boxes, self.whole)

    @cached_property
    def people(self) -> list[tuple[str, CocoPerson]]:
        """Picture and box of each person, read on first use; those of one picture follow each other.

        Raises:
            UserError: the file cannot be read, has nobody in the picture that is used, or names several alike.
        """
        _, people = self._content
        names = list(dict.fromkeys(person.image_name for person in people))
        where: ImageMatches[str | int]
        if self.only is None:
            where = locate_images(self.root, names)
        else:
            where = match_images({name: name for name in names}, [str(self.root.absolute() / self.only)])
            where.found = dict.fromkeys(where.found, str(self.root / self.only))
        if where.ambiguous and (self.only is None or not where.found):
            name, several = next(iter(where.ambiguous.items()))
            could = " or ".join(several[:2]) if len(several) > 1 else f"{several[0]}, as could another of its names"
            raise UserError(
                f"box file {self.boxes} names {format_value(name)}, which could be {could}; give their folders"
            )
        paths = {name: where.found.get(name, str(self.root / str(name))) for name in names}
        found = [(paths[p.image_name], p) for p in people if self.only is None or p.image_name in where.found]
        if not found:
            raise UserError(f"box file {self.boxes} has no box for {self.only}")
        place = {path: i for i, path in enumerate(dict.fromkeys(path for path, _ in found))}
        return sorted(found, key=lambda person: place[person[0]])

    def prepare(self) -> None:
        """Check that all pictures are there, and that the sizes of some are those that the file states."""
        pictures = {path: person.image.size if person.image else None for path, person in self.people}
        check_images_exist(list(pictures), self.boxes)
        check_image_sizes(pictures, self._content[0].upright, self.boxes)

    def __len__(self) -> int:
        return len(self.people)

    def _box(self, path: str, person: CocoPerson) -> Float[np.ndarray, "4"]:
        """Return the person's box in the upright picture."""
        stated = person.image.size if person.image else None
        box = person.box_px
        if box is None:
            assert stated is not None
            box = whole_image_box(*stated)
        header = read_image_header(path)
        if header is None:  # decoding will say why
            return box
        upright = is_annotated_upright(path, header, stated, self._content[0].upright, self.boxes)
        return box if upright else orient_box(box, header)

    def __getitem__(self, index: int) -> UnlabeledSample:
        path, person = self.people[index]
        margin = 1.0 if person.box_px is None else self.margin
        box = padded_box(self._box(path, person), margin).astype(np.float32)
        image, reduction = self.decode(Path(path), box)
        return UnlabeledSample(
            image,
            box_px=box / reduction,
            name=f"{path}#{index}",
            reduction=reduction,
            rotation_deg=person.rotation_deg,
        )


class VideoPersonCrops(UnlabeledDataset):
    """People in a video, where an annotation file has a box for them; each frame is an image ``VIDEO#NUMBER`` in it.

    Args:
        path: the video file.
        boxes: COCO annotation file or list of results with ``bbox``; a file name is the video's, # and the number of a
            frame, 0 the first. Those of other videos are skipped.
        frame_stride: use every n-th frame: 0, n, 2n, … of those in the file.
        margin: what is shown is this many times the box.
        whole: also show frames of the file in which it has no person, each as a whole.
    """

    upright = True

    def __init__(self, path: str, boxes: str, frame_stride: int = 1, margin: float = 1.25, whole: bool = False):
        if frame_stride < 1:
            raise UserError(f"frame_stride of VideoPersonCrops is {frame_stride}, expected at least 1")
        self.path = Path(path)
        self.boxes = Path(boxes)
        self.frame_stride = frame_stride
        self.margin = margin
        self.whole = whole
        self._decoder = VideoDecoder()

    @cached_property
    def people(self) -> list[tuple[int, CocoPerson]]:
        """Number of the frame and box of each person, by frame; read on first use.

        Raises:
            UserError: the file cannot be read, names something else than frames, or no frame that is used.
        """
        named = []
        for person in _read(self.boxes, self.whole)[1]:
            video, _, number = str(person.image_name).rpartition("#")
            if not video or not number.isdecimal() or len(number) > 9:
                raise UserError(
                    f"box file {self.boxes} has boxes for {format_value(person.image_name)[1:-1]}; expected frames of "
                    f"{self.path.name}, such as {self.path.name}#0 for the first one"
                )
            named.append((video, int(number), person))
        videos = {video: video for video, _, _ in named}
        own = match_images(videos, [str(self.path.absolute())])
        if own.ambiguous and not own.found:
            alike = " and ".join(format_value(video) for video in list(own.ambiguous)[:2])
            raise UserError(
                f"box file {self.boxes} has boxes for {alike}, each of which could be {self.path}; give a file for one "
                "video"
            )
        found = [(n, person) for video, n, person in named if video in own.found and n % self.frame_stride == 0]
        if not found:
            others = sorted({Path(video).name for video in videos if video not in own.found})
            frames = f" in every {self.frame_stride}th frame" if self.frame_stride > 1 else ""
            but = f", but for {', '.join(others[:3])}" if others else ""
            raise UserError(f"box file {self.boxes} has no box for {self.path.name}{frames}{but}")
        return sorted(found, key=lambda person: person[0])

    @cached_property
    def times_ms(self) -> Float[np.ndarray, " frame"]:
        """When each frame of the file is shown, found on first use."""
        return read_frame_times(self.path)

    @property
    def rate(self) -> float:
        """Frames per second, from one with people to the next."""
        numbers = np.unique([number for number, _ in self.people])
        step = int(np.median(np.diff(numbers))) if len(numbers) > 1 else 1
        return compute_frame_rate(self.times_ms[::step])

    def prepare(self) -> None:
        """Check that the video has all frames, in the size that the file states."""
        last, count = self.people[-1][0], len(self.times_ms)
        if last >= count:
            raise UserError(f"box file {self.boxes} has boxes for frame {last} of {self.path}, which has {count}")
        _ = self[0]

    def check(self) -> None:
        """Check the boxes and that the file is a video; `prepare` decodes all of it."""
        _ = self.people
        check_video(self.path)

    def skipped_messages(self) -> list[str]:
        """Return a line if the video ends early or frames of it cannot be decoded."""
        lost = describe_lost_frames(self.path, self.times_ms)
        return [] if lost is None else [lost]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> UnlabeledSample:
        number, person = self.people[index]
        image = self._decoder.frame(self.path, number, self.times_ms)
        height, width = image.shape[:2]
        if person.image is not None and person.image.size not in (None, (width, height)):
            raise UserError(
                f"frame {number} of {self.path} has {width} × {height} px, but {self.boxes} states "
                f"{person.image.width} × {person.image.height} px; expected boxes for this video"
            )
        box = whole_image_box(width, height) if person.box_px is None else padded_box(person.box_px, self.margin)
        name = f"{self.path}#{number}#{index}"
        return UnlabeledSample(image=image, box_px=box.astype(np.float32), name=name, rotation_deg=person.rotation_deg)
