"""What a user asks of `adapt`, and which of it decides about the model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hamipose.adapt.hardware import Plan

__all__ = ["Request"]

#: What is called otherwise on the command line.
_OPTIONS = {"image_size": "size", "adapt_steps": "steps"}
_NOT_DECISIVE = ("workers", "precision")


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        footage: a folder of pictures or a video.
        out: folder of the result.
        plan: sizes and lengths.
        seed: of training.
        start: a model to start from, or the name of a pretrained one; one is trained on the source if None.
        source: a labeled set as class path and arguments; built-in people where None.
        boxes: COCO file with a box for each person.
        detector: finds the people where no boxes are given, as `hamipose.inference.people.open_detector` says;
            "none" for whole pictures. None means MediaPipe's if it was fetched, else whole pictures.
        detector_threshold: least score of a detected person; its own where None.
        frame_stride: use every n-th frame of a video.
        labels: COCO keypoint file of a few of the pictures, for a score; they choose nothing.
        teacher: labels the footage in place of the model's own moving average: a COCO keypoint file with what another
            tool predicted for the footage, or a network that `predict` can use, by its name or path.
        cache: where built-in people are kept.
    """

    footage: Path
    out: Path
    plan: Plan
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
    def decisive(self) -> list[str]:
        """What the models depend on, an option a word, whatever folder it is asked from.

        Left out: labels, which choose nothing, the plan's workers and precision, which are the machine's, and where
        things are kept.
        """
        plan = asdict(self.plan)
        if self.plan.trained == "all":  # the only choice for networks that are not pretrained
            plan.pop("trained")
        options = {
            "seed": self.seed,
            "frame_stride": self.frame_stride,
            "start": self.start and (self.start.resolve() if self.start.exists() else self.start),
            "source": self.source and json.dumps(self.source["init_args"], sort_keys=True),
            "boxes": self.boxes and Path(self.boxes).resolve(),
            "detector": self.detector,
            "detector_threshold": self.detector_threshold,
            "teacher": self.teacher and (Path(self.teacher).resolve() if Path(self.teacher).exists() else self.teacher),
            **{_OPTIONS.get(name, name): plan[name] for name in plan if name not in _NOT_DECISIVE},
        }
        words = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value is not None]
        return [str(self.footage.resolve()), *words]
