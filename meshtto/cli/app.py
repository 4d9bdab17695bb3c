"""The verb `app`: a web page to try a mesh model."""

import tempfile
from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m meshtto app
  python -m meshtto app --checkpoint mesh.ckpt --pose-checkpoint runs/photos --steps 14 --port 8000
"""


def _parser() -> Arguments:
    description = "Web page for single photos: rotatable meshes of their people, and every adaptation step."
    parser = Arguments("python -m meshtto app", description=description, epilog=_EXAMPLES)
    parser.add_argument(
        "--checkpoint", help="checkpoint saved by `fit`, or a model folder (default: the model that ships)"
    )
    parser.add_argument(
        "--pose-checkpoint",
        help="find 2D keypoints with this model: a model folder, run, checkpoint or name (default: the best installed)",
    )
    parser.add_argument("--detector", help="person detector, as for `hamipose predict`; none: one person per image")
    parser.add_argument("--steps", type=int, help="adaptation steps in all phases (default: as in training)")
    parser.add_argument("--min-confidence", type=float, default=0.1, help="ignore keypoints of lower confidence (0.1)")
    parser.add_argument("--body", help="recover this body: a SMPL file of `body import` (default: as in training)")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", choices=("yes", "no"), default="no", help="publish through gradio's servers")
    parser.add_argument("--device", help="such as cpu or cuda:1 (default: the first GPU, if any)")
    return parser


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: the command line after the verb.
    """
    given = _parser().parse_args(arguments)
    if not 0 < given.port < 65536 or not 0 <= given.min_confidence <= 1 or (given.steps or 0) < 0:
        raise UserError(
            f"--port {given.port}, --min-confidence {given.min_confidence:g}, --steps {given.steps}: expected 1 to "
            "65535, 0 to 1, and 0 or more"
        )
    from hamipose.viz.serving import import_gradio, serve

    import_gradio()  # fails early, before the slower models are loaded
    from meshtto.app.page import build_page
    from meshtto.app.response import Responder
    from meshtto.predict.model import adaptation_phases, describe_shipped, open_method
    from meshtto.predict.pose_evidence import open_pose_model

    pose, lines = open_pose_model(given.pose_checkpoint, given.detector, given.device)
    for line in [describe_shipped("--checkpoint")] * (given.checkpoint is None) + lines:
        print(line)
    method = open_method(given.checkpoint, given.body, given.device)
    phases = adaptation_phases(method, given.steps)
    with tempfile.TemporaryDirectory(prefix="meshtto-app-") as folder:
        page = build_page(
            Path(given.checkpoint or "people").name, Responder(method, Path(folder), pose, phases, given.min_confidence)
        )
        serve(page, given.port, share=given.share == "yes")
