"""Some of the footage as models see it: pictures are read one after the other, and no whole one is kept."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from jaxtyping import UInt8

from hamipose.adapt.spec import Request
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import warp_crop, whole_image_box
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import Prediction, Predictor
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabeledSample
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid

__all__ = ["Look", "frames", "look", "side_by_side"]

_AT_A_TIME = 4  # whole pictures in memory
_SIDE, _ROWS = 224, 8  # of the pictures that are shown


def frames(request: Request, count: int) -> tuple[Iterator[UnlabeledSample], bool]:
    """People to look at, and whether they are of a video: its first frames, else, or with boxes, some from all over.

    Args:
        request: names the footage.
        count: how many, at most.
    """
    footage = open_footage(str(request.footage), boxes=request.boxes, frame_stride=request.frame_stride)
    step = max(1, (footage.count or 0) // count)
    if footage.moving:
        step = 1 if request.boxes is None else step
        return islice(footage.samples, 0, count * step, step), True
    return open_footage(str(request.footage), boxes=request.boxes, frame_stride=step, limit=count).samples, False


@dataclass(frozen=True)
class Look:
    """What models say of people.

    Attributes:
        found: model → a prediction for each person, in pixels of the whole picture.
        crops: what the models were shown.
        shown: larger ones to look at.
        shown_from_picture: pixels of the whole picture → of what is shown.
    """

    found: dict[str, list[Prediction]]
    crops: list[UnlabeledSample] = field(default_factory=list)
    shown: list[UInt8[np.ndarray, "side side 3"]] = field(default_factory=list)
    shown_from_picture: list[np.ndarray] = field(default_factory=list)


def look(people: Iterable[UnlabeledSample], models: Mapping[str, Predictor]) -> Look:
    """What each model says of each person.

    Args:
        people: taken a few at a time.
        models: with crops of one size, at least one.
    """
    (size,) = {model.info.image_size for model in models.values()}
    seen = Look({name: [] for name in models})
    rest = iter(people)
    while batch := list(islice(rest, _AT_A_TIME)):
        for name, model in models.items():
            seen.found[name] += model.stream(batch)
        for person in batch:
            crop = warp_crop(person.image, crop_matrix(person.box_px, size, person.rotation_deg), size)
            seen.crops.append(UnlabeledSample(image=crop, box_px=whole_image_box(size, size), name=person.name))
            seen.shown_from_picture.append(crop_matrix(person.box_px, _SIDE))
            seen.shown.append(warp_crop(person.image, seen.shown_from_picture[-1], _SIDE))
    return seen


def side_by_side(seen: Look, skeleton: Skeleton) -> UInt8[np.ndarray, "height width 3"]:
    """A row for each of some people: what each model says."""
    tiles = []
    for place in np.linspace(0, len(seen.shown) - 1, min(_ROWS, len(seen.shown))).round().astype(int):
        for name, people in seen.found.items():
            points = apply_points(seen.shown_from_picture[place], people[place].keypoints_px.astype(np.float64))
            tiles.append(draw_label(draw_keypoints(seen.shown[place], points.astype(np.float32), skeleton), name))
    return make_grid(tiles, columns=2 * len(seen.found))
