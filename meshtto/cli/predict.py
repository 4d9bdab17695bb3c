"""The verb `predict` without a config: from images or a video to meshes and overlays."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamipose.command_line.arguments import Arguments
from hamipose.command_line.progress import CommandProgress
from hamipose.errors import UserError
from hamipose.io.atomic_file import check_folder

if TYPE_CHECKING:
    from meshtto.body import Body
    from meshtto.predict.files import VideoFiles
    from meshtto.predict.frames import Frames

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m meshtto predict photos/                                       (models that ship, or are installed)
  python -m meshtto predict photos/ --pose-checkpoint runs/photos
  python -m meshtto predict clip.mp4 --steps 14 --frame-stride 5
  python -m meshtto predict group.jpg --keypoints people.json
  python -m meshtto predict photos/ --checkpoint mesh.ckpt --no-keypoints                   (without adaptation)
"""
#: Options of which at most one is given.
_SOURCES = ("keypoints", "pose_checkpoint", "no_keypoints")


def _parser() -> Arguments:
    description = "Meshes of the people in images or a video, fitted to their keypoints."
    parser = Arguments("python -m meshtto predict", description=description, epilog=_EXAMPLES)
    parser.add_argument("input", help="an image, a folder of images, or a video")
    parser.add_argument(
        "--checkpoint", help="checkpoint saved by `fit`, or a model folder (default: the model that ships)"
    )
    parser.add_argument("--keypoints", help="2D keypoints: COCO's format, or OpenPose's for one image")
    parser.add_argument(
        "--pose-checkpoint",
        help="find 2D keypoints with this model: a model folder, run, checkpoint or name (default: the best installed)",
    )
    parser.add_argument("--detector", help="person detector, as for `hamipose predict`; none: one person per image")
    parser.add_argument(
        "--no-keypoints", action="store_true", help="treat each image as one person, and do not adapt to it"
    )
    parser.add_argument(
        "--steps", type=int, help="adaptation steps in all phases, with keypoints (default: as in training)"
    )
    parser.add_argument("--min-confidence", type=float, default=0.1, help="ignore keypoints of lower confidence (0.1)")
    parser.add_argument("--out", type=Path, default=Path("meshes"), help="output folder")
    parser.add_argument("--focal", type=float, help="focal length in pixels (default: the image's diagonal)")
    parser.add_argument("--body", help="recover this body: a SMPL file of `body import` (default: as in training)")
    parser.add_argument("--frame-stride", type=int, default=1, help="use every n-th frame of a video")
    parser.add_argument("--no-smooth", action="store_true", help="do not write a video's smoothed variant")
    parser.add_argument("--frame-meshes", action="store_true", help="write OBJ and GLB files for a video's frames too")
    parser.add_argument("--no-images", action="store_true", help="write no PNG files (but a video's overlay)")
    parser.add_argument("--batch-size", type=int, help="people adapted together (16; 1 if a batch shares its weights)")
    parser.add_argument("--device", default=None, help="such as cpu or cuda:1 (default: the first GPU, if any)")
    return parser


def _check(given: Any) -> None:
    if given.frame_stride < 1 or (given.steps or 0) < 0 or (given.focal is not None and given.focal <= 0):
        raise UserError("--frame-stride must be at least 1, --steps at least 0, --focal above 0")
    if not 0 <= given.min_confidence <= 1 or (given.batch_size is not None and given.batch_size < 1):
        raise UserError("--min-confidence must be in 0 … 1, --batch-size at least 1")
    sources = [f"--{name.replace('_', '-')}" for name in _SOURCES if getattr(given, name)]
    if len(sources) > 1:
        raise UserError(f"{' and '.join(sources)} are both given; expected one of them")
    if given.detector and (given.keypoints or given.no_keypoints):
        raise UserError(f"--detector is given with {sources[0]}, which needs none; leave it out")
    if given.steps and given.no_keypoints:
        raise UserError(
            f"--steps {given.steps} is given with --no-keypoints; adaptation fits a mesh to 2D keypoints: leave one out"
        )


def _folder(out: Path) -> None:
    try:
        check_folder(out)
    except OSError as error:
        raise UserError(f"--out {out} cannot be created ({error.strerror}); give another folder") from None


