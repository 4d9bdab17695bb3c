from pathlib import Path

import cv2
import numpy as np
import torch

from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.data.style_pairs import StylePairs


def folders(root: Path) -> list[ImageFolder]:
    """Return folders of dark and bright images."""
    swapped = []
    for name, value in (("dark", 40), ("bright", 200)):
        (root / name).mkdir()
        for i in range(5):
            cv2.imwrite(str(root / name / f"{i}.png"), np.full((40, 50, 3), value + i, np.uint8))
        swapped.append(ImageFolder(str(root / name)))
    return swapped


def test_pairs_have_one_image_per_domain_and_batches_one_direction(tmp_path: Path):
    pairs = StylePairs(*folders(tmp_path), batch_size=4, size=32)
    directions = []
    for batch in range(30):
        swapped = {tuple(int(image.max()) > 100 for image in pairs[4 * batch + i]) for i in range(4)}
        assert len(swapped) == 1
        (direction,) = swapped
        assert sorted(direction) == [False, True]
        directions.append(direction)
    assert 8 < sum(first for first, _ in directions) < 22
    again = StylePairs(pairs.pools[0].datasets[0], pairs.pools[1].datasets[0], batch_size=4, size=32)
    assert all(torch.equal(a, b) for a, b in zip(pairs[77], again[77], strict=True))
