"""The specification of an adaptation: its options, which of them are recorded, and checks before it starts."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hamipose.adapt.configs import labeled_set
from hamipose.adapt.hardware import TrainingSettings
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.errors import UserError
from hamipose.inference.footage import open_footage
from hamipose.io.atomic_file import check_folder
from hamipose.models.network import PoseNetwork
from hamipose.skeletons import BODY16

__all__ = ["AdaptationSpec", "check_spec"]

_NOT_RECORDED = ("workers", "precision")  # settings that depend on the machine


@dataclass(frozen=True)
class AdaptationSpec:
    """Options of an adaptation.

    Attributes:
        footage: a folder of images or a video.
        out: output folder.
        settings: network, sizes and lengths.
        seed: seed of training.
        start: a model, or the name of a pretrained one, to start from; None to train one on the source.
        source: config of a labeled set; None for built-in people.
        boxes: COCO file with a box for each person.
        detector: person detector to use without boxes, see `hamipose.inference.detection.open_detector`; "none" for
            whole images; None for MediaPipe's detector if it has been fetched, otherwise whole images.
        detector_threshold: lowest score of a detected person; default: that of the detector.
        frame_stride: use every n-th frame of a video.
        labels: COCO keypoint file of some of the images; they are scored and never used for training or selection.
        teacher: what labels the footage instead of the moving average of the model: a COCO keypoint file with the
            predictions of another tool, or the name or path of a network that `predict` can use.
        cache: folder of built-in people.
    """

    footage: Path
    out: Path
    settings: TrainingSettings
    seed: int = 0
    start: Path | None = None
    source: dict[str, Any] | None = None
    boxes: str | None = None
    detector: str | None = None
    detector_threshold: float | None = None
    frame_stride: int = 1
    labels: str | None = None
    teacher: str | None = None
    cache: Path = Path("cache/people")

    @property
    def recorded_options(self) -> list[str]:
        """The options that determine the models, one per string and independent of the working directory.

        They exclude the labels, which select nothing, the worker processes and the precision, which depend on the
        machine, and the folders of results and caches.
        """
        settings = asdict(self.settings)
        if self.settings.trained == "all":  # the only value for networks that are not pretrained
            settings.pop("trained")
        options = {
            "seed": self.seed,
            "frame_stride": self.frame_stride,
            "start": self.start and (self.start.resolve() if self.start.exists() else self.start),
            "source": self.source and json.dumps(self.source["init_args"], sort_keys=True),
            "boxes": self.boxes and Path(self.boxes).resolve(),
            "detector": self.detector,
            "detector_threshold": self.detector_threshold,
            "teacher": self.teacher and (Path(self.teacher).resolve() if Path(self.teacher).exists() else self.teacher),
            **{name: value for name, value in settings.items() if name not in _NOT_RECORDED},
        }
        words = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value is not None]
        return [str(self.footage.resolve()), *words]


def check_spec(spec: AdaptationSpec, log: Callable[[str], None]) -> None:
    """Read every file that a specification names, before anything slow starts.

    Args:
        spec: the options.
        log: receives a line for each image that will be skipped.

    Raises:
        UserError: a file is missing or cannot be used, no image can be read, or the network cannot be built.
        OSError: a folder cannot be written.
    """
    footage = open_footage(str(spec.footage), boxes=spec.boxes, frame_stride=spec.frame_stride)
    if next(footage.samples, None) is None:
        first = f": {footage.unreadable[0]}" if footage.unreadable else ""
        raise UserError(f"nothing in {spec.footage} could be read{first}")
    for line in footage.unreadable:
        log(f"skipped: {line}")
    if spec.labels is not None:
        CocoKeypoints(**labeled_set(spec.footage, Path(spec.labels), "image")["init_args"]).prepare()
    if spec.source is not None:
        CocoKeypoints(**spec.source["init_args"]).prepare()
    if spec.start is None and not (spec.out / "start" / "scores.json").exists():
        _check_network(spec.settings)
    check_folder(spec.out)
    if spec.source is None:
        check_folder(spec.cache)


def _check_network(settings: TrainingSettings) -> None:
    """Build the network, to check its name, its weights and the image size."""
    weights = None if settings.weights == "none" else settings.weights
    network = PoseNetwork(len(BODY16), settings.backbone, weights, tuple(settings.deconv_channels))
    if settings.image_size % network.backbone_stride:
        stride = f"{network.backbone_stride}, the stride of {settings.backbone}"
        raise UserError(f"--image-size is {settings.image_size}, expected a multiple of {stride}")
