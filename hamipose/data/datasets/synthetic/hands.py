"""Built-in hands as a data set: made once, kept as JPEG files and one annotation file in COCO's keypoint format.

The stand-in for RHD where it is not at hand. ``FOLDER/images/000000.jpg …`` and ``FOLDER/annotations.json``; an
annotation's ``keypoints`` are in the order of HAND21 (x, y, visibility: 2 visible, 1 hidden by the hand itself or by
something in the way, 0 outside the picture). Besides COCO's fields: ``joints_3d_m`` (camera axes, meters), ``camera``,
``pose`` and ``length_m``. Every hand in the files is a left one.
"""

from pathlib import Path

import numpy as np

from hamipose.data.datasets.hand.base import HandDataset, HandLabels
from hamipose.errors import UserError
from hamipose.synthetic.render_cache import records_of, render_folder
from hamipose.synthetic.scene.backgrounds import photographs

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
    """Makes the pictures that are missing from a folder of built-in hands; an interrupted run is taken up again.

    Picture i depends on style, seed, i, size and what may be drawn (poses, backdrops, backgrounds) only: not on
    how many are made, in what order or by how many processes.

    Args:
        style: ``plain`` (flat colors, hard light, noise and polygons behind) or ``photo`` (textures, soft light,
            surroundings, things in the way, a camera's faults).
        count: how many pictures the folder shall hold.
        size: side of the square pictures in pixels.
        seed: which series of hands.
        out: the folder.
        backgrounds: a folder of photographs to show behind the hands instead of drawn surroundings.
        workers: processes that render; by default one a processor.
        device: ``cpu`` or ``cuda:0``; by default a GPU where there is one.
        progress: show a progress bar.
        poses: families of poses to draw from, of `hamipose.synthetic.hands.poses.HAND_FAMILIES`; all where not given.
        backdrops: what is behind hands of the plain style, of noise, polygons, gradient and flat; all where not given.
        facing: what may be towards the camera, of palm, back and edge; any where not given.
        roll_deg: hands point up in the picture, give or take this much; where not given, more often than not.
        shard: ``"3/16"`` makes the third of sixteen parts of the pictures only; once all parts are in the folder, a run
            without it writes the annotation file.

    Returns:
        The annotation file, or the journal of a shard.

    Raises:
        UserError: an option that makes no sense, or a folder that holds other pictures than those asked for.
    """
    from hamipose.synthetic.annotations import FORMAT
    from hamipose.synthetic.hands.poses import HAND_FAMILIES
    from hamipose.synthetic.hands.scene_setup import FACINGS
    from hamipose.synthetic.scene.backgrounds import BACKDROPS

    if roll_deg is not None and not 0 <= roll_deg <= 180:
        raise UserError(f"roll_deg is {roll_deg}, expected degrees from 0 to 180")
    return render_folder(
        "hands",
        style,
        count,
        size,
        seed,
        out,
        backgrounds,
        workers,
        device,
        progress,
        choices={"poses": (poses, HAND_FAMILIES), "backdrops": (backdrops, BACKDROPS), "facing": (facing, FACINGS)},
        settings={"what": "hands", "format": FORMAT.get(style)},
        options={"roll_deg": None if roll_deg is None else float(roll_deg)},
        shard=shard,
    )


class SyntheticHands(HandDataset):
    """The first `count` hands of a folder; `prepare` makes those that are missing.

    Args:
        root: folder of the pictures; see `synthesize_hands` for it and the options.
        style: ``plain`` or ``photo``.
        count: how many hands.
        size: side of the pictures in pixels.
        seed: which series of hands; give test data another seed than training data.
        side: ``left`` shows the hands as they are made, ``right`` their mirror images.
        backgrounds: a folder of photographs to show behind the hands.
        workers: processes that render; by default one a processor.
        cache: keep decoded pictures in memory.
        poses: families of poses to draw from; all where not given.
        backdrops: what is behind hands of the plain style; everything where not given.
        facing: what may be towards the camera, of palm, back and edge; any where not given.
        roll_deg: hands point up in the picture, give or take this much; where not given, more often than not.
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
            raise UserError(f"side of SyntheticHands is {side!r}, expected left or right")
        super().__init__(root, paper=False, cache=cache)
        self.style, self.count, self.size, self.seed, self.side = style, count, size, seed, side
        self.backgrounds, self.workers, self.poses, self.backdrops = backgrounds, workers, poses, backdrops
        self.facing, self.roll_deg = facing, roll_deg

    def check(self) -> None:
        """Check the folder of backgrounds; `prepare` renders what is missing."""
        if self.backgrounds is not None:
            photographs(str(self.backgrounds))

    def prepare(self) -> None:
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
        return self.root / "images" / f"{int(file):06d}.jpg"

    def read(self) -> HandLabels:
        images, annotations = records_of(self.root, self.count, "hands")
        labels = np.array([a["keypoints"] for a in annotations], np.float32)
        if labels.shape[1:] != (63,):
            raise UserError(f"{self.root} holds {labels.shape[1] // 3} keypoints a picture, expected the 21 of a hand")
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
