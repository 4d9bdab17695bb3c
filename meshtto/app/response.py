"""What the page says to a photo: one sentence and every step of adaptation, or what is wrong with the file."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hamipose.errors import InputError
from meshtto.app.steps import Unfolded, unfold
from meshtto.methods.base import MeshMethod
from meshtto.predict.frames import Shown, open_pictures
from meshtto.predict.keypoints import KeypointFile, Source
from meshtto.predict.recover import Recovering
from meshtto.test_time import Phase

__all__ = ["Answer", "Answers"]

WELCOME = "Drop a photo."


@dataclass(frozen=True)
class Answer:
    """What is shown.

    Attributes:
        message: one sentence or a few.
        unfolded: None where nothing was recovered.
    """

    message: str
    unfolded: Unfolded | None = None


def _photo(path: Path) -> Shown:
    if path.is_dir():
        raise InputError(f"{path.name} is a folder; give one photo")
    pictures = open_pictures(str(path))
    if pictures.rate is not None:
        raise InputError(f"{path.name} is a video; give a photo here, and the video to python -m meshtto predict")
    for shown in pictures:
        return shown
    raise InputError(pictures.unreadable[0])


class _OnePhoto(Source):
    """A file of keypoints as evidence of one photo, whatever the file calls it if it knows but one."""

    def __init__(self, path: Path):
        self.file = KeypointFile(path)

    def __str__(self) -> str:
        return self.file.path.name

    def of(self, pictures: Sequence[Shown]) -> list:
        if len(self.file.people) == 1:
            return [self.file.of_picture(next(iter(self.file.people)), shown) for shown in pictures]
        return self.file.of(pictures)


class Answers:
    """Answers to photos.

    Args:
        method: recovers meshes; in eval mode.
        folder: where files go, those of each photo in a folder of its own.
        pose: finds 2D keypoints in photos for which there is no file.
        phases: of adaptation.
        least: keypoints of less confidence do not count as found.
    """

    def __init__(
        self,
        method: MeshMethod,
        folder: Path,
        pose: Source | None = None,
        phases: Sequence[Phase] = (),
        least: float = 0.1,
    ):
        self.method = method
        self.folder = folder
        self.pose = pose
        self.phases = list(phases)
        self.least = least

    @property
    def steps(self) -> int:
        """Of adaptation, where there are 2D keypoints."""
        return sum(phase.steps for phase in self.phases)

    def to(self, photo: str | None, keypoints: str | None = None) -> Answer:
        """The answer to a photo. A file that cannot be used is no error here: the message says what is wrong with it.

        Args:
            photo: the file that was dropped; None where there is none.
            keypoints: of a file with its 2D keypoints, if there is one.
        """
        if photo is None:
            return Answer(WELCOME)
        try:
            return self._to(Path(photo), None if keypoints is None else Path(keypoints))
        except (InputError, OSError) as error:  # such as a full disk
            said = str(error)
            for path in (photo, keypoints):  # folders of the page, of which its user knows nothing
                said = said if path is None else said.replace(f"{Path(path).parent}/", "")
            return Answer(f"This file cannot be used: {said}")

    def _to(self, photo: Path, keypoints: Path | None) -> Answer:
        shown = _photo(photo)
        source = self.pose if keypoints is None else _OnePhoto(keypoints)
        recovering = Recovering(self.method, source, least=self.least)
        (samples,) = recovering.samples([shown])
        if not samples:
            raise InputError(recovering.left_out[0])
        phases = self.phases if source is not None else []
        unfolded = unfold(self.method, shown, samples, phases, Path(tempfile.mkdtemp(dir=self.folder)))
        said = self._sentence(unfolded, len(samples), source)
        if isinstance(source, _OnePhoto) and source.file.omissions:
            said = f"{said} {source.file.omissions}.".replace(f"{source.file.path.parent}/", "")
        return Answer(said, unfolded)

    def _sentence(self, unfolded: Unfolded, people: int, source: Source | None) -> str:
        who = "One person" if people == 1 else f"{people} people"
        if source is None:
            return (
                f"{who}, as the network says. Give a file of 2D keypoints: without them there is nothing to adapt to."
            )
        if not unfolded.steps:
            return f"{who}, as the network says; its checkpoint does not adapt."
        first, last = unfolded.errors_px[0], unfolded.errors_px[-1]
        moved = f"{unfolded.steps} steps of adaptation brought the joints from {first:.1f} to {last:.1f} px"
        given_up = ""
        if unfolded.diverged:
            numbers = ", ".join(str(number + 1) for number in unfolded.diverged)
            given_up = (
                f" The adaptation of person {numbers} of {people} diverged: the mesh in gray is the network's own; try "
                "fewer --steps."
            )
        return f"{who}. {moved} of the 2D keypoints (green).{given_up}"
