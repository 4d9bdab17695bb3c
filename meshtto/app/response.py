"""Responses to photos: a message and every adaptation step, or what is wrong with the file."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hamipose.errors import UserError
from meshtto.app.steps import AdaptationSteps, adapt_and_draw
from meshtto.methods.base import MeshMethod
from meshtto.predict.frames import Frame, open_frames
from meshtto.predict.keypoints import KeypointFile, Source
from meshtto.predict.recover import Recoverer
from meshtto.test_time import Phase

__all__ = ["Responder", "Response"]

WELCOME = "Upload a photo."


@dataclass(frozen=True)
class Response:
    """Response to a photo.

    Attributes:
        message: a few sentences.
        steps: adaptation steps; None if nothing was recovered.
    """

    message: str
    steps: AdaptationSteps | None = None


def _photo(path: Path) -> Frame:
    if path.is_dir():
        raise UserError(f"{path.name} is a folder; give one photo")
    frames = open_frames(str(path))
    if frames.rate is not None:
        raise UserError(f"{path.name} is a video; give a photo here, and the video to python -m meshtto predict")
    for frame in frames:
        return frame
    raise UserError(frames.unreadable[0])


class _OnePhoto(Source):
    """A keypoint file as evidence of one photo; if the file names only one image, its name does not matter."""

    def __init__(self, path: Path):
        self.file = KeypointFile(path)

    def __str__(self) -> str:
        return self.file.path.name

    def find_people(self, frames: Sequence[Frame]) -> list:
        if len(self.file.people) == 1:
            return [self.file.people_of_image(next(iter(self.file.people)), frame) for frame in frames]
        return self.file.find_people(frames)


class Responder:
    """Responds to photos.

    Args:
        method: a mesh method in eval mode.
        folder: output folder; each photo gets a subfolder.
        pose: finds 2D keypoints in photos without a keypoint file.
        phases: phases of adaptation.
        min_confidence: keypoints of lower confidence are ignored.
    """

    def __init__(
        self,
        method: MeshMethod,
        folder: Path,
        pose: Source | None = None,
        phases: Sequence[Phase] = (),
        min_confidence: float = 0.1,
    ):
        self.method = method
        self.folder = folder
        self.pose = pose
        self.phases = list(phases)
        self.min_confidence = min_confidence

    @property
    def steps(self) -> int:
        """Number of adaptation steps if there are 2D keypoints."""
        return sum(phase.steps for phase in self.phases)

    def respond(self, photo: str | None, keypoints: str | None = None) -> Response:
        """Respond to a photo. For an unusable file, the message explains the problem.

        Args:
            photo: the uploaded file, if any.
            keypoints: a file with its 2D keypoints, if any.
        """
        if photo is None:
            return Response(WELCOME)
        try:
            return self._respond(Path(photo), None if keypoints is None else Path(keypoints))
        except (UserError, OSError) as error:  # such as a full disk
            problem = str(error)
            for path in (photo, keypoints):  # hide the server's folders
                problem = problem if path is None else problem.replace(f"{Path(path).parent}/", "")
            return Response(f"This file cannot be used: {problem}")

    def _respond(self, photo: Path, keypoints: Path | None) -> Response:
        frame = _photo(photo)
        source = self.pose if keypoints is None else _OnePhoto(keypoints)
        recoverer = Recoverer(self.method, source, min_confidence=self.min_confidence)
        (samples,) = recoverer.samples([frame])
        if not samples:
            raise UserError(recoverer.skipped[0])
        phases = self.phases if source is not None else []
        steps = adapt_and_draw(self.method, frame, samples, phases, Path(tempfile.mkdtemp(dir=self.folder)))
        message = self._message(steps, len(samples), source)
        if isinstance(source, _OnePhoto) and source.file.skipped:
            message = f"{message} {source.file.skipped}.".replace(f"{source.file.path.parent}/", "")
        return Response(message, steps)

    def _message(self, adapted: AdaptationSteps, people: int, source: Source | None) -> str:
        who = "One person" if people == 1 else f"{people} people"
        if source is None:
            return f"{who}, without adaptation. Upload a file of 2D keypoints: adaptation fits the mesh to them."
        if not adapted.steps:
            return f"{who}, without adaptation: the checkpoint has no adaptation steps."
        first, last = adapted.errors_px[0], adapted.errors_px[-1]
        result = f"{adapted.steps} adaptation steps reduced the distance to the 2D keypoints (green)"
        if last > first:
            result = f"{adapted.steps} adaptation steps increased the distance to the 2D keypoints (green)"
        diverged = ""
        if adapted.diverged:
            numbers = ", ".join(str(number + 1) for number in adapted.diverged)
            diverged = (
                f" The adaptation of person {numbers} of {people} diverged: the gray mesh is the unadapted one; try "
                "fewer --steps."
            )
        return f"{who}. {result} from {first:.1f} to {last:.1f} px.{diverged}"
