"""Predictions of several models on a sample of the footage, computed without keeping whole images in memory."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from jaxtyping import UInt8

from hamipose.adapt.spec import AdaptationSpec
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import warp_crop, whole_image_box
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import PosePrediction, Predictor
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabeledSample
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid

__all__ = ["Preview", "compute_preview", "draw_comparison", "sample_footage"]

_BATCH_SIZE = 4  # whole images in memory
_TILE_SIDE, _MAX_ROWS = 224, 8  # of the drawing


def sample_footage(spec: AdaptationSpec, count: int) -> tuple[Iterator[UnlabeledSample], bool]:
    """Return people of the footage, and whether it is a video.

    Of a video without boxes they are the first frames in a row; otherwise they are spread over the whole footage.

    Args:
        spec: names the footage.
        count: the largest number of people.
    """
    footage = open_footage(str(spec.footage), boxes=spec.boxes, frame_stride=spec.frame_stride)
    step = max(1, (footage.count or 0) // count)
    if footage.is_video:
        step = 1 if spec.boxes is None else step
        return islice(footage.samples, 0, count * step, step), True
    return open_footage(str(spec.footage), boxes=spec.boxes, frame_stride=step, limit=count).samples, False


@dataclass(frozen=True)
class Preview:
    """Predictions of several models for the same people.

    Attributes:
        predictions: model name → a prediction for each person, in pixels of the whole image.
        crops: inputs of the models.
        tiles: larger crops to draw on.
        tile_from_image: affine maps from pixels of the whole image to pixels of the tile.
    """

    predictions: dict[str, list[PosePrediction]]
    crops: list[UnlabeledSample] = field(default_factory=list)
    tiles: list[UInt8[np.ndarray, "side side 3"]] = field(default_factory=list)
    tile_from_image: list[np.ndarray] = field(default_factory=list)


def compute_preview(people: Iterable[UnlabeledSample], models: Mapping[str, Predictor]) -> Preview:
    """Return the predictions of each model for each person.

    Args:
        people: the people; a few at a time are held in memory.
        models: at least one model; all of them must have the same image size.
    """
    (size,) = {model.info.image_size for model in models.values()}
    preview = Preview({name: [] for name in models})
    remaining = iter(people)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        for name, model in models.items():
            preview.predictions[name] += model.stream(batch)
        for person in batch:
            crop = warp_crop(person.image, crop_matrix(person.box_px, size, person.rotation_deg), size)
            preview.crops.append(UnlabeledSample(image=crop, box_px=whole_image_box(size, size), name=person.name))
            preview.tile_from_image.append(crop_matrix(person.box_px, _TILE_SIDE))
            preview.tiles.append(warp_crop(person.image, preview.tile_from_image[-1], _TILE_SIDE))
    return preview


def draw_comparison(preview: Preview, skeleton: Skeleton) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the predictions of each model side by side, for some of the people."""
    tiles = []
    for index in np.linspace(0, len(preview.tiles) - 1, min(_MAX_ROWS, len(preview.tiles))).round().astype(int):
        for name, people in preview.predictions.items():
            points = apply_points(preview.tile_from_image[index], people[index].keypoints_px.astype(np.float64))
            tile = draw_keypoints(preview.tiles[index], points.astype(np.float32), skeleton)
            tiles.append(draw_label(tile, name))
    return make_grid(tiles, columns=2 * len(preview.predictions))
