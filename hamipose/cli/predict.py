"""The verb `predict` without a config: from images, a video or a webcam to keypoints and overlays."""

import argparse
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.command_line.progress import CommandProgress
from hamipose.errors import UserError

__all__ = ["CHECKPOINT", "DETECTOR", "main"]

DETECTOR = (
    "person detector: blazepose (default, once `models fetch blazepose` has been run), torchvision, torchvision:NAME, "
    "a file of the weights of a torchvision detector, a wheel of mediapipe up to 0.10.21, or none to treat each image "
    "as one person"
)
CHECKPOINT = (
    "a model folder, a checkpoint saved by `fit`, a name from `models list`, vitpose:NAME, or an .onnx, .tflite or "
    ".pth file (default: the best installed model)"
)

_EXAMPLES = """\
examples
  python -m hamipose predict photos/                              (with the best installed model)
  python -m hamipose predict photos/ --checkpoint runs/adapted
  python -m hamipose predict photos/ --checkpoint rtmpose.onnx
  python -m hamipose predict clip.mp4 --checkpoint last.ckpt --out results --frame-stride 2
  python -m hamipose predict street/ --checkpoint runs/adapted --boxes people.json --csv
  python -m hamipose predict party/ --checkpoint runs/adapted --detector torchvision
  python -m hamipose predict portraits/ --checkpoint runs/adapted --detector none
  python -m hamipose predict webcam --checkpoint runs/adapted --limit 300
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m hamipose predict",
        description="Keypoints of the people in images or a video.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("input", help="an image, a folder of images, a video, or webcam")
    add("--checkpoint", help=CHECKPOINT)
    add("--out", type=Path, default=Path("predictions"), help="output folder")
    add("--boxes", help="COCO file with a box for each person")
    add("--detector", help=DETECTOR)
    add("--detector-threshold", type=float, help="lowest score of a detected person (0.5)")
    add("--no-detector", action="store_true", help="same as --detector none")
    add("--skeleton", help="keypoints of a pretrained model: coco17 (default), blazepose33, body16, lsp14")
    add("--passes", type=at_least(1), help="forward passes per person (default: 3 for BlazePose, otherwise 2)")
    add(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="average with the mirrored crop in one more pass (default: for bodies, without --passes and webcam)",
    )
    add("--frame-stride", type=at_least(1), default=1, help="use every n-th image or frame")
    add("--limit", type=at_least(1), help="stop after this many images or frames")
    add("--batch-size", type=at_least(1), default=16)
    add("--image-size", type=at_least(1), help="side of the crops in pixels (default: that of the model)")
    add("--device", help="such as cpu or cuda:1 (default: the first GPU, if any)")
    add("--min-confidence", type=float, default=0.1, help="do not draw keypoints of lower confidence (0.1)")
    add("--csv", action="store_true", help="also write a table with one row per keypoint")
    add("--heatmaps", action="store_true", help="also write heatmaps in half precision, one file per person")
    add("--no-overlays", action="store_true", help="do not draw overlays")
    return parser


def main(arguments: list[str]) -> None:
    """Run `predict`.

    Args:
        arguments: the command line after the verb.

    Raises:
        UserError: options contradict each other, or a file cannot be used.
    """
    options = _parser().parse_args(arguments)
    if options.no_detector and (options.detector or options.detector_threshold or options.boxes):
        raise UserError("--no-detector is given with --detector, --detector-threshold or --boxes; leave it out")
    if options.no_detector:
        options.detector = "none"
    if options.detector is not None and options.boxes is not None:
        raise UserError("--detector and --boxes are both given; give one of them")
    _predict(options)


def _predict(options: argparse.Namespace) -> None:
    """Predict with checked options and write the results."""
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

    if options.checkpoint is None:
        print(describe_default("--checkpoint"))
    model = load(
        options.checkpoint,
        device=options.device,
        image_size=options.image_size,
        skeleton=options.skeleton,
        passes=options.passes,
    )
    if options.passes is None:
        model.use_default_passes()
    if options.mirror is not None or options.input.startswith("webcam"):
        model.average_mirrored(bool(options.mirror))
    out: Path = options.out
    boxes, frame_stride, limit = options.boxes, options.frame_stride, options.limit
    summary, detector = DetectionSummary(), None
    if options.detector is None and boxes is None and model.predicts_bodies:
        detector, line = default_detector(options.detector_threshold)
        print(line)
    elif options.detector not in (None, NO_DETECTOR):
        detector = open_detector(options.detector, options.detector_threshold, options.device)
        # A box file cannot contain rotated crops, and a webcam has no images to go back to.
        if not options.input.startswith("webcam") and not model.needs_upright_crops:
            boxes = str(out / "boxes.json")
            check_folder(out)
            with CommandProgress("detecting people", None) as progress:
                summary = detect_people(
                    options.input,
                    detector,
                    Path(boxes),
                    frame_stride=frame_stride,
                    limit=limit,
                    whole_images=True,
                    required=False,
                    progress=progress.update,
                )
            print(f"{summary}: boxes in {boxes}")
            frame_stride, limit = 1, None  # the box file contains only the selected frames
    footage = open_footage(
        options.input, boxes=boxes, frame_stride=frame_stride, limit=limit, whole_images=options.boxes is None
    )
    detections = None
    if detector is not None and boxes is None:
        detections = DetectedPeople(
            footage.samples, detector, upright_crops=model.needs_upright_crops, whole_images=True
        )
        footage.samples = iter(detections)
    check_folder(out)
    predictions: list[PosePrediction] = []
    overlays = OverlayWriter(out, model.skeleton, footage.rate if footage.is_video else None, options.min_confidence)
    draw_at_once = footage.reopen is None and not options.no_overlays  # a webcam's frames cannot be read again
    failed: UserError | OSError | None = None
    try:
        with overlays, CommandProgress("predicting", footage.count) as progress:
            while batch := list(islice(footage.samples, options.batch_size)):
                people = list(model.stream(batch, batch_size=options.batch_size, heatmaps=options.heatmaps))
                for person in people:
                    if person.heatmaps is not None:
                        write_heatmaps(out / "heatmaps", len(predictions), person.heatmaps)
                    predictions.append(replace(person, heatmaps=None))  # those of a long video would fill the memory
                if draw_at_once:
                    overlays.add_all(batch, people)
                progress.advance(len(batch))
    except KeyboardInterrupt:  # the only way to stop a webcam; keep the predictions so far
        print("stopped")
    except (UserError, OSError) as error:  # such as a full disk
        if not predictions:
            raise
        failed = error
    _print_skipped([*summary.unreadable, *footage.unreadable])
    if detections is not None:
        print(detections.summary)
    if not predictions:
        raise UserError(f"nothing in {options.input} could be read; see above")
    write_coco(out / "predictions.json", predictions, model.skeleton)
    if options.csv:
        write_csv(out / "predictions.csv", predictions, model.skeleton)
    print(f"{len(predictions)} people in {options.input}: keypoints in {out / 'predictions.json'}")
    known = model.info.statistics != "unknown"
    statistics = f", BatchNorm statistics of {model.info.statistics} images" if known else ""
    print(f"model: {model.info.method}{statistics}")
    if failed is not None:
        raise failed
    if footage.reopen is not None and not options.no_overlays:  # after the keypoints, which are safe from a full disk
        with overlays, CommandProgress("drawing", footage.count) as progress:
            try:
                overlays.add_all(progress.track(footage.reopen()), predictions)
            except KeyboardInterrupt:
                print("stopped")
    if overlays.written:
        path = out / ("overlay.mp4" if footage.is_video else "overlays/")
        print(f"overlays in {path}; left limbs orange, right limbs blue")


def _print_skipped(lines: list[str], most: int = 5) -> None:
    for line in lines[:most]:
        print(f"skipped: {line}", file=sys.stderr)
    if len(lines) > most:
        print(f"skipped: {len(lines) - most} more images that could not be read", file=sys.stderr)
