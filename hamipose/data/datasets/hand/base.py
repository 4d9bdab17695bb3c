"""Base class of hand data sets: labels in a few arrays, images decoded on demand and mirrored if required."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from hamipose.data.base import KeypointDataset
from hamipose.errors import UserError
from hamipose.geometry.crops import published_crop, published_labels, whole_image_box
from hamipose.io.image_file import read_image_box
from hamipose.skeletons import HAND21
from hamipose.types import Sample

__all__ = ["HandDataset", "HandLabels", "find_duplicates", "published_boxes"]


@dataclass
class HandLabels:
    """Labels of all hands, in pixels of the original image.

    Attributes:
        file: number or name of the image.
        keypoints_px: keypoints in the order of HAND21.
        visibility: 0, 1 or 2.
        box_px: left, top, width, height of the crop; an empty box means the whole image.
        mirrored: whether image and labels are mirrored before use.
    """

    file: Shaped[np.ndarray, " hand"]
    keypoints_px: Float[np.ndarray, "hand 21 2"]
    visibility: UInt8[np.ndarray, "hand 21"]
    box_px: Float[np.ndarray, "hand 4"]
    mirrored: Bool[np.ndarray, " hand"]

    def __len__(self) -> int:
        return len(self.file)

    @property
    def bytes_per_hand(self) -> float:
        """Return the memory per hand; nothing else is stored for a hand."""
        return sum(getattr(self, f.name).nbytes for f in fields(self)) / max(len(self), 1)

    def select(self, chosen: Int[np.ndarray, " chosen"] | Bool[np.ndarray, " hand"]) -> "HandLabels":
        """Return the chosen hands, in this order."""
        return HandLabels(*(getattr(self, f.name)[chosen] for f in fields(self)))


def _mirror_sample(sample: Sample) -> Sample:
    """Return the mirrored sample: a right hand becomes a left one, and its keypoints keep their names."""
    left, top, width, height = sample.box_px
    image_width = sample.image.shape[1]
    keypoints_px = sample.keypoints_px.copy()
    keypoints_px[:, 0] = image_width - 1 - keypoints_px[:, 0]
    return Sample(
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        box_px=np.array([image_width - left - width, top, width, height], np.float32),
        name=sample.name,
        reduction=sample.reduction,
        keypoints_px=keypoints_px,
        visibility=sample.visibility,
    )


def published_boxes(
    keypoints_px: Float[np.ndarray, "hand 21 2"], width: int, height: int
) -> Float[np.ndarray, "hand 4"]:
    """Return the crops of RegDA's hand loaders: the published square without its last row and column.

    RegDA's code uses ``right - left`` as the width of a box whose right is its last pixel.
    """
    boxes = [published_crop(k, width, height) - np.array([0, 0, 1, 1], np.float32) for k in keypoints_px]
    return np.stack(boxes) if boxes else np.zeros((0, 4), np.float32)


def find_duplicates(
    joints_m: Float[np.ndarray, "hand 21 3"], others_m: Float[np.ndarray, "other 21 3"], tolerance: float = 1e-3
) -> Bool[np.ndarray, " hand"]:
    """Return which hands show the same moment as one of the others, from another camera or with another background.

    Distances between joints are the same from every camera. Two hands show the same moment if their distances from the
    wrist and from the base of the middle finger agree to `tolerance` times the palm's length (0.1 mm of 10 cm).
    """
    from scipy.spatial import cKDTree

    def shape(joints: Float[np.ndarray, "hand 21 3"]) -> Float[np.ndarray, "hand 42"]:
        wrist, middle = HAND21.index("wrist"), HAND21.index("middle_mcp")
        distances = [np.linalg.norm(joints - joints[:, [anchor]], axis=2) for anchor in (wrist, middle)]
        return np.concatenate(distances, 1) / np.maximum(distances[0][:, [middle]], 1e-12)

    if not len(joints_m) or not len(others_m):
        return np.zeros(len(joints_m), bool)
    nearest, _ = cKDTree(shape(others_m)).query(shape(joints_m), p=np.inf, distance_upper_bound=tolerance)
    return np.isfinite(nearest)


class HandDataset(KeypointDataset):
    """Images of hands with `HandLabels`.

    Args:
        root: folder of the data set.
        paper: round keypoints as the published loaders do, by at most half a pixel of the crop; see
            :func:`hamipose.geometry.crops.published_labels`.
        cache: keep decoded images in memory.
    """

    skeleton = HAND21

    def __init__(self, root: str, paper: bool, cache: bool):
        self.root = Path(root)
        self.paper = paper
        self.cache = cache
        self._labels: HandLabels | None = None

    @abstractmethod
    def read(self) -> HandLabels:
        """Read the labels from the official files.

        Raises:
            UserError: the files are missing or have an unexpected format.
        """

    @abstractmethod
    def path(self, file: int | bytes) -> Path:
        """Return the path of the image with this number or name."""

    @property
    def labels(self) -> HandLabels:
        """Return the labels, read on first use."""
        if self._labels is None:
            self._labels = self.read()
        return self._labels

    def prepare(self) -> None:
        """Read the labels, and check that the first and last image exist."""
        if not len(self.labels):
            raise UserError(f"{type(self).__name__} in {self.root} has no hand in this split; expected at least one")
        for row in (0, len(self.labels) - 1):
            path = self.path(self.labels.file[row].item())
            if not path.is_file():
                raise UserError(f"image {path} does not exist, but the annotations of {self.root} refer to it")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        labels = self.labels
        path, box = self.path(labels.file[index].item()), labels.box_px[index]
        whole = not (box[2] > 0 and box[3] > 0)
        if whole and self.decode_side > 0 and (stored := read_image_box(path)) is not None:
            box = stored
        image, reduction = self.decode(path, None if self.paper else box)
        box = whole_image_box(image.shape[1], image.shape[0]) if whole else (box / reduction).astype(np.float32)
        sample = Sample(
            image=image,
            box_px=box,
            name=f"{path}#mirrored" if labels.mirrored[index] else str(path),
            reduction=reduction,
            keypoints_px=((labels.keypoints_px[index] + 0.5) / reduction - 0.5).astype(np.float32),
            visibility=labels.visibility[index].astype(np.int64),
        )
        if labels.mirrored[index]:
            sample = _mirror_sample(sample)
        if self.paper:
            if sample.box_px[2] != sample.box_px[3]:
                raise UserError(f"the crop of {path} is {box[2]:.0f} x {box[3]:.0f} pixels, expected a square")
            sample.keypoints_px = published_labels(sample.keypoints_px, sample.box_px)
        return sample
