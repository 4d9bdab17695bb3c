"""People of pictures, a batch at a time: found, adapted, predicted. Who cannot be recovered is left out, and named."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import roma
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import InputError
from meshtto.camera import full_from_crop
from meshtto.data.sampling import collate, crop_of
from meshtto.methods.base import MeshMethod
from meshtto.methods.targets import box_of, size_of
from meshtto.predict.drawing import Figure
from meshtto.predict.frames import Shown
from meshtto.predict.keypoints import Source
from meshtto.predict.samples import person_in, somebody_in
from meshtto.test_time import Phase
from meshtto.types import MeshBatch, MeshSample

__all__ = ["Person", "Recovering", "batch_size", "crops_of", "recover_people"]


@dataclass
class Person:
    """One recovered person.

    Attributes:
        number: in its picture.
        vertices_m: in the axes of the picture's camera.
        arrays: all numbers, by name.
        facts: what is not an array.
    """

    number: int
    vertices_m: Float[np.ndarray, "vertex 3"]
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    @property
    def figure(self) -> Figure:
        """The person as drawn: through the camera that the mesh was fitted through."""
        arrays = self.arrays
        return Figure(self.vertices_m, float(arrays["focal_px"]), arrays["principal_px"], bool(arrays["diverged"]))


def batch_size(phases: list[Phase]) -> int:
    """Return how many people are recovered together unless a user says: one where a batch shares its weights and people
    would influence each other. (``test_time.memory_gib`` bounds their memory.)
    """
    return 1 if any(phase.inner == "shared" for phase in phases) else 16


def crops_of(method: MeshMethod, samples: list[MeshSample]) -> MeshBatch:
    """What the network is shown of people, on its device."""
    height, width = method.hparams["crop"]
    batch: Any = collate([crop_of(sample, (height, width)) for sample in samples]).to(method.device)
    return batch


def recover_people(method: MeshMethod, samples: list[MeshSample], phases: list[Phase]) -> list[Person | None]:
    """The people of pictures.

    Args:
        method: in eval mode.
        samples: one a person, named picture#number.
        phases: of adaptation; none: the network's answer as it is.

    Returns:
        One a sample; None: the network's answer is not made of numbers.
    """
    batch = crops_of(method, samples)
    recovery = method.recover(batch, phases)
    made = recovery.prediction
    box, size = box_of(batch), size_of(batch)
    view = method.regressor.camera.view(made.camera, box, size)
    keypoints_px = full_from_crop(made.keypoints_px, box, size)
    vertices_m = made.vertices_m + view.translation_m[:, None]
    sound = vertices_m.isfinite().all(-1).all(-1).tolist()
    people: list[Person | None] = []
    for i, sample in enumerate(samples):
        if not sound[i]:
            people.append(None)
            continue
        arrays = {
            "pose": roma.rotmat_to_rotvec(made.rotations[i]).flatten(),
            "rotations": made.rotations[i],
            "shape": made.shape[i],
            "camera": made.camera[i],
            "translation_m": view.translation_m[i],
            "box_centre_px": box.centre_px[i],
            "box_side_px": box.side_px[i],
            "focal_px": view.focal_px[i],
            "principal_px": view.principal_px[i],
            "joints_m": made.joints_m[i] + view.translation_m[i],
            "keypoints_px": keypoints_px[i],
            "steps": recovery.steps[i],
            "diverged": recovery.diverged[i],
            "vertices_m": vertices_m[i],
        }
        facts = {
            "name": sample.name,
            "body": method.options.body,
            "axes": "camera: x right, y down, z forward, meters; pixel = focal_px (x, y) / z + principal_px",
            "pose_is": "axis-angle of 24 joints, the first against the camera",
            "steps": int(recovery.steps[i]),
            "diverged": bool(recovery.diverged[i]),
            "losses": [round(float(value), 6) for value in recovery.losses[:, i]],
        }
        plain = {k: _array(v) for k, v in arrays.items()}
        number = int(sample.name.rpartition("#")[2])
        people.append(Person(number, plain["vertices_m"], plain, facts))
    return people


class Recovering:
    """Pictures in, their people out, in the same order.

    Args:
        method: in eval mode.
        source: of 2D evidence; without it each picture is one person, and nothing is adapted.
        phases: of adaptation.
        focal_px: of the camera; each picture's diagonal where not known.
        least: keypoints of less confidence do not count as found.
        together: how many people are adapted at a time, and pictures looked at; by `batch_size` where not given.

    Attributes:
        left_out: a line for each person or picture that was not recovered.
        unadapted: a line for each person whose adaptation was given up.
    """

    def __init__(
        self,
        method: MeshMethod,
        source: Source | None = None,
        phases: Sequence[Phase] = (),
        *,
        focal_px: float | None = None,
        least: float = 0.0,
        together: int | None = None,
    ):
        self.method = method
        self.source = source
        self.phases = list(phases)
        self.focal_px = focal_px
        self.least = least
        self.together = together or batch_size(self.phases)
        self.left_out: list[str] = []
        self.unadapted: list[str] = []

    def samples(self, pictures: Sequence[Shown]) -> list[list[MeshSample]]:
        """The people of each picture, found but not yet recovered."""
        if self.source is None:
            return [[somebody_in(shown, self.focal_px)] for shown in pictures]
        people: list[list[MeshSample]] = []
        for shown, found in zip(pictures, self.source.of(pictures), strict=True):
            people.append([])
            if not found:
                self.left_out.append(f"{shown.name}: no person in {self.source}")
            for number, evidence in enumerate(found):
                try:
                    people[-1].append(person_in(shown, number, evidence, self.focal_px, self.least))
                except InputError as error:
                    self.left_out.append(str(error))
        return people

    def stream(self, pictures: Iterable[Shown]) -> Iterator[tuple[Shown, list[Person]]]:
        """Each picture with its people, some pictures at a time: nothing else is kept in memory."""
        rest = iter(pictures)
        while batch := list(islice(rest, self.together)):
            wanted = self.samples(batch)
            waiting = [sample for people in wanted for sample in people]
            found: list[Person | None] = []
            for start in range(0, len(waiting), self.together):
                found += recover_people(self.method, waiting[start : start + self.together], self.phases)
            for sample, person in zip(waiting, found, strict=True):
                if person is None:
                    self.left_out.append(f"{sample.name}: the network says something else than numbers; is it trained?")
                elif person.facts["diverged"]:
                    self.unadapted.append(
                        f"{sample.name}: adaptation has diverged, the mesh is the network's own; give fewer --steps, "
                        "or train with a lower learning rate in test_time.phases"
                    )
            recovered = iter(found)
            for shown, people in zip(batch, wanted, strict=True):
                yield shown, [person for person in islice(recovered, len(people)) if person is not None]


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()
