"""The verb `app`: a page in the browser to try one model or two."""

import tempfile
from pathlib import Path

from hamipose.cli.arguments import Arguments
from hamipose.errors import InputError

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose app --checkpoint runs/adapted
  python -m hamipose app --checkpoint runs/adapted --other runs/before --port 8000
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose app",
        description="A page to drop photos and clips on: keypoints, their confidence, two models side by side.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--checkpoint", required=True, help="a model folder, or a checkpoint that `fit` saved")
    parser.add_argument("--other", help="a second one, shown beside it")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", choices=("yes", "no"), default="no", help="also through gradio's servers: public")
    parser.add_argument("--limit", type=int, default=300, help="of a clip, look at this many frames")
    parser.add_argument("--size", type=int, help="side of the crops in pixels; by default what each model knows")
    parser.add_argument("--device", help="such as cpu or cuda:1; the first GPU if there is one by default")
    return parser


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if given.limit < 1 or not 0 < given.port < 65536:
        raise InputError(f"--limit {given.limit} and --port {given.port}: expected at least 1, and 1 to 65535")
    from hamipose.app.serving import gradio, serve

    gradio()  # before the models, which take longer
    from hamipose.app.page import build
    from hamipose.inference.predictor import load

    paths = [given.checkpoint, *([given.other] if given.other else [])]
    names = [Path(path).name for path in paths]
    if len(set(names)) < len(names):
        names = paths if len(set(paths)) == len(paths) else ["first", "second"]
    models = {
        name: load(path, device=given.device, image_size=given.size) for name, path in zip(names, paths, strict=True)
    }
    with tempfile.TemporaryDirectory(prefix="hamipose-app-") as folder:
        serve(build(models, Path(folder), given.limit), given.port, share=given.share == "yes")