def _print_notes(kind: str, lines: list[str], most: int = 5) -> None:
    for line in lines[:most]:
        print(f"{kind}: {line}", file=sys.stderr)
    if len(lines) > most:
        print(f"{kind}: {len(lines) - most} more", file=sys.stderr)


def _write_smooth(raw: "VideoFiles", frames: "Frames", body: "Body", step: int) -> None:
    """Write the smoothed variant of a video, up to the last frame with a person."""
    from meshtto.predict.files import Files, VideoFiles
    from meshtto.predict.smoothing import smooth_people

    people = smooth_people(raw.people, body, raw.rate, step)
    files = Files(raw.files.out, raw.files.faces, images=False, meshes=False)
    with VideoFiles(files, raw.name, raw.rate, "-smooth") as smooth:
        for frame in frames:
            assert frame.number is not None
            if frame.number > raw.people[-1][0]:
                break
            smooth.add(frame, people.get(frame.number, []))


def main(arguments: list[str]) -> None:
    """Recover meshes and write them.

    Args:
        arguments: the command line after the verb.
    """
    given = _parser().parse_args(arguments)
    _check(given)
    from meshtto.predict.files import Files, ImageFiles, VideoFiles
    from meshtto.predict.frames import open_frames
    from meshtto.predict.keypoints import KeypointFile, Source
    from meshtto.predict.model import adaptation_phases, describe_shipped, open_method
    from meshtto.predict.pose_evidence import open_pose_model
    from meshtto.predict.recover import Recoverer

    source: Source | None = None
    frames = open_frames(given.input, given.frame_stride)
    if given.keypoints:
        source = file = KeypointFile(given.keypoints)
        if not file.names_images and len(frames) > 1:
            raise UserError(f"{file} names no image, and {given.input} contains {len(frames)}; give COCO's format")
        file.check(frames.paths)
    method = open_method(given.checkpoint, given.body, given.device)
    if given.checkpoint is None:
        print(describe_shipped("--checkpoint"))
    if given.no_keypoints and method.regressor.reads_keypoints:
        raise UserError("--no-keypoints is given, but this network reads keypoints, not pixels; leave it out")
    if given.focal is not None and not method.regressor.camera.uses_focal:
        raise UserError(
            f"--focal {given.focal:g} is given, but a network of kind {method.options.kind} uses its own camera for "
            "each crop; leave --focal out"
        )
    if not given.keypoints and not given.no_keypoints:
        source, lines = open_pose_model(given.pose_checkpoint, given.detector, given.device)
        for line in lines:
            print(line)
    phases = adaptation_phases(method, given.steps) if source else []
    recoverer = Recoverer(
        method,
        source,
        phases,
        focal_px=given.focal,
        min_confidence=given.min_confidence,
        batch_size=given.batch_size,
    )
    _folder(given.out)
    if source is None:
        print("no keypoints: each image is treated as one person, predicted without adaptation", file=sys.stderr)
    elif given.steps is None and not phases:
        print(f"{given.checkpoint or 'the model'} does not adapt to keypoints", file=sys.stderr)
    moving = frames.rate is not None
    files = Files(given.out, method.body.faces.cpu().numpy(), not given.no_images, not moving or given.frame_meshes)
    writer = ImageFiles(files) if frames.rate is None else VideoFiles(files, Path(given.input).name, frames.rate)
    count = 0
    with writer, CommandProgress("recovering", len(frames)) as progress:
        try:
            for frame, people in recoverer.stream(frames):
                writer.add(frame, people)
                count += len(people)
                progress.advance()
        except KeyboardInterrupt:  # keep the results so far
            print("stopped", file=sys.stderr)
    lost = [*frames.unreadable, *recoverer.skipped]
    if isinstance(writer, VideoFiles) and writer.people and not given.no_smooth:
        _write_smooth(writer, frames, method.bodies.plain(method.device), given.frame_stride)
    _print_notes("skipped", lost)
    _print_notes("warning", recoverer.unadapted)
    if not count:
        raise UserError(f"no person was recovered from {given.input}; {lost[0] if lost else 'it was stopped'}")
    print(f"{count} people written to {given.out}")
    if moving:
        stem = given.out / Path(given.input).stem
        print(f"videos with meshes: {stem}-overlay.mp4" + ("" if given.no_smooth else f", {stem}-smooth-overlay.mp4"))
