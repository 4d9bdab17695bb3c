"""A data set: squares on noise, whose corners are the keypoints.

Put this file into the folder where you call ``python -m hamipose`` and name the class in a config::

    data: {source: {class_path: own_dataset.Squares, init_args: {count: 256}}}
"""

import numpy as np

from hamipose.data.base import KeypointDataset
from hamipose.skeletons import SKELETONS, Skeleton
from hamipose.types import Sample

CORNERS = ("nw", "ne", "se", "sw")
SQUARE = Skeleton(
    name="square4",
    keypoints=CORNERS,
    limbs=(("nw", "ne"), ("ne", "se"), ("se", "sw"), ("sw", "nw")),
    groups={"top": ("nw", "ne"), "bottom": ("se", "sw")},
    all=CORNERS,  # the keypoints of the headline score
)
SKELETONS["square4"] = SQUARE


class Squares(KeypointDataset):
    """Gray squares on noise.

    Args:
        count: number of images.
        seed: random seed.
        side: side of the images in pixels.
    """

    def __init__(self, count: int = 100, seed: int = 0, side: int = 64):
        self.count, self.seed, self.side = count, seed, side
        self.skeleton = SQUARE

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        image = rng.integers(0, 60, (self.side, self.side, 3), np.uint8)
        left, top = rng.integers(4, self.side // 2, 2)
        right, bottom = left + self.side // 3, top + self.side // 3
        image[top : bottom + 1, left : right + 1] = 200
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return Sample(
            image=image,
            box_px=np.array([0, 0, self.side, self.side], np.float32),
            name=f"square {index}",
            keypoints_px=np.array(corners, np.float32),
            visibility=np.full(4, 2),  # 0: not labeled, 1: occluded, 2: visible
        )


if __name__ == "__main__":
    sample = Squares(count=3)[2]
    print(sample.name, sample.keypoints_px.tolist())
    assert (sample.image[sample.keypoints_px[:, 1].astype(int), sample.keypoints_px[:, 0].astype(int)] == 200).all()
