"""The verb `predict` in its short form: footage in, keypoints and pictures out."""

import argparse
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from rich.progress import Progress

from hamipose.errors import InputError

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose predict photos/ --checkpoint runs/adapted
  python -m hamipose predict clip.mp4 --checkpoint last.ckpt --out found --every 2
  python -m hamipose predict street/ --checkpoint runs/adapted --boxes people.json --csv
  python -m hamipose predict webcam --checkpoint runs/adapted --limit 300
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m hamipose predict",
        allow_abbrev=False,
        description="Keypoints of the people in pictures or a video.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", help="a picture, a folder of pictures, a video, or webcam")
    parser.add_argument("--checkpoint", required=True, help="a model folder, or a checkpoint that `fit` saved")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    parser.add_argument("--boxes", help="COCO file with a box for each person (for a folder of pictures)")
    parser.add_argument("--every", type=int, default=1, help="use every n-th picture or frame")
    parser.add_argument("--limit", type=int, help="stop after this many pictures or frames")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, help="side of the crops in pixels; by default what the model knows")
    parser.add_argument("--device", help="such as cpu or cuda:1; the first GPU if there is one by default")
    parser.add_argument("--least", type=float, default=0.1, help="confidence below which a keypoint is not drawn")
    parser.add_argument("--csv", action="store_true", help="also a table with a row for each keypoint")
    parser.add_argument("--heatmaps", action="store_true", help="also the heatmaps, half precision, one file a person")
    parser.add_argument("--no-overlays", action="store_true", help="no pictures")
    return parser


def main(arguments: list[str]) -> None:
    """Predict.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if given.every < 1 or given.batch_size < 1:
        raise InputError(f"--every {given.every} and --batch-size {given.batch_size}: expected at least 1 each")
    from hamipose.inference.footage import open_footage
    from hamipose.inference.predictor import Prediction, load
    from hamipose.inference.writers import Overlays, write_coco, write_csv

    model = load(given.checkpoint, device=given.device, image_size=given.size)
    footage = open_footage(given.input, boxes=given.boxes, every=given.every, limit=given.limit)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    found: list[Prediction] = []
    overlays = Overlays(out, model.skeleton, footage.rate if footage.moving else None, given.least)
    with overlays, Progress(transient=True) as progress:
        task = progress.add_task("predicting", total=footage.count)
        try:
            while batch := list(islice(footage.samples, given.batch_size)):
                people = model.stream(batch, batch_size=given.batch_size, heatmaps=given.heatmaps)
                for sample, person in zip(batch, people, strict=True):
                    if not given.no_overlays:
                        overlays.add(sample, person)
                    if person.heatmaps is not None:
                        (out / "heatmaps").mkdir(exist_ok=True)
                        np.save(out / "heatmaps" / f"{len(found):06d}.npy", person.heatmaps.astype(np.float16))
                    found.append(replace(person, heatmaps=None))  # a long video's would fill the memory
                progress.update(task, advance=len(batch))
        except KeyboardInterrupt:  # a webcam has no end; what was found is not lost
            print("stopped")
    for line in footage.unreadable[:5]:
        print(f"left out: {line}", file=sys.stderr)
    if len(footage.unreadable) > 5:
        print(f"left out: {len(footage.unreadable) - 5} more that could not be read", file=sys.stderr)
    if not found:
        raise InputError(f"nothing in {given.input} could be read; see above")
    write_coco(out / "predictions.json", found, model.skeleton, frames=footage.moving)
    if given.csv:
        write_csv(out / "predictions.csv", found, model.skeleton)
    print(f"{len(found)} people in {given.input}: keypoints in {out / 'predictions.json'}")
    if overlays.written:
        where = out / ("overlay.mp4" if footage.moving else "overlays/")
        print(f"pictures in {where}; left limbs orange, right limbs blue")
