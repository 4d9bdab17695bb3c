"""The verb `adapt`: adapt a model to unlabeled footage."""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hamipose.cli.predict import DETECTOR
from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError
from hamipose.models.pretrained.catalog import PEOPLE, default_start

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose adapt photos/ --out runs/photos
  python -m hamipose adapt clip.mp4 --out runs/clip --frame-stride 5
  python -m hamipose adapt photos/ --out runs/photos --start runs/other --labels few.json
  python -m hamipose adapt photos/ --out runs/photos --start blazepose-full --detector blazepose
  python -m hamipose adapt party.mp4 --out runs/party --detector torchvision
  python -m hamipose adapt photos/ --out runs/photos --teacher blazepose-heavy
  python -m hamipose adapt photos/ --out runs/photos --teacher predictions.json

The same command resumes an interrupted adaptation. The labeled source is built-in people; --source replaces it with a
set in COCO keypoint format.
"""

#: Options that set a field of `TrainingSettings`; the default of each depends on the machine.
_SETTINGS = (
    "backbone",
    "weights",
    "image_size",
    "batch_size",
    "people",
    "start_steps",
    "adapt_steps",
    "trained",
)

#: Settings that a model given with --start already has.
_OF_START = ("backbone", "weights", "image_size", "start_steps")


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose adapt",
        description="Adapt a pose model to footage without labels.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("footage", type=Path, help="a folder of images, or a video")
    parser.add_argument("--out", type=Path, required=True, help="output folder for the model and the report")
    parser.add_argument(
        "--start",
        type=Path,
        help="model, checkpoint or pretrained network to start from, or `train` to train one first (default: the model "
        "that ships with hamipose, unless an option below changes the network)",
    )
    parser.add_argument("--trained", choices=("all", "head"), help="layers of a pretrained --start to train")
    parser.add_argument("--boxes", help="COCO file with a box for each person")
    parser.add_argument("--detector", help=DETECTOR)
    parser.add_argument("--detector-threshold", type=float, help="lowest score of a detected person (0.5)")
    parser.add_argument("--labels", help="COCO keypoint file of some of the images; only scored, never trained on")
    parser.add_argument(
        "--teacher",
        help="label the footage with this network (name, .onnx file or run) or with this COCO keypoint file of "
        "predictions, weighted by their scores (default: the moving average of the model)",
    )
    parser.add_argument("--source", help="labeled source instead of built-in people, as FOLDER:ANNOTATIONS")
    parser.add_argument("--frame-stride", type=at_least(1), default=1, help="use every n-th frame of a video")
    parser.add_argument("--seed", type=at_least(0), default=0)
    sizes = parser.add_argument_group("sizes and lengths (defaults depend on the machine)")
    sizes.add_argument("--backbone", help="timm's name of the backbone")
    sizes.add_argument("--weights", help="initial weights of the backbone: none, pretrained, or a file")
    sizes.add_argument("--image-size", type=at_least(1), help="side of the crops in pixels, a multiple of 32")
    sizes.add_argument("--batch-size", type=at_least(1))
    sizes.add_argument("--people", type=at_least(1), help="number of built-in people to render")
    sizes.add_argument("--start-steps", type=at_least(1), help="steps of training on the source alone")
    sizes.add_argument("--adapt-steps", type=at_least(1), help="steps of adaptation")
    sizes.add_argument("--cache", type=Path, default=Path("cache/people"), help="folder of built-in people")
    return parser


def main(arguments: list[str]) -> None:
    """Run `adapt`.

    Args:
        arguments: the command line after the verb.

    Raises:
        UserError: options contradict each other, or a file cannot be used.
    """
    options = _parser().parse_args(arguments)
    if not options.footage.exists():
        raise UserError(f"footage {options.footage} does not exist; give a folder of images or a video")
    if options.detector is not None and options.boxes is not None:
        raise UserError("--detector and --boxes are both given; give one of them")
    start = _select_start(options)
    source = None
    if options.source is not None:
        source, colon, annotations = options.source.rpartition(":")
        if not colon or not source:
            raise UserError(f"--source is {options.source!r}, expected FOLDER:ANNOTATIONS")
    from hamipose.adapt.configs import labeled_set
    from hamipose.adapt.hardware import detect_machine
    from hamipose.adapt.run import adapt
    from hamipose.adapt.spec import AdaptationSpec
    from hamipose.io.media_types import VIDEO_SUFFIXES, unsupported_reason

    if not options.footage.is_dir() and options.footage.suffix.lower() not in VIDEO_SUFFIXES:
        if (reason := unsupported_reason(options.footage)) is not None:
            raise UserError(f"footage {options.footage}: {reason}")
        raise UserError(f"footage {options.footage} is neither a folder nor a video ({', '.join(VIDEO_SUFFIXES)})")
    source_config = None if source is None else labeled_set(Path(source), Path(annotations), "person")
    machine = detect_machine()
    spec = AdaptationSpec(
        footage=options.footage,
        out=options.out,
        settings=_choose_settings(options, machine, start),
        seed=options.seed,
        start=start,
        source=source_config,
        boxes=options.boxes,
        detector=options.detector,
        detector_threshold=options.detector_threshold,
        frame_stride=options.frame_stride,
        labels=options.labels,
        teacher=options.teacher,
        cache=options.cache,
    )
    begin = time.monotonic()

    def log(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"{minutes:3d}:{seconds:02d}  {line}", flush=True)

    adapt(spec, machine, log)


def _select_start(options: argparse.Namespace) -> Path | None:
    """Return the model to start from: the given one, or the one that ships; None to train one."""
    own = [name for name in _OF_START if getattr(options, name) is not None]
    start: Path | None = None if options.start == Path("train") else options.start
    if start is not None and own:
        option = f"--{own[0].replace('_', '-')}"
        raise UserError(f"--start and {option} are both given; the model to start from has its own: leave one out")
    if options.start is None and not own and default_start(include_fetched=False) is not None:
        print(
            f"start: {PEOPLE.name} ({PEOPLE.license.split(',')[0]}), part of hamipose; use --start train to train "
            "another one"
        )
        return PEOPLE.folder
    return start


def _choose_settings(options: argparse.Namespace, machine: Any, start: Path | None) -> Any:
    """Return the default settings for the machine and the start, changed by the given options."""
    from hamipose.adapt.hardware import default_settings, pretrained_settings
    from hamipose.adapt.start import open_start_model
    from hamipose.models.pretrained.interface import FinetunableNetwork

    model = None if start is None else open_start_model(start)
    pretrained = model is not None and isinstance(model.network, FinetunableNetwork)
    if options.trained is not None and not pretrained:
        raise UserError("--trained needs a pretrained network in --start, such as blazepose-full")
    if pretrained and model is not None:
        settings = pretrained_settings(machine, model.info)
    else:
        settings = default_settings(machine)
    changes = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    return replace(settings, **changes)
