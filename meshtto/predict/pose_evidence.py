"""2D evidence that a model of hamipose finds in the same pictures: the one place where meshtto uses a pose model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hamipose.data.crops import whole_box
from hamipose.errors import InputError
from hamipose.inference.predictor import load
from hamipose.skeletons import SKELETONS
from hamipose.types import UnlabelledSample
from meshtto.joints import joints_named
from meshtto.predict.frames import Shown
from meshtto.predict.keypoints import Evidence, Source, evidence_of

__all__ = ["PoseModel"]


class PoseModel(Source):
    """Looks for one person in the whole picture, as `python -m hamipose predict` does without boxes.

    Args:
        path: a model folder, a checkpoint, or the folder of a run.
        device: torch's name of a device; the first GPU if there is one where not given.

    Raises:
        InputError: it cannot be read, or finds no joint of the body.
    """

    def __init__(self, path: str | Path, device: str | None = None):
        self.path = Path(path)
        self._model = load(path, device=device)
        skeleton = self._model.skeleton
        if not any(joints_named(keypoint) for keypoint in skeleton.keypoints):
            bodies = [s.name for s in SKELETONS.values() if any(joints_named(name) for name in s.keypoints)]
            raise InputError(
                f"pose checkpoint {path} finds the keypoints of {skeleton.name}, none of which is a joint of the "
                f"body; expected a model of {', '.join(bodies)}"
            )

    def __str__(self) -> str:
        return str(self.path)

    def of(self, pictures: Sequence[Shown]) -> list[list[Evidence]]:
        """The person of each picture, all pictures through the network together.

        Raises:
            InputError: what the network says is not finite.
        """
        samples = [
            UnlabelledSample(shown.image, whole_box(shown.image.shape[1], shown.image.shape[0]), shown.name)
            for shown in pictures
        ]
        names = self._model.skeleton.keypoints
        return [
            [evidence_of(names, np.column_stack([one.keypoints_px, one.confidence]), f"{self} on {one.name}")]
            for one in self._model.stream(samples, batch_size=max(len(samples), 1))
        ]
