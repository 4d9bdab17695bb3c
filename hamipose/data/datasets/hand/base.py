"""Sets of hands: labels in a few arrays however many hands there are, pictures decoded on demand, mirrored if asked."""

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

__all__ = ["HandDataset", "HandLabels", "check_split", "find_duplicates", "mirror_sample", "published_boxes"]


def check_split(split: str, splits: tuple[str, ...], dataset: str) -> None:
    """Raises `UserError` if there is no such split."""
    if split not in splits:
        raise UserError(f"split of {dataset} is {split!r}, expected one of {', '.join(splits)}")


@dataclass
class HandLabels:
    """Labels, one row a hand, in pixels of the original picture.

    Attributes:
        file: number or name of the picture.
        keypoints_px: in the order of HAND21.
        visibility: 0, 1 or 2.
        box_px: left, top, width, height of the crop; without area: the whole picture.
        mirrored: whether picture and labels are mirrored before use.
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
        """What the table takes up in memory, divided by its length: nothing else is kept of a hand."""
        return sum(getattr(self, f.name).nbytes for f in fields(self)) / max(len(self), 1)

    def rows(self, chosen: Int[np.ndarray, " row"] | Bool[np.ndarray, " hand"]) -> "HandLabels":
        """These hands in this order."""
        return HandLabels(*(getattr(self, f.name)[chosen] for f in fields(self)))


def mirror_sample(sample: Sample) -> Sample:
    """The sample as seen in a mirror: a right hand becomes a left one. Its keypoints keep their names."""
    left, top, width, height = sample.box_px
    wide = sample.image.shape[1]
    keypoints_px = sample.keypoints_px.copy()
    keypoints_px[:, 0] = wide - 1 - keypoints_px[:, 0]
    return Sample(
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        box_px=np.array([wide - left - width, top, width, height], np.float32),
        name=sample.name,
        reduction=sample.reduction,
        keypoints_px=keypoints_px,
        visibility=sample.visibility,
    )


def published_boxes(
    keypoints_px: Float[np.ndarray, "hand 21 2"], width: int, height: int
) -> Float[np.ndarray, "hand 4"]:
    """The crops of RegDA's hand loaders: the published square without its last row and column.

    They give ``right - left`` as the width of a box whose right is its last pixel.
    """
    boxes = [published_crop(k, width, height) - np.array([0, 0, 1, 1], np.float32) for k in keypoints_px]
    return np.stack(boxes) if boxes else np.zeros((0, 4), np.float32)


def find_duplicates(
    joints_m: Float[np.ndarray, "hand 21 3"], others_m: Float[np.ndarray, "other 21 3"], tolerance: float = 1e-3
) -> Bool[np.ndarray, " hand"]:
    """Which hands are one of the others seen from another side, or in another version.

    Distances between joints are the same from every camera. Two hands whose distances from the wrist and from the base
    of the middle finger agree to `tolerance` of the palm's length (0.1 mm of ten centimeters) are the same moment.
    """
    from scipy.spatial import cKDTree

    def shape(joints: Float[np.ndarray, "hand 21 3"]) -> Float[np.ndarray, "hand 42"]:
        wrist, middle = HAND21.index("wrist"), HAND21.index("middle_mcp")
        far = [np.linalg.norm(joints - joints[:, [anchor]], axis=2) for anchor in (wrist, middle)]
        return np.concatenate(far, 1) / np.maximum(far[0][:, [middle]], 1e-12)

    if not len(joints_m) or not len(others_m):
        return np.zeros(len(joints_m), bool)
    nearest, _ = cKDTree(shape(others_m)).query(shape(joints_m), p=np.inf, distance_upper_bound=tolerance)
    return np.isfinite(nearest)


class HandDataset(KeypointDataset):
    """Pictures of hands whose labels are a `HandLabels`.

    Args:
        root: folder of the data set.
        paper: keypoints are where the published loaders have them, half a pixel of the crop away at most; see
            :func:`hamipose.geometry.crops.published_labels`.
        cache: keep decoded pictures in memory.
    """

    skeleton = HAND21

    def __init__(self, root: str, paper: bool, cache: bool):
        self.root = Path(root)
        self.paper = paper
        self.cache = cache
        self._table: HandLabels | None = None

    @abstractmethod
    def read(self) -> HandLabels:
        """The labels from the native files.

        Raises:
            UserError: they are missing or not of the expected form.
        """

    @abstractmethod
    def path(self, file: int | bytes) -> Path:
        """Where the picture of that number or name lies."""

    @property
    def table(self) -> HandLabels:
        """The labels, read on first use."""
        if self._table is None:
            self._table = self.read()
        return self._table

    def prepare(self) -> None:
        if not len(self.table):
            raise UserError(f"{type(self).__name__} in {self.root} has no hand in this split; expected at least one")
        for row in (0, len(self.table) - 1):
            path = self.path(self.table.file[row].item())
            if not path.is_file():
                raise UserError(f"image {path} does not exist, which the annotations of {self.root} speak of")

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        table = self.table
        path, box = self.path(table.file[index].item()), table.box_px[index]
        whole = not (box[2] > 0 and box[3] > 0)
        if whole and self.decode_side > 0 and (stored := read_image_box(path)) is not None:
            box = stored
        image, reduction = self.decode(path, None if self.paper else box)
        box = whole_image_box(image.shape[1], image.shape[0]) if whole else (box / reduction).astype(np.float32)
        sample = Sample(
            image=image,
            box_px=box,
            name=f"{path}#mirrored" if table.mirrored[index] else str(path),
            reduction=reduction,
            keypoints_px=((table.keypoints_px[index] + 0.5) / reduction - 0.5).astype(np.float32),
            visibility=table.visibility[index].astype(np.int64),
        )
        if table.mirrored[index]:
            sample = mirror_sample(sample)
        if self.paper:
            if sample.box_px[2] != sample.box_px[3]:
                raise UserError(f"the crop of {path} is {box[2]:.0f} x {box[3]:.0f} pixels, expected a square")
            sample.keypoints_px = published_labels(sample.keypoints_px, sample.box_px)
        return sample
