"""2D evidence from a pose model of hamipose; the only module of meshtto that uses pose models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.inference.loading import load
from hamipose.skeletons import SKELETONS
from hamipose.types import UnlabeledSample
from meshtto.joints import joints_named
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence, Source, assign_evidence

__all__ = ["PoseModel"]


class PoseModel(Source):
    """Finds one person per image with a pose model, as `python -m hamipose predict` does without boxes.

    Args:
        path: a model folder, a checkpoint, or the folder of a run.
        device: torch device name; default: the first GPU, if any.

    Raises:
        UserError: the model cannot be read, or finds no joint of the body.
    """

    def __init__(self, path: str | Path, device: str | None = None):
        self.path = Path(path)
        self._model = load(path, device=device)
        skeleton = self._model.skeleton
        if not any(joints_named(keypoint) for keypoint in skeleton.keypoints):
            bodies = [s.name for s in SKELETONS.values() if any(joints_named(name) for name in s.keypoints)]
            raise UserError(
                f"pose checkpoint {path} finds the keypoints of {skeleton.name}, none of which is a joint of the "
                f"body; expected a model of {', '.join(bodies)}"
            )

    def __str__(self) -> str:
        return str(self.path)

    def find_people(self, frames: Sequence[Frame]) -> list[list[Evidence]]:
        """Return the person of each frame, with all frames in one batch.

        Raises:
            UserError: the network's output is not finite.
        """
        samples = [
            UnlabeledSample(frame.image, whole_image_box(frame.image.shape[1], frame.image.shape[0]), frame.name)
            for frame in frames
        ]
        names = self._model.skeleton.keypoints
        return [
            [assign_evidence(names, np.column_stack([one.keypoints_px, one.confidence]), f"{self} on {one.name}")]
            for one in self._model.stream(samples, batch_size=max(len(samples), 1))
        ]
