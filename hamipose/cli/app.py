"""The verb `app`: a web page to try one or two models."""

import tempfile
from pathlib import Path

from hamipose.cli.predict import CHECKPOINT, DETECTOR
from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose app
  python -m hamipose app --checkpoint runs/adapted
  python -m hamipose app --checkpoint runs/adapted --compare runs/before --port 8000
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose app",
        description="Web page for images and clips: keypoints, their confidence, and two models side by side.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--checkpoint", help=CHECKPOINT)
    parser.add_argument("--compare", help="a second model, shown beside the first")
    parser.add_argument("--detector", help=DETECTOR)
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", choices=("yes", "no"), default="no", help="publish through gradio's servers")
    parser.add_argument("--limit", type=at_least(1), default=300, help="maximum number of frames of a clip")
    parser.add_argument(
        "--image-size", type=at_least(1), help="side of the crops in pixels (default: that of each model)"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1 (default: the first GPU, if any)")
    return parser


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: the command line after the verb.
    """
    options = _parser().parse_args(arguments)
    if not 0 < options.port < 65536:
        raise UserError(f"--port is {options.port}, expected 1 to 65535")
    from hamipose.viz.serving import import_gradio, serve

    import_gradio()  # fails early, before the slower models are loaded
    from hamipose.app.page import build_page
    from hamipose.inference.detection import NO_DETECTOR, default_detector, open_detector
    from hamipose.inference.loading import load
    from hamipose.models.pretrained.catalog import describe_default, required_default

    note = ""
    if options.checkpoint is None:
        note = describe_default("--checkpoint")
        print(note)
    first, second = options.checkpoint or required_default(), options.compare
    names = [Path(path).name for path in (first, *([second] if second else []))]
    if len(set(names)) < len(names):
        names = [first, second] if first != second else ["first", "second"]
    models = {
        name: load(path, device=options.device, image_size=options.image_size)
        for name, path in zip(names, (options.checkpoint, second), strict=False)
    }
    for model in models.values():
        model.use_default_passes()
    detector = None
    if options.detector is None:
        detector, line = default_detector()
        print(line)
    elif options.detector != NO_DETECTOR:
        detector = open_detector(options.detector, device=options.device)
    with tempfile.TemporaryDirectory(prefix="hamipose-app-") as folder:
        page = build_page(models, Path(folder), options.limit, detector, note)
        serve(page, options.port, share=options.share == "yes")
