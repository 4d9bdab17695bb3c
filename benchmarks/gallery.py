"""Draw ``docs/gallery.png`` or ``docs/gallery_hands.png``: synthetic images of both styles with their skeletons.

python benchmarks/gallery.py
python benchmarks/gallery.py --subject hands
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from hamipose.skeletons import BODY16, HAND21
from hamipose.synthetic.hands.sample import render_hand
from hamipose.synthetic.people.sample import render_person
from hamipose.viz.drawing import draw_keypoints, make_grid

#: Subject → file, images per style, size in pixels, gray levels per step: coarser levels keep the files small.
SUBJECTS = {"people": ("gallery.png", 16, 176, 8), "hands": ("gallery_hands.png", 12, 128, 16)}


def main() -> None:
    """Write an image with four columns of pairs, the plain style above the photo style."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--subject", choices=list(SUBJECTS), default="people")
    parser.add_argument("--out", type=Path, help="default: the file in docs/")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, help="images per style; default: 16 people or 12 hands")
    parser.add_argument("--size", type=int, help="pixels; default: 176 for people, 128 for hands")
    options = parser.parse_args()
    name, count, size, step = SUBJECTS[options.subject]
    out, count, size = options.out or Path("docs") / name, options.count or count, options.size or size
    hands = options.subject == "hands"
    tiles = []
    for style in ("plain", "photo"):
        for index in range(count):
            render = render_hand if hands else render_person
            sample = render(style, index, seed=options.seed, size=size, device="cpu")
            image = cv2.imdecode(np.frombuffer(sample.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            labels, skeleton = (sample.labels, HAND21) if hands else (sample.labels["body16"], BODY16)
            tiles += [image, draw_keypoints(image, labels.keypoints_px, skeleton, labels.visibility > 0)]
    gallery = make_grid(tiles, 8)
    gallery = (gallery // step * step + step // 2).astype(np.uint8)
    cv2.imwrite(str(out), gallery[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
