"""The verb `predict` in its short form: footage in, keypoints and pictures out."""

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rich.progress import Progress

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["CHECKPOINT", "DETECTOR", "main"]

DETECTOR = (
    "finds the people: blazepose (the default, once `models fetch blazepose` has fetched it), torchvision, "
    "torchvision:NAME, the file of a torchvision detector's weights, a wheel of mediapipe up to 0.10.21, or none: one "
    "person in each whole picture"
)
CHECKPOINT = (
    "a model folder, a checkpoint that `fit` saved, a pretrained model that `models list` names, vitpose:NAME, or an "
    ".onnx, .tflite or .pth file; by default the best pretrained model that is here"
)

_EXAMPLES = """\
examples
  python -m hamipose predict photos/                              (with the best pretrained model that is here)
  python -m hamipose predict photos/ --checkpoint runs/adapted
  python -m hamipose predict photos/ --checkpoint rtmpose.onnx
  python -m hamipose predict clip.mp4 --checkpoint last.ckpt --out found --frame-stride 2
  python -m hamipose predict street/ --checkpoint runs/adapted --boxes people.json --csv
  python -m hamipose predict party/ --checkpoint runs/adapted --detector torchvision
  python -m hamipose predict portraits/ --checkpoint runs/adapted --detector none
  python -m hamipose predict webcam --checkpoint runs/adapted --limit 300
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose predict",
        description="Keypoints of the people in pictures or a video.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("input", help="a picture, a folder of pictures, a video, or webcam")
    parser.add_argument("--checkpoint", help=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    parser.add_argument("--boxes", help="COCO file with a box for each person")
    parser.add_argument("--detector", help=DETECTOR)
    parser.add_argument("--detector-threshold", type=float, help="least score of a detected person (0.5)")
    parser.add_argument("--no-detector", action="store_true", help="the same as --detector none")
    parser.add_argument(
        "--skeleton", help="keypoints of a pretrained model: coco17 (default), blazepose33, body16, lsp14"
    )
    parser.add_argument("--passes", type=at_least(1), help="looks at each person: by default 3 for BlazePose, else 2")
    parser.add_argument("--frame-stride", type=at_least(1), default=1, help="use every n-th picture or frame")
    parser.add_argument("--limit", type=at_least(1), help="stop after this many pictures or frames")
    parser.add_argument("--batch-size", type=at_least(1), default=16)
    parser.add_argument(
        "--image-size", type=at_least(1), help="side of the crops in pixels; by default what the model knows"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; the first GPU if there is one by default")
    parser.add_argument(
        "--min-confidence", type=float, default=0.1, help="confidence below which a keypoint is not drawn"
    )
    parser.add_argument("--csv", action="store_true", help="also a table with a row for each keypoint")
    parser.add_argument("--heatmaps", action="store_true", help="also the heatmaps, half precision, one file a person")
    parser.add_argument("--no-overlays", action="store_true", help="no pictures")
    return parser


def main(arguments: list[str]) -> None:
    """Predict.

    Args:
        arguments: what follows the verb.
    """
    given = _parser().parse_args(arguments)
    if given.no_detector and (given.detector or given.detector_threshold or given.boxes):
        raise UserError("--no-detector is given with --detector, --detector-threshold or --boxes; leave it out")
    asked = "none" if given.no_detector else given.detector
    if asked is not None and given.boxes is not None:
        raise UserError("both --detector and --boxes are given; people can come from one of them")
    from hamipose.inference.box_file import detect_people
    from hamipose.inference.detection import (
        NO_DETECTOR,
        DetectedPeople,
        DetectionSummary,
        default_detector,
        open_detector,
    )
    from hamipose.inference.footage import open_footage
    from hamipose.inference.loading import load
    from hamipose.inference.predictor import PosePrediction
    from hamipose.inference.writers import OverlayWriter, write_coco, write_csv, write_heatmaps
    from hamipose.io.atomic_file import check_folder
    from hamipose.models.pretrained.catalog import describe_default

    if given.checkpoint is None:
        print(describe_default("--checkpoint"))
    model = load(
        given.checkpoint, device=given.device, image_size=given.image_size, skeleton=given.skeleton, passes=given.passes
    )
    if given.passes is None:
        model.use_default_passes()
    out: Path = given.out
    boxes, frame_stride, limit, seen = given.boxes, given.frame_stride, given.limit, DetectionSummary()
    detector = None
    if asked is None and boxes is None and model.predicts_bodies:
        detector, line = default_detector(given.detector_threshold)
        print(line)
    elif asked not in (None, NO_DETECTOR):
        detector = open_detector(asked, given.detector_threshold, given.device)
        if (
            not given.input.startswith("webcam") and not model.needs_upright_crops
        ):  # turned crops are not kept in a file
            boxes = str(out / "boxes.json")
            check_folder(out)
            with Progress(transient=True) as progress:
                task = progress.add_task("finding people", total=None)
                seen = detect_people(
                    given.input,
                    detector,
                    Path(boxes),
                    frame_stride=frame_stride,
                    limit=limit,
                    whole_images=True,
                    required=False,
                    progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
            print(f"{seen}: boxes in {boxes}")
            frame_stride, limit = 1, None  # the boxes are of what was asked for
    footage = open_footage(
        given.input, boxes=boxes, frame_stride=frame_stride, limit=limit, whole_images=given.boxes is None
    )
    live = None
    if detector is not None and boxes is None:
        live = DetectedPeople(footage.samples, detector, upright_crops=model.needs_upright_crops, whole_images=True)
        footage.samples = iter(live)
    check_folder(out)
    found: list[PosePrediction] = []
    overlays = OverlayWriter(out, model.skeleton, footage.rate if footage.is_video else None, given.min_confidence)
    at_once = footage.reopen is None and not given.no_overlays  # a webcam's pictures come once
    failed: UserError | OSError | None = None
    try:
        with overlays, Progress(transient=True) as progress:
            task = progress.add_task("predicting", total=footage.count)
            while batch := list(islice(footage.samples, given.batch_size)):
                people = list(model.stream(batch, batch_size=given.batch_size, heatmaps=given.heatmaps))
                for person in people:
                    if person.heatmaps is not None:
                        write_heatmaps(out / "heatmaps", len(found), person.heatmaps)
                    found.append(replace(person, heatmaps=None))  # a long video's would fill the memory
                if at_once:
                    overlays.add_all(batch, people)
                progress.update(task, advance=len(batch))
    except KeyboardInterrupt:  # a webcam has no end; what was found is not lost
        print("stopped")
    except (UserError, OSError) as error:  # such as a full disk
        if not found:
            raise
        failed = error
    unreadable = [*seen.unreadable, *footage.unreadable]
    for line in unreadable[:5]:
        print(f"left out: {line}", file=sys.stderr)
    if len(unreadable) > 5:
        print(f"left out: {len(unreadable) - 5} more that could not be read", file=sys.stderr)
    if live is not None:
        print(live.summary)
    if not found:
        raise UserError(f"nothing in {given.input} could be read; see above")
    write_coco(out / "predictions.json", found, model.skeleton)
    if given.csv:
        write_csv(out / "predictions.csv", found, model.skeleton)
    print(f"{len(found)} people in {given.input}: keypoints in {out / 'predictions.json'}")
    known = model.info.statistics != "unknown"
    statistics = f", BatchNorm statistics of {model.info.statistics} images" if known else ""
    print(f"model: {model.info.method}{statistics}")
    if failed is not None:
        raise failed
    if footage.reopen is not None and not given.no_overlays:  # after the keypoints, which a full disk must not cost
        with overlays, Progress(transient=True) as progress:
            try:
                overlays.add_all(progress.track(footage.reopen(), footage.count, description="drawing"), found)
            except KeyboardInterrupt:
                print("stopped")
    if overlays.written:
        where = out / ("overlay.mp4" if footage.is_video else "overlays/")
        print(f"pictures in {where}; left limbs orange, right limbs blue")
