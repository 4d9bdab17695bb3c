"""Measure how many training samples per second several loading processes deliver.

    python benchmarks/loading_processes.py --workers 8 --size 256 --batch 32

The data module reads JPEG files of 640 × 480 pixels with random labels, which it writes to a temporary folder, and
makes the views of the paper's recipe: one for the source, two for the target.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from hamipose.data import DomainAdaptation, KeypointDataset, Unlabeled
from hamipose.io.image_file import read_image
from hamipose.skeletons import BODY16
from hamipose.types import Sample

IMAGES = 64


class Photos(KeypointDataset):
    """Image files with random joints."""

    def __init__(self, folder: Path) -> None:
        self.skeleton = BODY16
        self.folder = folder

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        return Sample(
            image=read_image(self.folder / f"{index}.jpg"),
            box_px=np.array([80, 0, 480, 480], np.float32),
            name=str(index),
            keypoints_px=rng.uniform(80, 480, (len(BODY16), 2)).astype(np.float32),
            visibility=np.full(len(BODY16), 2),
        )


def main() -> None:
    """Time the batches after the first ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where the batches are copied to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rng = np.random.default_rng(0)
        for index in range(IMAGES):
            coarse = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            cv2.imwrite(f"{name}/{index}.jpg", cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC))
        photos = Photos(Path(name))
        warm_up = 2 * options.workers + 2
        module = DomainAdaptation(
            photos,
            [Unlabeled(photos)],
            image_size=options.size,
            batch_size=options.batch,
            num_workers=options.workers,
            steps_per_epoch=warm_up + options.batches,
            teacher_views="hamipose",
        )
        module.setup("fit")
        start = time.perf_counter()
        for number, batch in enumerate(module.train_dataloader()):
            if number == warm_up:
                start = time.perf_counter()
            batch.to(options.device)
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    rate = (options.batches - 1) * options.batch / seconds
    print(f"{options.workers} processes, {options.size} px: {rate:.0f} pairs of a source and a target image per second")


if __name__ == "__main__":
    main()
