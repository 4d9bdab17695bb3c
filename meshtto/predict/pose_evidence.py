"""2D evidence from a pose model of hamipose; the only module of meshtto that uses pose models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.inference.detection import NO_DETECTOR, DetectedPeople, default_detector, open_detector
from hamipose.inference.loading import load
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.catalog import describe_default
from hamipose.skeletons import SKELETONS
from hamipose.types import UnlabeledSample
from meshtto.joints import joints_named
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence, Source, assign_evidence

__all__ = ["PoseModel", "open_pose_model"]


class PoseModel(Source):
    """Finds the people of images with a pose model, as `python -m hamipose predict` does.

    Args:
        path: a model folder, a checkpoint, the folder of a run, or a pretrained network; default: the best installed
            one.
        device: torch device name; default: the first GPU, if any.
        detector: finds the people; default: none, each image is one person.

    Raises:
        UserError: the model cannot be read, or finds no joint of the body.
    """

    def __init__(
        self, path: str | Path | None = None, device: str | None = None, detector: PersonDetector | None = None
    ):
        self._model = load(path, device=device).use_default_passes()
        self._detector = detector
        self._name = str(path or self._model.info.backbone)
        skeleton = self._model.skeleton
        if not any(joints_named(keypoint) for keypoint in skeleton.keypoints):
            bodies = [s.name for s in SKELETONS.values() if any(joints_named(name) for name in s.keypoints)]
            raise UserError(
                f"pose checkpoint {path} finds the keypoints of {skeleton.name}, none of which is a joint of the "
                f"body; expected a model of {', '.join(bodies)}"
            )

    def __str__(self) -> str:
        return self._name

    def find_people(self, frames: Sequence[Frame]) -> list[list[Evidence]]:
        """Return the people of each frame, in batches over all frames.

        Raises:
            UserError: the network's output is not finite.
        """
        whole = [
            UnlabeledSample(frame.image, whole_image_box(frame.image.shape[1], frame.image.shape[0]), str(number))
            for number, frame in enumerate(frames)
        ]
        people = whole
        if self._detector is not None:
            upright = self._model.needs_upright_crops
            people = list(DetectedPeople(whole, self._detector, upright_crops=upright, whole_images=True))
        names = self._model.skeleton.keypoints
        found: list[list[Evidence]] = [[] for _ in frames]
        for one in self._model.stream(people, batch_size=max(len(frames), 1)):
            number = int(one.name.partition("#")[0])
            rows = np.column_stack([one.keypoints_px, one.confidence])
            found[number].append(assign_evidence(names, rows, f"{self} on {frames[number].name}"))
        return found


def open_pose_model(path: str | None, detector: str | None, device: str | None) -> tuple[PoseModel, list[str]]:
    """Open the pose model and person detector that the command line names.

    Args:
        path: see :class:`PoseModel`.
        detector: as ``--detector`` of `hamipose predict`; default: BlazePose's if it is installed.
        device: torch device name.

    Returns:
        The model, and a line for each default that was chosen.
    """
    lines = [describe_default("--pose-checkpoint")] if path is None else []
    finder: PersonDetector | None = None
    if detector is None:
        finder, line = default_detector()
        lines.append(line)
    elif detector != NO_DETECTOR:
        finder = open_detector(detector, None, device)
    return PoseModel(path, device, finder), lines
