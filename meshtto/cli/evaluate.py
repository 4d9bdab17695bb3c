"""``python -m meshtto evaluate``: anyone's predicted meshes under the protocol of the tables."""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hamipose.errors import InputError
from meshtto.cli.arguments import Arguments

__all__ = ["main"]

_FORMATS = """\
the NPZ file holds, in metres, one of
  vertices_m [N, V, 3]                                    in the frame of the camera, no translation
  joints_m [N, 14, 3]                                     relative to the pelvis regressed with them
  shape [N, 10] with rotations [N, 24, 3, 3] or pose [N, 72]
and, where rows are not in the data set's order, index [N].
example
  python -m meshtto evaluate --predictions theirs.npz --data BuiltinMeshes --count 256 --seed 1 --size 160
"""


def _options(words: Sequence[str], kind: type) -> dict[str, Any]:
    """What follows for the data set: ``--name value`` pairs, as its constructor calls them."""
    known = list(inspect.signature(kind).parameters)
    options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise InputError(f"{word} is no option of {kind.__name__}, whose options are {', '.join(known)}")
        text = value if equals else next(rest, None)
        if text is None:
            raise InputError(f"--{name} is given without a value")
        options[name] = yaml.safe_load(text)
    return options


def _data_set(name: str, words: Sequence[str]) -> Any:
    import meshtto.data
    from meshtto.data.base import MeshDataset

    short = name.removeprefix("meshtto.data.")
    try:
        kind = getattr(meshtto.data, short)
    except AttributeError:
        kind = None
    if not (isinstance(kind, type) and issubclass(kind, MeshDataset)):
        raise InputError(f"--data is {name}, which is no data set of meshtto.data, such as BuiltinMeshes")
    try:
        dataset = kind(**_options(words, kind))
    except TypeError as error:
        raise InputError(f"{short} cannot be made: {error}; give what it lacks as --name value") from None
    dataset.prepare()
    return dataset


def main(arguments: list[str]) -> None:
    """Evaluate.

    Args:
        arguments: what follows the verb.
    """
    said = "Scores predictions under the protocol of the tables. Options of the data set follow its name."
    parser = Arguments("evaluate", said, _FORMATS)
    parser.add_argument("--predictions", required=True, help="NPZ file")
    parser.add_argument("--data", required=True, help="a data set of meshtto.data, such as BuiltinMeshes")
    parser.add_argument("--body", default="builtin", help="builtin, or a file of `body import`")
    parser.add_argument("--out", type=Path, help="also write the scores to this JSON file")
    given, words = parser.parse_known_args(arguments)
    from rich.console import Console

    from meshtto.report.evaluation import evaluate, read_predictions

    dataset = _data_set(given.data, words)
    scores = evaluate(read_predictions(given.predictions, dataset), dataset, given.body)
    console = Console(highlight=False)
    for name, value in scores["errors_mm"].items():
        console.print(f"{name.upper().replace('_', '-'):10} {value:8.2f} mm")
    for name, value in scores["protocol"].items():
        console.print(f"  {name}: {value}")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(scores, indent=1) + "\n")
