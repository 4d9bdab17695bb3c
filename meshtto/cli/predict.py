"""The verb `predict` in its short form: pictures in, meshes and pictures of them out."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hamipose.errors import InputError
from meshtto.cli.arguments import Arguments

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose predict photos/ --checkpoint pose.ckpt --out found       2D keypoints …
  python -m meshtto predict photos/ --checkpoint mesh.ckpt --keypoints found/predictions.json
  python -m meshtto predict clip.mp4 --checkpoint mesh.ckpt --every 5         … or none, and no adaptation
"""


def _parser() -> Arguments:
    parser = Arguments("predict", "Meshes of the people in pictures or a video, fitted to their keypoints.", _EXAMPLES)
    parser.add_argument("input", help="a picture, a folder of pictures, or a video")
    parser.add_argument("--checkpoint", required=True, help="what `fit` saved")
    parser.add_argument("--keypoints", help="2D keypoints: COCO's format, or OpenPose's for one picture")
    parser.add_argument("--steps", type=int, help="of adaptation; with keypoints, by default those of training")
    parser.add_argument("--out", type=Path, default=Path("meshes"), help="folder to write to")
    parser.add_argument("--focal", type=float, help="focal length in pixels; the picture's diagonal where not known")
    parser.add_argument("--body", help="file of the body model, where it is elsewhere than in training")
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame of a video")
    parser.add_argument("--device", default=None, help="such as cpu or cuda:1; by default the first GPU, if any")
    return parser


def main(arguments: list[str]) -> None:
    """Predict.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if (
        given.every < 1
        or (given.steps is not None and given.steps < 0)
        or (given.focal is not None and given.focal <= 0)
    ):
        raise InputError("--every is expected to be at least 1, --steps at least 0, --focal above 0")
    if given.steps and not given.keypoints:
        raise InputError(
            f"--steps {given.steps} is given without --keypoints; adaptation fits a mesh to 2D keypoints: give a file "
            "(python -m hamipose predict writes one), or --steps 0"
        )
    import torch
    from rich.progress import Progress

    from meshtto.methods.checkpoint import load
    from meshtto.predict.keypoints import read_keypoints
    from meshtto.predict.people import open_pictures, people_in
    from meshtto.predict.recovering import recover_people, write_person, write_picture

    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    method = load(given.checkpoint, given.body).to(device)
    evidence = read_keypoints(given.keypoints) if given.keypoints else {}
    pictures = open_pictures(given.input, given.every)
    if "" in evidence and len(pictures) > 1:
        raise InputError(
            f"{given.keypoints} names no picture, and {given.input} holds {len(pictures)}; give COCO's format"
        )
    phases: list[Any] = []
    if evidence and given.steps is None:
        phases = method.test_time.phases
    elif given.steps:
        phases = [replace(phase, steps=given.steps) for phase in method.test_time.phases[:1]]
        if not phases:
            raise InputError(
                f"{given.checkpoint} is of a method that does not adapt ({type(method).__name__}); leave --steps out"
            )
    given.out.mkdir(parents=True, exist_ok=True)
    if not evidence:
        print("no --keypoints: each picture is one person, predicted without adaptation", file=sys.stderr)
    count = 0
    with Progress(transient=True) as progress:
        for shown in progress.track(pictures, total=len(pictures), description="recovering"):
            found = evidence.get(shown.name, evidence.get("", []))
            if evidence and not found:
                print(f"{shown.name}: no person in {given.keypoints}; left out", file=sys.stderr)
                continue
            recovered = recover_people(method, people_in(shown, found, given.focal), phases)
            for person in recovered:
                write_person(given.out, person, method.body.faces)
            write_picture(given.out, shown, recovered, method.body.faces)
            count += len(recovered)
    for line in pictures.unreadable:
        print(f"left out: {line}", file=sys.stderr)
    if not count:
        raise InputError(f"nobody was recovered from {given.input}; check that the keypoints name its pictures")
    print(f"{count} people written to {given.out}")
