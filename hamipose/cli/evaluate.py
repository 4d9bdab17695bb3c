"""``python -m hamipose evaluate``: anyone's predicted keypoints under the protocols of the tables."""

import argparse
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

import hamipose.data
from hamipose.data.base import KeypointDataset, named_skeleton
from hamipose.errors import InputError
from hamipose.tables.evaluation import evaluate, in_order
from hamipose.tables.predictions import matched, read_predictions

__all__ = ["main"]


def _options(words: Sequence[str], kind: type) -> dict[str, Any]:
    """What follows for the data set: ``--name value`` pairs, as its constructor calls them."""
    known = list(inspect.signature(kind).parameters)
    options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise InputError(
                f"{word} is no option of evaluate or {kind.__name__}, whose options are {', '.join(known)}"
            )
        text = value if equals else next(rest, None)
        if text is None:
            raise InputError(f"--{name} is given without a value")
        options[name] = yaml.safe_load(text)
    return options


def _data_set(name: str, words: Sequence[str]) -> KeypointDataset:
    short = name.removeprefix("hamipose.data.")
    try:
        kind = getattr(hamipose.data, short)
    except AttributeError:
        kind = None
    if not (isinstance(kind, type) and issubclass(kind, KeypointDataset)):
        raise InputError(f"--data is {name}, which is no labelled data set of hamipose.data, such as LeedsSports")
    try:
        dataset = kind(**_options(words, kind))
    except TypeError as error:
        raise InputError(f"{short} cannot be made: {error}; give what it lacks as --name value") from None
    dataset.prepare()
    return dataset


def _image_ids(dataset: KeypointDataset) -> dict[int, str] | None:
    """Numbers of the images in a COCO annotation file."""
    path = getattr(dataset, "annotations", None)
    if not isinstance(path, Path):
        return None
    return {image["id"]: image["file_name"] for image in json.loads(path.read_text())["images"]}


def main(arguments: Sequence[str]) -> None:
    """Score a file of predictions.

    Args:
        arguments: command line after the verb.
    """
    parser = argparse.ArgumentParser(
        "python -m hamipose evaluate",
        allow_abbrev=False,
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
    parser.add_argument("--image-size", type=int, default=256, help="side of the crops that distances are measured in")
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.05, 0.1], help="as fractions of that side")
    parser.add_argument("--out", type=Path, help="write the scores to this JSON file, which `report --row` reads")
    given, words = parser.parse_known_args(arguments)
    dataset = _data_set(given.data, words)
    skeleton = dataset.skeleton
    found, names = read_predictions(given.predictions)
    order = list(named_skeleton(given.keypoints).keypoints) if given.keypoints else names or list(skeleton.keypoints)
    if len(found[0].keypoints_px) != len(order):
        raise InputError(
            f"{given.predictions} has {len(found[0].keypoints_px)} keypoints a person, expected {len(order)}; "
            "name their order with --keypoints"
        )
    samples = [dataset[i].name for i in range(len(dataset))]
    predicted = in_order(matched(found, samples, _image_ids(dataset)), order, skeleton)
    scores = {
        f"{protocol}/pck@{threshold:g}": evaluate(predicted, dataset, protocol, given.image_size, threshold)
        for protocol in given.protocol
        for threshold in given.threshold
    }
    columns = ["all", *skeleton.groups]
    table = Table("PCK, %", *columns, title=f"{given.predictions.name}, {len(samples)} people")
    for name, values in scores.items():
        table.add_row(name, *(f"{100 * values[c]:.1f}" if c in values else "" for c in columns))
    Console().print(table)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        content = {"predictions": given.predictions.name, "data": [given.data, *words], "people": len(samples)}
        given.out.write_text(json.dumps({**content, "scores": scores}, indent=1) + "\n")
