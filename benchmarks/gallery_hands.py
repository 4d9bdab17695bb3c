"""Draws ``docs/gallery_hands.png``: built-in hands of both styles, each picture without and with its skeleton."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.sample import render_hand
from hamipose.viz.drawing import draw_keypoints, make_grid


def main() -> None:
    """Writes one picture: four columns of pairs, the plain style above, the photo style below."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery_hands.png"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=12, help="hands of each style")
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    tiles = []
    for style in ("plain", "photo"):
        for index in range(options.count):
            hand = render_hand(style, index, seed=options.seed, size=options.size, device="cpu")
            shown = cv2.imdecode(np.frombuffer(hand.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            labels = hand.labels
            tiles += [shown, draw_keypoints(shown, labels.keypoints_px, HAND21, labels.visibility > 0)]
    picture = make_grid(tiles, 8)
    # 16 steps a channel look much the same and keep the file small.
    picture = (picture // 16 * 16 + 8).astype(np.uint8)
    cv2.imwrite(str(options.out), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
