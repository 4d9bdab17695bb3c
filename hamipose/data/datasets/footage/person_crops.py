"""People in images or videos, cropped by the bounding boxes of an annotation file, as a person detector writes it."""

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
    images: Mapping[str, tuple[int, int]],
    people: Mapping[str, Sequence[Sequence[float]]],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """Return people as the content of a COCO annotation file.

    Args:
        images: width and height of each image, including those without people, in the order of the file.
        people: left, top, width, height and score of the people in each image.
        info: content of ``info``; ``upright: true`` states that pixels are those of upright images.
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
        for number, name in enumerate(images, 1)
        for *box, score in people.get(name, ())
    ]
    return {
        "info": dict(info),
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(images.items(), 1)
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
        "categories": [{"id": 1, "name": "person"}],
    }


def _read_people(path: Path, whole_images: bool) -> tuple[CocoFile, list[CocoPerson]]:
    """Read the people with boxes of a file, and log what is skipped.

    Args:
        path: the file.
        whole_images: add a person without a box for each image without people, and sort people by image.

    Raises:
        UserError: the file cannot be read, or has no person.
    """
    file = read_coco(path, "box file")
    people = file.people_with_boxes()
    if whole_images and file.images:
        boxed = {person.image_name for person in people}
        empty = [
            CocoPerson(-1, None, number, image, None, None, None, None)
            for number, image in file.images.items()
            if image.file_name not in boxed and image.size is not None
        ]
        position = {image.file_name: i for i, image in enumerate(file.images.values())}
        people = sorted([*people, *empty], key=lambda person: position[str(person.image_name)])
    if not people:
        reasons = f" (skipped {file.skipped.describe()})" if file.skipped.by_reason else ""
        raise UserError(f"box file {path} has no annotation that can be used{reasons}; expected a box for each person")
    file.skipped.warn()
    return file, people


class ImagePersonCrops(UnlabeledDataset):
    """People in a folder of images, cropped by the boxes of an annotation file or a list of results.

    A number ``rotation_deg`` of an annotation rotates the crop, for people who are not upright in the image.

    Images are rotated by their orientation tags. Boxes in pixels of the stored images are rotated with them;
    :func:`hamipose.io.image_orientation.is_annotated_upright` distinguishes the two.

    Args:
        root: folder that the file names of the annotations are relative to.
        boxes: COCO annotation file or list of results with ``bbox``; only people are used.
        margin: size of the crop relative to the box.
        cache: keep decoded images in memory.
        only: file name of the only image to use; default: all.
        whole_images: also use images of the file without people, each as a whole.
    """

    upright = True

    def __init__(
        self,
        root: str,
        boxes: str,
        margin: float = 1.25,
        cache: bool = False,
        only: str | None = None,
        whole_images: bool = False,
    ):
        self.root = Path(root)
        self.boxes = Path(boxes)
        self.margin = margin
        self.cache = cache
        self.only = only
        self.whole_images = whole_images

    @cached_property
    def _content(self) -> tuple[CocoFile, list[CocoPerson]]:
        return _read_people(self.boxes, self.whole_images)

    @cached_property
    def people(self) -> list[tuple[str, CocoPerson]]:
        """Return image path and annotation of each person, read on first use and grouped by image.

        Raises:
            UserError: the file cannot be read, has no person in `only`, or has an ambiguous file name.
        """
        _, people = self._content
        names = list(dict.fromkeys(person.image_name for person in people))
        matches: ImageMatches[str | int]
        if self.only is None:
            matches = locate_images(self.root, names)
        else:
            matches = match_images({name: name for name in names}, [str(self.root.absolute() / self.only)])
            matches.found = dict.fromkeys(matches.found, str(self.root / self.only))
        if matches.ambiguous and (self.only is None or not matches.found):
            name, several = next(iter(matches.ambiguous.items()))
            candidates = " or ".join(several[:2]) if len(several) > 1 else f"{several[0]}, as could another name"
            raise UserError(
                f"box file {self.boxes} names {format_value(name)}, which could be {candidates}; add the folders"
            )
        paths = {name: matches.found.get(name, str(self.root / str(name))) for name in names}
        used = [(paths[p.image_name], p) for p in people if self.only is None or p.image_name in matches.found]
        if not used:
            raise UserError(f"box file {self.boxes} has no box for {self.only}")
        position = {path: i for i, path in enumerate(dict.fromkeys(path for path, _ in used))}
        return sorted(used, key=lambda person: position[person[0]])

    def prepare(self) -> None:
        """Check that all images exist, and that some of them have the sizes that the file states."""
        sizes = {path: person.image.size if person.image else None for path, person in self.people}
        check_images_exist(list(sizes), self.boxes)
        check_image_sizes(sizes, self._content[0].upright, self.boxes)

    def __len__(self) -> int:
        return len(self.people)

    def _box(self, path: str, person: CocoPerson) -> Float[np.ndarray, "4"]:
        """Return the person's box in the upright image."""
        stated = person.image.size if person.image else None
        box = person.box_px
        if box is None:
            assert stated is not None
            box = whole_image_box(*stated)
        header = read_image_header(path)
        if header is None:  # decoding reports the reason
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
    """People in a video, cropped by the boxes of an annotation file whose images are named ``VIDEO#NUMBER``.

    Args:
        path: the video file.
        boxes: COCO annotation file or list of results with ``bbox``. An image name is the video's name, # and the
            number of the frame, from 0. Frames of other videos are skipped.
        frame_stride: use every n-th frame: 0, n, 2n, … of those in the file.
        margin: size of the crop relative to the box.
        whole_images: also use frames of the file without people, each as a whole.
    """

    upright = True

    def __init__(self, path: str, boxes: str, frame_stride: int = 1, margin: float = 1.25, whole_images: bool = False):
        if frame_stride < 1:
            raise UserError(f"frame_stride of VideoPersonCrops is {frame_stride}, expected at least 1")
        self.path = Path(path)
        self.boxes = Path(boxes)
        self.frame_stride = frame_stride
        self.margin = margin
        self.whole_images = whole_images
        self._decoder = VideoDecoder()

    @cached_property
    def people(self) -> list[tuple[int, CocoPerson]]:
        """Return frame number and annotation of each person, sorted by frame; read on first use.

        Raises:
            UserError: the file cannot be read, has other names than frames, or has no box in a used frame.
        """
        named = []
        for person in _read_people(self.boxes, self.whole_images)[1]:
            video, _, number = str(person.image_name).rpartition("#")
            if not video or not number.isdecimal() or len(number) > 9:
                raise UserError(
                    f"box file {self.boxes} has boxes for {format_value(person.image_name)[1:-1]}; expected frames of "
                    f"{self.path.name}, such as {self.path.name}#0 for the first one"
                )
            named.append((video, int(number), person))
        videos = {video: video for video, _, _ in named}
        matches = match_images(videos, [str(self.path.absolute())])
        if matches.ambiguous and not matches.found:
            names = " and ".join(format_value(video) for video in list(matches.ambiguous)[:2])
            raise UserError(
                f"box file {self.boxes} has boxes for {names}, each of which could be {self.path}; give a file for one "
                "video"
            )
        used = [(n, person) for video, n, person in named if video in matches.found and n % self.frame_stride == 0]
        if not used:
            others = sorted({Path(video).name for video in videos if video not in matches.found})
            frames = f" in every {self.frame_stride}th frame" if self.frame_stride > 1 else ""
            other_videos = f", but for {', '.join(others[:3])}" if others else ""
            raise UserError(f"box file {self.boxes} has no box for {self.path.name}{frames}{other_videos}")
        return sorted(used, key=lambda person: person[0])

    @cached_property
    def times_ms(self) -> Float[np.ndarray, " frame"]:
        """Return the time of each frame of the file, read on first use."""
        return read_frame_times(self.path)

    @property
    def rate(self) -> float:
        """Return the number of frames with people per second."""
        numbers = np.unique([number for number, _ in self.people])
        step = int(np.median(np.diff(numbers))) if len(numbers) > 1 else 1
        return compute_frame_rate(self.times_ms[::step])

    def prepare(self) -> None:
        """Check that the video contains all frames, and has the size that the file states."""
        last, count = self.people[-1][0], len(self.times_ms)
        if last >= count:
            raise UserError(f"box file {self.boxes} has boxes for frame {last} of {self.path}, which has {count}")
        _ = self[0]

    def check(self) -> None:
        """Check the boxes and that the file is a video; `prepare` decodes all of it."""
        _ = self.people
        check_video(self.path)

    def skipped_messages(self) -> list[str]:
        """Return a message if the video ends early or frames cannot be decoded."""
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
