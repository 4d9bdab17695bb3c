"""Synthetic hands as a data set: rendered once and stored as JPEG files with annotations in COCO's keypoint format.

They can replace RHD. A folder contains ``images/000000.jpg …`` and ``annotations.json``. An annotation's ``keypoints``
are in the order of HAND21 (x, y, visibility: 2 visible, 1 occluded by the hand itself or by an object, 0 outside the
image). Additional fields: ``joints_3d_m`` (camera axes, meters), ``camera``, ``pose`` and ``length_m``. All hands in
the files are left hands.
"""

from pathlib import Path

import numpy as np

from hamipose.data.datasets.hand.base import HandDataset, HandLabels
from hamipose.errors import UserError
from hamipose.synthetic.render_cache import read_annotations, render_folder
from hamipose.synthetic.scene.backgrounds import list_photographs

__all__ = ["SyntheticHands", "synthesize_hands"]


def synthesize_hands(
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
    facing: list[str] | None = None,
    roll_deg: float | None = None,
    shard: str | None = None,
) -> Path:
    """Render the images of left hands that a folder lacks.

    Image i depends only on style, seed, i, size and the options poses, backdrops, facing, roll_deg and backgrounds; not
    on how many images are rendered, in which order, or by how many processes. Interrupted rendering can be resumed.

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
        poses: pose families of `hamipose.synthetic.hands.poses.HAND_FAMILIES`; default: all.
        backdrops: backgrounds of the plain style, of "noise", "polygons", "gradient" and "flat"; default: all.
        facing: sides of the hand that may face the camera, of "palm", "back" and "edge"; default: all.
        roll_deg: maximum angle in the image between the hand and the upward direction; default: any angle, mostly
            within 35 degrees.
        shard: "3/16" renders only the third of sixteen parts; once all parts are in the folder, a run without it writes
            the annotation file.

    Returns:
        The annotation file, or the folder of a shard.

    Raises:
        UserError: an invalid option, or a folder with images of other settings.
    """
    from hamipose.synthetic.hands.poses import HAND_FAMILIES
    from hamipose.synthetic.hands.scene_setup import FACINGS
    from hamipose.synthetic.scene.backgrounds import BACKDROPS

    if roll_deg is not None and not 0 <= roll_deg <= 180:
        raise UserError(f"roll_deg is {roll_deg}, but must be an angle from 0 to 180 degrees")
    return render_folder(
        "hands",
        out,
        count,
        style=style,
        size=size,
        seed=seed,
        backgrounds=backgrounds,
        workers=workers,
        device=device,
        progress=progress,
        choices={"poses": (poses, HAND_FAMILIES), "backdrops": (backdrops, BACKDROPS), "facing": (facing, FACINGS)},
        options={"roll_deg": None if roll_deg is None else float(roll_deg)},
        shard=shard,
    )


class SyntheticHands(HandDataset):
    """The first `count` hands of a series; `prepare` renders missing images.

    Args:
        root: folder of the images; see `synthesize_hands` for its content and the options.
        style: "plain" or "photo".
        count: number of hands.
        size: side of the square images in pixels.
        seed: seed of the series; use different seeds for training and test data.
        side: "left" shows the rendered hands, "right" their mirror images.
        backgrounds: folder of photographs to use as backgrounds.
        workers: number of rendering processes; default: one per CPU.
        cache: keep decoded images in memory.
        poses: pose families; default: all.
        backdrops: backgrounds of the plain style; default: all.
        facing: sides of the hand that may face the camera, of "palm", "back" and "edge"; default: all.
        roll_deg: maximum angle in the image between the hand and the upward direction; default: any angle, mostly
            within 35 degrees.
    """

    def __init__(
        self,
        root: str,
        style: str = "plain",
        count: int = 2000,
        size: int = 256,
        seed: int = 0,
        side: str = "left",
        backgrounds: str | None = None,
        workers: int | None = None,
        cache: bool = False,
        poses: list[str] | None = None,
        backdrops: list[str] | None = None,
        facing: list[str] | None = None,
        roll_deg: float | None = None,
    ):
        if side not in ("left", "right"):
            raise UserError(f"side of SyntheticHands is {side!r}, but must be left or right")
        super().__init__(root, paper=False, cache=cache)
        self.style, self.count, self.size, self.seed, self.side = style, count, size, seed, side
        self.backgrounds, self.workers, self.poses, self.backdrops = backgrounds, workers, poses, backdrops
        self.facing, self.roll_deg = facing, roll_deg

    def check(self) -> None:
        """Check the folder of backgrounds; `prepare` renders missing images."""
        if self.backgrounds is not None:
            list_photographs(str(self.backgrounds))

    def prepare(self) -> None:
        """Render missing images."""
        synthesize_hands(
            self.style,
            self.count,
            self.size,
            self.seed,
            str(self.root),
            self.backgrounds,
            self.workers,
            poses=self.poses,
            backdrops=self.backdrops,
            facing=self.facing,
            roll_deg=self.roll_deg,
        )

    def path(self, file: int | bytes) -> Path:
        """Return the path of an image."""
        return self.root / "images" / f"{int(file):06d}.jpg"

    def read(self) -> HandLabels:
        """Read the labels of all hands."""
        images, annotations = read_annotations(self.root, self.count, "hands")
        labels = np.array([a["keypoints"] for a in annotations], np.float32)
        if labels.shape[1:] != (63,):
            raise UserError(f"{self.root} contains {labels.shape[1] // 3} keypoints per image, but a hand has 21")
        labels = labels.reshape(-1, 21, 3)
        return HandLabels(
            file=np.array([i["id"] for i in images], np.int32),
            keypoints_px=labels[..., :2],
            visibility=labels[..., 2].astype(np.uint8),
            box_px=np.zeros((self.count, 4), np.float32),
            mirrored=np.full(self.count, self.side == "right"),
        )

    def __len__(self) -> int:
        return self.count
