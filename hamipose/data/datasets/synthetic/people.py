"""Built-in people as a data set: made once, kept as JPEG files and one annotation file in COCO's keypoint format.

``FOLDER/images/000000.jpg …`` and ``FOLDER/annotations.json``. An annotation holds COCO's fields: ``keypoints`` in the
order of BODY16 (x, y, visibility: 2 visible, 1 hidden, 0 outside the picture; positions outside are kept), ``bbox``,
``area`` and the uncompressed run row_norms ``segmentation`` of what is seen of the person. Besides them: ``coco17`` (the
keypoints in COCO's order), ``joints_3d_m`` (camera axes, meters, both orders), ``camera`` (intrinsics, world-to-camera
rotation, position), ``pose`` and ``height_m``.
"""

from pathlib import Path

import numpy as np

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17, Skeleton
from hamipose.synthetic.render_cache import records_of, render_folder
from hamipose.synthetic.scene.backgrounds import photographs
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
    """Makes the pictures that are missing from a folder of built-in people; an interrupted run is taken up again.

    Picture i depends on style, seed, i, size and what may be drawn (poses, backdrops, backgrounds) only: not on
    how many are made, in what order or by how many processes.

    Args:
        style: ``plain`` (flat colors, hard light, noise and polygons behind) or ``photo`` (textures, soft light,
            surroundings, things in the way, a camera's faults).
        count: how many pictures the folder shall hold.
        size: side of the square pictures in pixels.
        seed: which series of people.
        out: the folder.
        backgrounds: a folder of photographs to show behind the people instead of drawn surroundings.
        workers: processes that render; by default one a processor.
        device: ``cpu`` or ``cuda:0``; by default a GPU where there is one.
        progress: show a progress bar.
        poses: families of poses to draw from, of `hamipose.synthetic.people.pose_distributions.FAMILIES`; all where not given.
        backdrops: what is behind people of the plain style, of noise, polygons, gradient and flat; all where not given.
        shard: ``"3/16"`` makes the third of sixteen parts of the pictures only; once all parts are in the folder, a run
            without it writes the annotation file.

    Returns:
        The annotation file, or the journal of a shard.

    Raises:
        UserError: an option that makes no sense, or a folder that holds other people than those asked for.
    """
    from hamipose.synthetic.annotations import FORMAT
    from hamipose.synthetic.people.pose_distributions import FAMILIES
    from hamipose.synthetic.scene.backgrounds import BACKDROPS

    return render_folder(
        "people",
        style,
        count,
        size,
        seed,
        out,
        backgrounds,
        workers,
        device,
        progress,
        choices={"poses": (poses, FAMILIES), "backdrops": (backdrops, BACKDROPS)},
        settings={"format": FORMAT.get(style)},
        shard=shard,
    )


class SyntheticPeople(KeypointDataset):
    """The first `count` people of a folder; `prepare` makes those that are missing.

    Args:
        root: folder of the pictures; see `synthesize_people` for it and the options.
        style: ``plain`` or ``photo``.
        count: how many people.
        size: side of the pictures in pixels.
        seed: which series of people; give test data another seed than training data.
        skeleton: order of the keypoints: ``body16``, ``coco17`` or ``lsp14``.
        backgrounds: a folder of photographs to show behind the people.
        workers: processes that render; by default one a processor.
        cache: keep decoded pictures in memory.
        poses: families of poses to draw from; all where not given.
        backdrops: what is behind people of the plain style; everything where not given.
        box_margin: how many times the box around what can be seen of the person a crop shows, as a user's detector
            would give it; the whole picture where not given.
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
            raise UserError(f"box_margin is {box_margin}, expected a factor above 0, such as 1.25")
        self.root, self.style, self.count, self.size, self.seed = Path(root), style, count, size, seed
        self.skeleton = get_skeleton(skeleton)
        self._order = _order(self.skeleton)
        self.backgrounds, self.workers, self.cache = backgrounds, workers, cache
        self.poses, self.backdrops, self.box_margin = poses, backdrops, box_margin
        self._labels: list[tuple[Path, np.ndarray, np.ndarray]] | None = None

    def check(self) -> None:
        """Check the folder of backgrounds; `prepare` renders what is missing."""
        if self.backgrounds is not None:
            photographs(str(self.backgrounds))

    def prepare(self) -> None:
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
        """Picture, keypoints (x, y, visibility) and box to crop of every person, read on first use."""
        if self._labels is None:
            images, annotations = records_of(self.root, self.count, "people")
            field, picked = self._order
            self._labels = [
                (self.root / i["file_name"], np.array(a[field], np.float32).reshape(-1, 3)[picked], self._box(i, a))
                for i, a in zip(images, annotations, strict=True)
            ]
        return self._labels

    def _box(self, image: dict, annotation: dict) -> np.ndarray:
        if self.box_margin is None or 0 in annotation["bbox"][2:]:  # nothing of the person can be seen
            return np.array([0, 0, image["width"], image["height"]], np.float32)
        left, top, width, height = annotation["bbox"]
        wider, higher = width * self.box_margin, height * self.box_margin
        return np.array([left - (wider - width) / 2, top - (higher - height) / 2, wider, higher], np.float32)

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
    """Which field of an annotation holds all keypoints of a skeleton, and at which positions."""
    for field, stored in (("keypoints", BODY16), ("coco17", COCO17)):
        picked = [position for position in skeleton.map_from(stored) if position is not None]
        if len(picked) == len(skeleton):
            return field, picked
    raise UserError(f"skeleton is {skeleton.name}, expected one that built-in people have: body16, coco17, lsp14")
