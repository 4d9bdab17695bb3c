"""The verb `evaluate`: score predicted keypoints of any system under the protocols of the tables."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError
from hamipose.io.atomic_file import check_folder, write_text

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Score a file of predictions.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose evaluate",
        description="Compute PCK of predicted keypoints under the strict and the published protocol.",
        epilog="Other options are passed to the data set, such as --root DIR --split test.",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        required=True,
        help="COCO results (image_id, keypoints, score) or a file written by predict",
    )
    parser.add_argument("--data", required=True, metavar="CLASS", help="data set of hamipose.data: LeedsSports …")
    parser.add_argument("--protocol", choices=["strict", "paper"], nargs="+", default=["strict", "paper"])
    parser.add_argument(
        "--keypoints", help="order of the predicted keypoints, such as coco17, if the file does not name them"
    )
    parser.add_argument("--image-size", type=at_least(1), default=256, help="side of the crops in pixels")
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.05, 0.1], help="fractions of that side")
    parser.add_argument("--out", type=Path, help="JSON file for the scores, read by `experiments --row`")
    options, words = parser.parse_known_args(arguments)
    for threshold in options.threshold:
        if not threshold > 0:
            raise UserError(f"--threshold is {threshold:g}; it must be above 0, a fraction of the side of the crops")
    _evaluate(options, words)


def _evaluate(options: argparse.Namespace, words: list[str]) -> None:
    """Score the predictions, print the tables, and write the scores; `words` are options of the data set."""
    import numpy as np
    from rich.console import Console

    import hamipose.data
    from hamipose.command_line.dataset_option import build_dataset
    from hamipose.data.base import KeypointDataset, get_skeleton
    from hamipose.evaluation.prediction_files import match_predictions, orient_predictions, read_predictions
    from hamipose.evaluation.prediction_scores import evaluate
    from hamipose.evaluation.score_metrics import METRICS, PCK_METRIC

    dataset = build_dataset(options.data, words, hamipose.data, KeypointDataset, "LeedsSports")
    if options.out:
        check_folder(options.out.parent)
    skeleton = dataset.skeleton
    order = get_skeleton(options.keypoints).keypoints if options.keypoints else None
    people = read_predictions(options.predictions, skeleton, order, getattr(dataset, "categories", ()))
    dataset.prepare()
    samples = [dataset[i].name for i in range(len(dataset))]
    people = match_predictions(people, samples, getattr(dataset, "image_ids", None))
    people = orient_predictions(
        people, samples, [dataset.is_upright(i) for i in range(len(dataset))], options.predictions
    )
    predicted = np.stack([person.keypoints_px for person in people])
    metrics = [PCK_METRIC.at(*options.threshold) if metric is PCK_METRIC else metric for metric in METRICS]
    scores = {
        f"{protocol}/{key}": groups
        for protocol in options.protocol
        for key, groups in evaluate(predicted, dataset, protocol, options.image_size, metrics).items()
    }
    title = f"{options.predictions.name}, {len(samples)} people"
    for metric in metrics:
        rows = {name: row for name, row in scores.items() if name.partition("/")[2] in metric.keys}
        Console().print(metric.table(rows, ["all", *skeleton.groups]).to_rich(title))
    if options.out:
        content = {"predictions": options.predictions.name, "data": [options.data, *words], "people": len(samples)}
        write_text(options.out, json.dumps({**content, "scores": scores}, indent=1) + "\n")
