"""The verb `adapt`: footage in, a model adapted to it out."""

import time
from dataclasses import replace
from pathlib import Path

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

The same command resumes an interrupted adaptation. The source is built-in people; --source names another labeled set in
COCO keypoint format (FOLDER:ANNOTATIONS).
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose adapt",
        description="Adapt a pose model to footage without labels.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("footage", type=Path, help="a folder of pictures, or a video")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the report")
    parser.add_argument(
        "--start",
        type=Path,
        help="model, checkpoint or pretrained network to start from, or train: train one first; by default the start "
        "that is part of hamipose, if it is there and no option of the network is given",
    )
    parser.add_argument("--trained", choices=("all", "head"), help="layers of a pretrained --start to train")
    parser.add_argument("--boxes", help="COCO file with a box for each person")
    parser.add_argument("--detector", help=DETECTOR)
    parser.add_argument("--detector-threshold", type=float, help="least score of a detected person (0.5)")
    parser.add_argument("--labels", help="COCO keypoint file of some of the pictures: scored, never learnt from")
    parser.add_argument(
        "--teacher",
        help="what labels the footage in place of the model's own moving average: a network that `predict` can use, by "
        "name, .onnx file or run, or a COCO keypoint file with any tool's predictions; weighted by their scores",
    )
    parser.add_argument("--source", help="labeled set to learn from instead of built-in people, FOLDER:ANNOTATIONS")
    parser.add_argument("--frame-stride", type=int, default=1, help="use every n-th frame of a video")
    parser.add_argument("--seed", type=at_least(0), default=0)
    sizes = parser.add_argument_group("sizes (chosen for the machine where left out)")
    sizes.add_argument("--backbone", help="timm's name")
    sizes.add_argument("--weights", help="what the backbone starts from: none, pretrained, or a file")
    sizes.add_argument("--size", type=int, help="side of the crops in pixels, a multiple of 32")
    sizes.add_argument("--batch-size", type=int)
    sizes.add_argument("--people", type=int, help="built-in people to make")
    sizes.add_argument("--start-steps", type=int, help="steps on the source alone")
    sizes.add_argument("--steps", type=int, help="steps of adaptation")
    sizes.add_argument("--cache", type=Path, default=Path("cache/people"), help="where built-in people are kept")
    return parser


def main(arguments: list[str]) -> None:
    """Adapt.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if not given.footage.exists():
        raise UserError(f"footage {given.footage} does not exist; give a folder of pictures or a video")
    for name in ("frame_stride", "size", "batch_size", "people", "start_steps", "steps"):
        if (value := getattr(given, name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}, expected at least 1")
    if given.detector is not None and given.boxes is not None:
        raise UserError("both --detector and --boxes are given; people can come from one of them")
    own = [name for name in ("backbone", "weights", "size", "start_steps") if getattr(given, name) is not None]
    start = None if given.start == Path("train") else given.start
    if start is not None and own:
        option = f"--{own[0].replace('_', '-')}"
        raise UserError(f"both --start and {option} are given; the model to start from has its own: leave one out")
    if given.start is None and not own and default_start(borrowed=False) is not None:
        start = PEOPLE.folder
        print(f"start: {PEOPLE.name} ({PEOPLE.license.split(',')[0]}), part of hamipose; --start train trains another")
    source = None
    if given.source is not None:
        root, colon, annotations = given.source.rpartition(":")
        if not colon or not root:
            raise UserError(f"--source is {given.source!r}, expected FOLDER:ANNOTATIONS")
    from hamipose.adapt.configs import labeled_set
    from hamipose.adapt.hardware import default_plan, pretrained_plan, this_machine
    from hamipose.adapt.run import adapt
    from hamipose.adapt.spec import Request
    from hamipose.adapt.start import open_given
    from hamipose.io.media_types import VIDEO_SUFFIXES, unsupported_reason
    from hamipose.models.pretrained.interface import Start

    if not given.footage.is_dir() and given.footage.suffix.lower() not in VIDEO_SUFFIXES:
        if (reason := unsupported_reason(given.footage)) is not None:
            raise UserError(f"footage {given.footage}: {reason}")
        raise UserError(f"footage {given.footage} is neither a folder nor a video ({', '.join(VIDEO_SUFFIXES)})")

    if given.source is not None:
        source = labeled_set(Path(root), Path(annotations), "person")
    machine = this_machine()
    asked = {
        "backbone": given.backbone,
        "weights": given.weights,
        "image_size": given.size,
        "batch_size": given.batch_size,
        "people": given.people,
        "start_steps": given.start_steps,
        "adapt_steps": given.steps,
        "trained": given.trained,
    }
    opened = None if start is None else open_given(start)
    pretrained = opened is not None and isinstance(opened.network, Start)
    if given.trained is not None and not pretrained:
        raise UserError("--trained is given without a pretrained network in --start, such as blazepose-full")
    plan = pretrained_plan(machine, opened.info) if pretrained and opened is not None else default_plan(machine)
    plan = replace(plan, **{k: v for k, v in asked.items() if v is not None})
    request = Request(
        footage=given.footage,
        out=given.out,
        plan=plan,
        seed=given.seed,
        start=start,
        source=source,
        boxes=given.boxes,
        detector=given.detector,
        detector_threshold=given.detector_threshold,
        frame_stride=given.frame_stride,
        labels=given.labels,
        teacher=given.teacher,
        cache=given.cache,
    )
    began = time.monotonic()

    def say(words: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {words}", flush=True)

    adapt(request, machine, say)
