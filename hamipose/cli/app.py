"""The verb `app`: a page in the browser to try one model or two."""

import tempfile
from pathlib import Path

from hamipose.cli.predict import CHECKPOINT, DETECTOR
from hamipose.command_line.arguments import Arguments
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
        description="A page to drop photos and clips on: keypoints, their confidence, two models side by side.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--checkpoint", help=CHECKPOINT)
    parser.add_argument("--compare", help="a second one, shown beside it")
    parser.add_argument("--detector", help=DETECTOR)
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", choices=("yes", "no"), default="no", help="also through gradio's servers: public")
    parser.add_argument("--limit", type=int, default=300, help="of a clip, look at this many frames")
    parser.add_argument("--image-size", type=int, help="side of the crops in pixels; by default what each model knows")
    parser.add_argument("--device", help="such as cpu or cuda:1; the first GPU if there is one by default")
    return parser


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if given.limit < 1 or not 0 < given.port < 65536:
        raise UserError(f"--limit {given.limit} and --port {given.port}: expected at least 1, and 1 to 65535")
    from hamipose.viz.serving import import_gradio, serve

    import_gradio()  # before the models, which take longer
    from hamipose.app.page import build_page
    from hamipose.inference.detection import NO_DETECTOR, default_detector, open_detector
    from hamipose.inference.loading import load
    from hamipose.models.pretrained.catalog import describe_default, required_default

    about = ""
    if given.checkpoint is None:
        about = describe_default("--checkpoint")
        print(about)
    first = given.checkpoint or required_default()
    names = [Path(path).name for path in (first, *([given.compare] if given.compare else []))]
    if len(set(names)) < len(names):
        names = [first, given.compare] if first != given.compare else ["first", "second"]
    models = {
        name: load(path, device=given.device, image_size=given.image_size)
        for name, path in zip(names, (given.checkpoint, given.compare), strict=False)
    }
    for model in models.values():
        model.use_default_passes()
    detector = None
    if given.detector is None:
        detector, line = default_detector()
        print(line)
    elif given.detector != NO_DETECTOR:
        detector = open_detector(given.detector, device=given.device)
    with tempfile.TemporaryDirectory(prefix="hamipose-app-") as folder:
        page = build_page(models, Path(folder), given.limit, detector, about)
        serve(page, given.port, share=given.share == "yes")
