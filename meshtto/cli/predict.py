"""The verb `predict` in its short form: pictures in, meshes and pictures of them out."""

import sys
from pathlib import Path
from typing import Any

from hamipose.errors import InputError
from hamipose.io.whole_file import check_folder
from meshtto.cli.arguments import Arguments

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m meshtto predict photos/ --checkpoint mesh.ckpt --pose-checkpoint runs/photos
  python -m meshtto predict clip.mp4 --checkpoint mesh.ckpt --pose-checkpoint pose.ckpt --steps 14 --every 5
  python -m meshtto predict group.jpg --checkpoint mesh.ckpt --keypoints people.json       several people in a picture
  python -m meshtto predict photos/ --checkpoint mesh.ckpt                                 no keypoints, no adaptation
"""


def _parser() -> Arguments:
    parser = Arguments("predict", "Meshes of the people in pictures or a video, fitted to their keypoints.", _EXAMPLES)
    parser.add_argument("input", help="a picture, a folder of pictures, or a video")
    parser.add_argument("--checkpoint", required=True, help="what `fit` saved")
    parser.add_argument("--keypoints", help="2D keypoints: COCO's format, or OpenPose's for one picture")
    parser.add_argument(
        "--pose-checkpoint", help="find one person's 2D keypoints with this model: a model folder, run or checkpoint"
    )
    parser.add_argument(
        "--steps", type=int, help="of adaptation, over all its phases; with keypoints, by default those of training"
    )
    parser.add_argument("--least", type=float, default=0.1, help="keypoints of less confidence are not used (0.1)")
    parser.add_argument("--out", type=Path, default=Path("meshes"), help="folder to write to")
    parser.add_argument("--focal", type=float, help="focal length in pixels; the picture's diagonal where not known")
    parser.add_argument("--body", help="file of the body model, where it is elsewhere than in training")
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame of a video")
    parser.add_argument("--frame-meshes", action="store_true", help="OBJ and GLB also of a video's frames")
    parser.add_argument("--no-pictures", action="store_true", help="no PNG files (a video's overlay is written)")
    parser.add_argument("--batch-size", type=int, help="people adapted together (16; 1 if a batch shares its weights)")
    parser.add_argument("--device", default=None, help="such as cpu or cuda:1; by default the first GPU, if any")
    return parser


def _check(given: Any) -> None:
    if given.every < 1 or (given.steps or 0) < 0 or (given.focal is not None and given.focal <= 0):
        raise InputError("--every is expected to be at least 1, --steps at least 0, --focal above 0")
    if not 0 <= given.least <= 1 or (given.batch_size is not None and given.batch_size < 1):
        raise InputError("--least is expected to be in 0 … 1, --batch-size at least 1")
    if given.keypoints and given.pose_checkpoint:
        raise InputError("--keypoints and --pose-checkpoint are both given; expected one of them")
    if given.steps and not given.keypoints and not given.pose_checkpoint:
        raise InputError(
            f"--steps {given.steps} is given without --keypoints or --pose-checkpoint; adaptation fits a mesh to 2D "
            "keypoints: give a file, or a model that finds them, or --steps 0"
        )


def _folder(out: Path) -> None:
    try:
        check_folder(out)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made ({error.strerror}); give another folder") from None


def _name(what: str, lines: list[str], most: int = 5) -> None:
    for line in lines[:most]:
        print(f"{what}: {line}", file=sys.stderr)
    if len(lines) > most:
        print(f"{what}: {len(lines) - most} more", file=sys.stderr)


def main(arguments: list[str]) -> None:
    """Predict.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    _check(given)
    from rich.console import Console
    from rich.progress import Progress

    from meshtto.predict.files import Files, PictureFiles, VideoFiles
    from meshtto.predict.frames import open_pictures
    from meshtto.predict.keypoints import KeypointFile, Source
    from meshtto.predict.model import open_method, phases_of
    from meshtto.predict.pose_evidence import PoseModel
    from meshtto.predict.recover import Recovering

    source: Source | None = None
    if given.pose_checkpoint:
        source = PoseModel(given.pose_checkpoint, given.device)
    pictures = open_pictures(given.input, given.every)
    if given.keypoints:
        source = file = KeypointFile(given.keypoints)
        if not file.names_pictures and len(pictures) > 1:
            raise InputError(f"{file} names no picture, and {given.input} holds {len(pictures)}; give COCO's format")
        file.check(pictures.paths)
    method = open_method(given.checkpoint, given.body, given.device)
    if given.focal is not None and not method.regressor.camera.uses_focal:
        raise InputError(
            f"--focal {given.focal:g} is given, but a network of kind {method.options.kind} has a camera of its own "
            "for each crop; leave --focal out"
        )
    phases = phases_of(method, given.steps) if source else []
    recovering = Recovering(method, source, phases, focal_px=given.focal, least=given.least, together=given.batch_size)
    _folder(given.out)
    if source is None:
        print("no keypoints: each picture is one person, predicted without adaptation", file=sys.stderr)
    elif given.steps is None and not phases:
        print(f"{given.checkpoint} does not adapt: keypoints say where people are, no more", file=sys.stderr)
    moving = pictures.rate is not None
    files = Files(given.out, method.body.faces.cpu().numpy(), not given.no_pictures, not moving or given.frame_meshes)
    writer = PictureFiles(files) if pictures.rate is None else VideoFiles(files, Path(given.input).name, pictures.rate)
    count = 0
    with writer, Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("recovering", total=len(pictures))
        try:
            for shown, people in recovering.stream(pictures):
                writer.add(shown, people)
                count += len(people)
                progress.advance(task)
        except KeyboardInterrupt:  # what was recovered is not lost
            print("stopped", file=sys.stderr)
    lost = [*pictures.unreadable, *recovering.left_out]
    _name("left out", lost)
    _name("careful", recovering.unadapted)
    if not count:
        raise InputError(f"nobody was recovered from {given.input}; {lost[0] if lost else 'it was stopped'}")
    print(f"{count} people written to {given.out}")
    if moving:
        print(f"the video with meshes: {given.out / Path(given.input).stem}-overlay.mp4")
