"""``python -m hamipose evaluate``: anyone's predicted keypoints under the protocols of the tables."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

import hamipose.data
from hamipose.command_line.arguments import Arguments, at_least
from hamipose.command_line.dataset_option import named_set
from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.errors import UserError
from hamipose.evaluation.pck_table import pck_table
from hamipose.evaluation.prediction_files import in_frames, matched, read_predictions
from hamipose.evaluation.prediction_scores import evaluate
from hamipose.io.atomic_file import check_folder, write_text

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Score a file of predictions.

    Args:
        arguments: command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose evaluate",
        description="PCK of predicted keypoints, under the strict protocol and the published one.",
        epilog="Other options go to the data set: --root DIR --split test",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        required=True,
        help="COCO results (image_id, keypoints, score) or what predict writes",
    )
    parser.add_argument("--data", required=True, metavar="CLASS", help="of hamipose.data, such as LeedsSports")
    parser.add_argument("--protocol", choices=["strict", "paper"], nargs="+", default=["strict", "paper"])
    parser.add_argument(
        "--keypoints", help="order of the predicted keypoints where the file does not name them: coco17 …"
    )
    parser.add_argument(
        "--image-size", type=at_least(1), default=256, help="side of the crops that distances are measured in"
    )
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.05, 0.1], help="as fractions of that side")
    parser.add_argument("--out", type=Path, help="write the scores to this JSON file, which `report --row` reads")
    given, words = parser.parse_known_args(arguments)
    for threshold in given.threshold:
        if not threshold > 0:
            raise UserError(f"--threshold is {threshold:g}, expected fractions above 0 of the crops' side")
    dataset = named_set(given.data, words, hamipose.data, KeypointDataset, "LeedsSports")
    if given.out:
        check_folder(given.out.parent)
    skeleton = dataset.skeleton
    order = get_skeleton(given.keypoints).keypoints if given.keypoints else None
    found = read_predictions(given.predictions, skeleton, order, getattr(dataset, "categories", ()))
    dataset.prepare()
    samples = [dataset[i].name for i in range(len(dataset))]
    found = matched(found, samples, getattr(dataset, "image_ids", None))
    found = in_frames(found, samples, [dataset.is_upright(i) for i in range(len(dataset))], given.predictions)
    predicted = np.stack([person.keypoints_px for person in found])
    scores = {
        f"{protocol}/pck@{threshold:g}": evaluate(predicted, dataset, protocol, given.image_size, threshold)
        for protocol in given.protocol
        for threshold in given.threshold
    }
    title = f"{given.predictions.name}, {len(samples)} people"
    Console().print(pck_table(scores, ["all", *skeleton.groups], title))
    if given.out:
        content = {"predictions": given.predictions.name, "data": [given.data, *words], "people": len(samples)}
        write_text(given.out, json.dumps({**content, "scores": scores}, indent=1) + "\n")
