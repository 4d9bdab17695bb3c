"""The verb `app`: a page in the browser to try a mesh model."""

import tempfile
from pathlib import Path

from hamipose.errors import InputError
from meshtto.cli.arguments import Arguments

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m meshtto app --checkpoint mesh.ckpt --pose-checkpoint runs/photos
  python -m meshtto app --checkpoint mesh.ckpt --steps 14 --port 8000          keypoints come as files, on the page
"""


def _parser() -> Arguments:
    said = "A page to drop photos on: their people's meshes, to be turned, and every step of adaptation."
    parser = Arguments("app", said, _EXAMPLES)
    parser.add_argument("--checkpoint", required=True, help="what `fit` saved")
    parser.add_argument(
        "--pose-checkpoint", help="find one person's 2D keypoints with this model: a model folder, run or checkpoint"
    )
    parser.add_argument("--steps", type=int, help="of adaptation, over all its phases; by default those of training")
    parser.add_argument("--least", type=float, default=0.1, help="keypoints of less confidence are not used (0.1)")
    parser.add_argument("--body", help="file of the body model, where it is elsewhere than in training")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", choices=("yes", "no"), default="no", help="also through gradio's servers: public")
    parser.add_argument("--device", help="such as cpu or cuda:1; the first GPU if there is one by default")
    return parser


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if not 0 < given.port < 65536 or not 0 <= given.least <= 1 or (given.steps or 0) < 0:
        raise InputError(
            f"--port {given.port}, --least {given.least:g}, --steps {given.steps}: expected 1 to 65535, 0 to 1, and 0 "
            "or more"
        )
    from hamipose.app.serving import gradio, serve

    gradio()  # before the models, which take longer
    from meshtto.app.page import build
    from meshtto.app.response import Answers
    from meshtto.predict.model import open_method, phases_of
    from meshtto.predict.pose_evidence import PoseModel

    pose = PoseModel(given.pose_checkpoint, given.device) if given.pose_checkpoint else None
    method = open_method(given.checkpoint, given.body, given.device)
    phases = phases_of(method, given.steps)
    with tempfile.TemporaryDirectory(prefix="meshtto-app-") as folder:
        page = build(Path(given.checkpoint).name, Answers(method, Path(folder), pose, phases, given.least))
        serve(page, given.port, share=given.share == "yes")
