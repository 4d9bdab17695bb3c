"""Data sets whose images show a dot of its own color at each joint, so that a tiny network can learn them."""

import colorsys
import json
from pathlib import Path

import cv2
import numpy as np

from hamipose.skeletons import BODY16, Skeleton


def write_dots(
    root: Path, count: int, size: int = 48, seed: int = 0, dark: bool = False, skeleton: Skeleton = BODY16
) -> Path:
    """Write a data set in COCO keypoint format with random joints.

    Args:
        root: folder of the data set.
        count: number of images.
        size: side of the images in pixels.
        seed: random seed of the joints.
        dark: style of the images.
        skeleton: keypoints; the hue of a dot depends on its number.
    """
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        image = np.full((size, size, 3), 20 if dark else 230, np.uint8)
        image += rng.integers(0, 20, image.shape, dtype=np.uint8)
        points = rng.uniform(0.1 * size, 0.9 * size, (len(skeleton), 2))
        for k, (x, y) in enumerate(points):
            color = [int(255 * c) for c in colorsys.hsv_to_rgb(k / len(skeleton), 1, 0.6 if dark else 1)]
            cv2.circle(image, (round(16 * x), round(16 * y)), 16 * size // 16, color, -1, cv2.LINE_AA, shift=4)
        cv2.imwrite(str(root / "images" / f"{number:04d}.png"), image[..., ::-1])
        images.append({"id": number, "file_name": f"{number:04d}.png", "width": size, "height": size})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [0, 0, size, size],
                "keypoints": np.column_stack([points, np.full(len(points), 2)]).round(3).ravel().tolist(),
            }
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root
