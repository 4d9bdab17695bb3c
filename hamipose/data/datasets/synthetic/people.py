"""Synthetic people as a data set: rendered once and stored as JPEG files with annotations in COCO's keypoint format.

A folder contains ``images/000000.jpg …`` and ``annotations.json``. An annotation has COCO's fields: ``keypoints`` in
the order of BODY16 (x, y, visibility: 2 visible, 1 occluded, 0 outside the image; positions outside are kept),
``bbox``, ``area`` and ``segmentation``, the uncompressed run lengths of the person's mask. Additional fields:
``coco17`` (keypoints in COCO's order), ``joints_3d_m`` (camera axes, meters, both orders), ``camera`` (intrinsics,
world-to-camera rotation, position), ``pose`` and ``height_m``.
"""

from pathlib import Path

import numpy as np

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17, Skeleton
from hamipose.synthetic.render_cache import read_annotations, render_folder
from hamipose.synthetic.scene.backgrounds import list_photographs
from hamipose.types import Sample

__all__ = ["SyntheticPeople", "synthesize_people"]


def synthesize_people(
    style: str,
    count: int,
    size: int,
    seed: int,
    out: str,
    backgrounds: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: bool = True,
    poses: list[str] | None = None,
    backdrops: list[str] | None = None,
    shard: str | None = None,
) -> Path:
    """Render the images of people that a folder lacks.

    Image i depends only on style, seed, i, size and the options poses, backdrops and backgrounds; not on how many
    images are rendered, in which order, or by how many processes. Interrupted rendering can be resumed.

    Args:
        style: "plain" (flat colors, hard light, noise and polygons as background) or "photo" (textures, soft light,
            objects, occluders, camera effects).
        count: number of images in the folder.
        size: side of the square images in pixels.
        seed: seed of the series.
        out: output folder.
        backgrounds: folder of photographs to use as backgrounds; default: drawn backgrounds.
        workers: number of rendering processes; default: one per CPU.
        device: "cpu" or "cuda:0"; default: a GPU if available.
        progress: whether to show a progress bar.
        poses: pose families of `hamipose.synthetic.people.pose_distributions.FAMILIES`; default: all.
        backdrops: backgrounds of the plain style, of "noise", "polygons", "gradient" and "flat"; default: all.
        shard: "3/16" renders only the third of sixteen parts; once all parts are in the folder, a run without it writes
            the annotation file.

    Returns:
        The annotation file, or the folder of a shard.

    Raises:
        UserError: an invalid option, or a folder with images of other settings.
    """
    from hamipose.synthetic.people.pose_distributions import FAMILIES
    from hamipose.synthetic.scene.backgrounds import BACKDROPS

    return render_folder(
        "people",
        out,
        count,
        style=style,
        size=size,
        seed=seed,
        backgrounds=backgrounds,
        workers=workers,
        device=device,
        progress=progress,
        choices={"poses": (poses, FAMILIES), "backdrops": (backdrops, BACKDROPS)},
        shard=shard,
    )


class SyntheticPeople(KeypointDataset):
    """The first `count` people of a series; `prepare` renders missing images.

    Args:
        root: folder of the images; see `synthesize_people` for its content and the options.
        style: "plain" or "photo".
        count: number of people.
        size: side of the square images in pixels.
        seed: seed of the series; use different seeds for training and test data.
        skeleton: order of the keypoints: "body16", "coco17" or "lsp14".
        backgrounds: folder of photographs to use as backgrounds.
        workers: number of rendering processes; default: one per CPU.
        cache: keep decoded images in memory.
        poses: pose families; default: all.
        backdrops: backgrounds of the plain style; default: all.
        box_margin: size of the crop relative to the bounding box of the visible person, as from a user's detector;
            default: the whole image is the crop.
    """

    def __init__(
        self,
        root: str,
        style: str = "plain",
        count: int = 2000,
        size: int = 256,
        seed: int = 0,
        skeleton: str = "body16",
        backgrounds: str | None = None,
        workers: int | None = None,
        cache: bool = False,
        poses: list[str] | None = None,
        backdrops: list[str] | None = None,
        box_margin: float | None = None,
    ):
        if box_margin is not None and box_margin <= 0:
            raise UserError(f"box_margin is {box_margin}, but must be a factor above 0, such as 1.25")
        self.root, self.style, self.count, self.size, self.seed = Path(root), style, count, size, seed
        self.skeleton = get_skeleton(skeleton)
        self._order = _order(self.skeleton)
        self.backgrounds, self.workers, self.cache = backgrounds, workers, cache
        self.poses, self.backdrops, self.box_margin = poses, backdrops, box_margin
        self._labels: list[tuple[Path, np.ndarray, np.ndarray]] | None = None

    def check(self) -> None:
        """Check the folder of backgrounds; `prepare` renders missing images."""
        if self.backgrounds is not None:
            list_photographs(str(self.backgrounds))

    def prepare(self) -> None:
        """Render missing images."""
        synthesize_people(
            self.style,
            self.count,
            self.size,
            self.seed,
            str(self.root),
            self.backgrounds,
            self.workers,
            poses=self.poses,
            backdrops=self.backdrops,
        )

    @property
    def labels(self) -> list[tuple[Path, np.ndarray, np.ndarray]]:
        """Return image path, keypoints (x, y, visibility) and bounding box to crop of each person."""
        if self._labels is None:
            images, annotations = read_annotations(self.root, self.count, "people")
            field, rows = self._order
            self._labels = [
                (self.root / i["file_name"], np.array(a[field], np.float32).reshape(-1, 3)[rows], self._box(i, a))
                for i, a in zip(images, annotations, strict=True)
            ]
        return self._labels

    def _box(self, image: dict, annotation: dict) -> np.ndarray:
        """Return the bounding box to crop."""
        if self.box_margin is None or 0 in annotation["bbox"][2:]:  # the person is not visible
            return np.array([0, 0, image["width"], image["height"]], np.float32)
        left, top, width, height = annotation["bbox"]
        crop_width, crop_height = width * self.box_margin, height * self.box_margin
        corner = left - (crop_width - width) / 2, top - (crop_height - height) / 2
        return np.array([*corner, crop_width, crop_height], np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        path, labels, box = self.labels[index]
        image, _ = self.decode(path)
        return Sample(
            image=image,
            box_px=box,
            name=str(path),
            keypoints_px=labels[:, :2].copy(),
            visibility=labels[:, 2].astype(np.int64),
        )


def _order(skeleton: Skeleton) -> tuple[str, list[int]]:
    """Return the annotation field with all keypoints of a skeleton, and their positions in it.

    Raises:
        UserError: synthetic people do not have all keypoints of the skeleton.
    """
    for field, stored in (("keypoints", BODY16), ("coco17", COCO17)):
        rows = [position for position in skeleton.map_from(stored) if position is not None]
        if len(rows) == len(skeleton):
            return field, rows
    raise UserError(f"skeleton is {skeleton.name}, but must be one of body16, coco17, lsp14")
