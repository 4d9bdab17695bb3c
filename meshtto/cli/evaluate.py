"""The verb `evaluate`: score external mesh predictions under the protocol of the tables."""

import json
from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.command_line.dataset_option import build_dataset
from hamipose.io.atomic_file import check_folder, write_text

__all__ = ["main"]

_FORMATS = """\
the NPZ file contains, in meters, one of
  vertices_m [N, V, 3]                                    in the frame of the camera, no translation
  joints_m [N, 14, 3]                                     relative to the pelvis regressed with them
  shape [N, 10] with rotations [N, 24, 3, 3] or pose [N, 72]
and, if rows are not in the data set's order, index [N].
example
  python -m meshtto evaluate --predictions theirs.npz --data BuiltinMeshes --count 256 --seed 1 --size 160
"""


def main(arguments: list[str]) -> None:
    """Score a prediction file.

    Args:
        arguments: the command line after the verb.
    """
    description = "Scores predictions under the protocol of the tables. Options of the data set follow its name."
    parser = Arguments("python -m meshtto evaluate", description=description, epilog=_FORMATS)
    parser.add_argument("--predictions", required=True, help="NPZ file")
    parser.add_argument("--data", required=True, help="a data set of meshtto.data, such as BuiltinMeshes")
    parser.add_argument("--body", default="builtin", help="builtin, or a file of `body import`")
    parser.add_argument("--out", type=Path, help="also write the scores to this JSON file")
    options, words = parser.parse_known_args(arguments)
    from rich.console import Console

    import meshtto.data
    from meshtto.body import load_body
    from meshtto.data.base import MeshDataset
    from meshtto.evaluation.prediction_scores import evaluate, read_arrays, read_predictions

    dataset = build_dataset(options.data, words, meshtto.data, MeshDataset, "BuiltinMeshes")
    read_arrays(options.predictions)
    load_body(options.body)
    if options.out:
        check_folder(options.out.parent)
    dataset.prepare()
    scores = evaluate(read_predictions(options.predictions, dataset), dataset, options.body)
    console = Console(highlight=False)
    for name, value in scores["errors_mm"].items():
        console.print(f"{name.upper().replace('_', '-'):10} {value:8.2f} mm")
    for name, value in scores["protocol"].items():
        console.print(f"  {name}: {value}")
    if options.out:
        write_text(options.out, json.dumps(scores, indent=1) + "\n")
