"""People in pictures by the boxes of an annotation file, which any detector can write."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.data.base import UnlabelledDataset
from hamipose.data.crops import padded_box
from hamipose.errors import InputError
from hamipose.types import UnlabelledSample

__all__ = ["BoxedPeople", "read_boxes"]


def read_boxes(path: Path) -> list[tuple[str, Float[np.ndarray, "4"]]]:
    """File name and box (left, top, width, height) of each annotation of a COCO file; keypoints are not looked at.

    Raises:
        InputError: the file is missing or of another form, or a box has no area.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"box file {path} cannot be read ({error.strerror}); expected COCO annotations") from None
    except ValueError as error:
        raise InputError(f"box file {path} is no valid JSON ({error}); expected COCO annotations") from None
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise InputError(f"box file {path} lacks images or annotations; expected COCO annotations")
    found = []
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for annotation in content["annotations"]:
            box = np.asarray(annotation["bbox"], np.float32)
            if box.shape != (4,) or not (box[2:] > 0).all():
                raise InputError(
                    f"annotation {annotation.get('id')} in {path} has bbox {annotation['bbox']}, expected left, top, "
                    "width and height above 0"
                )
            found.append((names[annotation["image_id"]], box))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"box file {path} has another form ({type(error).__name__}: {error})") from None
    if not found:
        raise InputError(f"box file {path} has no annotation; expected a box for each person")
    return found


class BoxedPeople(UnlabelledDataset):
    """People in a folder of pictures, where an annotation file has a box for them.

    Args:
        root: folder that the file names of the annotations are relative to.
        boxes: COCO annotation file with ``bbox``; anything else in it is not read.
        margin: what is shown is this many times the box.
        cache: keep decoded pictures in memory.
    """

    def __init__(self, root: str, boxes: str, margin: float = 1.25, cache: bool = False):
        self.root = Path(root)
        self.boxes = Path(boxes)
        self.margin = margin
        self.cache = cache
        self._people: list[tuple[str, np.ndarray]] | None = None

    @property
    def people(self) -> list[tuple[str, np.ndarray]]:
        """File name and box of each person, read on first use."""
        if self._people is None:
            self._people = read_boxes(self.boxes)
        return self._people

    def prepare(self) -> None:
        path = self.root / self.people[0][0]
        if not path.is_file():
            raise InputError(f"image {path}, named in {self.boxes}, does not exist; expected file names below the root")

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> UnlabelledSample:
        name, tight = self.people[index]
        box = padded_box(tight, self.margin).astype(np.float32)
        path = self.root / name
        image, reduction = self.decode(path, box)
        return UnlabelledSample(image=image, box_px=box / reduction, name=f"{path}#{index}")
