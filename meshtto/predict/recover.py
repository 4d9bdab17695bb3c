"""Find, adapt to and predict the people of images in batches; people who cannot be recovered are skipped and listed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import roma
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from meshtto.camera import crop_box, full_from_crop
from meshtto.data.sampling import collate, crop_sample
from meshtto.methods.base import MeshMethod
from meshtto.methods.targets import crop_size
from meshtto.predict.drawing import Figure
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Source
from meshtto.predict.samples import person_sample, whole_image_sample
from meshtto.test_time import Phase
from meshtto.types import MeshBatch, MeshSample

__all__ = ["Person", "Recoverer", "collate_crops", "default_batch_size", "recover_people"]


@dataclass
class Person:
    """One recovered person.

    Attributes:
        number: number in its image.
        vertices_m: vertices in the axes of the image's camera.
        arrays: all arrays by name.
        facts: all other results.
    """

    number: int
    vertices_m: Float[np.ndarray, "vertex 3"]
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    @property
    def figure(self) -> Figure:
        """Return the person for drawing, with the camera that the mesh was fitted with."""
        arrays = self.arrays
        return Figure(self.vertices_m, float(arrays["focal_px"]), arrays["principal_px"], bool(arrays["diverged"]))


def default_batch_size(phases: list[Phase]) -> int:
    """Return the default number of people recovered together.

    It is one if a batch shares its weights, so that people do not influence each other. (``test_time.memory_gib``
    limits memory.)
    """
    return 1 if any(phase.inner == "shared" for phase in phases) else 16


def collate_crops(method: MeshMethod, samples: list[MeshSample]) -> MeshBatch:
    """Crop samples to the network's input size and batch them on its device."""
    height, width = method.hparams["crop"]
    batch: Any = collate([crop_sample(sample, (height, width)) for sample in samples]).to(method.device)
    return batch


def recover_people(method: MeshMethod, samples: list[MeshSample], phases: list[Phase]) -> list[Person | None]:
    """Recover people.

    Args:
        method: a mesh method in eval mode.
        samples: a sample per person, named image#number.
        phases: phases of adaptation; none means no adaptation.

    Returns:
        A person per sample; None if the prediction is not finite.
    """
    batch = collate_crops(method, samples)
    recovery = method.recover(batch, phases)
    made = recovery.prediction
    box, size = crop_box(batch), crop_size(batch)
    view = method.regressor.camera.view(made.camera, box, size)
    keypoints_px = full_from_crop(made.keypoints_px, box, size)
    vertices_m = made.vertices_m + view.translation_m[:, None]
    finite = vertices_m.isfinite().all(-1).all(-1).tolist()
    shape, translation_m = method.bodies.own_parameters(made.shape, view.translation_m)
    people: list[Person | None] = []
    for i, sample in enumerate(samples):
        if not finite[i]:
            people.append(None)
            continue
        arrays = {
            "pose": roma.rotmat_to_rotvec(made.rotations[i]).flatten(),
            "rotations": made.rotations[i],
            "shape": shape[i],
            "camera": made.camera[i],
            "translation_m": translation_m[i],
            "box_center_px": box.center_px[i],
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
            "pose_is": "axis-angle of 24 joints, the first relative to the camera",
            "steps": int(recovery.steps[i]),
            "diverged": bool(recovery.diverged[i]),
            "losses": [round(float(value), 6) for value in recovery.losses[:, i]],
        }
        plain = {k: _array(v) for k, v in arrays.items()}
        number = int(sample.name.rpartition("#")[2])
        people.append(Person(number, plain["vertices_m"], plain, facts))
    return people


class Recoverer:
    """Recovers the people of a sequence of images.

    Args:
        method: a mesh method in eval mode.
        source: source of 2D evidence; without it each image is one person, and nothing is adapted.
        phases: phases of adaptation.
        focal_px: focal length of the camera; default: each image's diagonal.
        min_confidence: keypoints of lower confidence are ignored.
        batch_size: people adapted together, and images processed together; default: `default_batch_size`.

    Attributes:
        skipped: a line per person or image that was not recovered.
        unadapted: a line per person whose adaptation diverged.
    """

    def __init__(
        self,
        method: MeshMethod,
        source: Source | None = None,
        phases: Sequence[Phase] = (),
        *,
        focal_px: float | None = None,
        min_confidence: float = 0.0,
        batch_size: int | None = None,
    ):
        self.method = method
        self.source = source
        self.phases = list(phases)
        self.focal_px = focal_px
        self.min_confidence = min_confidence
        self.batch_size = batch_size or default_batch_size(self.phases)
        self.skipped: list[str] = []
        self.unadapted: list[str] = []

    def samples(self, frames: Sequence[Frame]) -> list[list[MeshSample]]:
        """Return samples of the people of each frame."""
        if self.source is None:
            return [[whole_image_sample(frame, self.focal_px)] for frame in frames]
        people: list[list[MeshSample]] = []
        for frame, found in zip(frames, self.source.find_people(frames), strict=True):
            people.append([])
            if not found:
                self.skipped.append(f"{frame.name}: no person in {self.source}")
            for number, evidence in enumerate(found):
                try:
                    people[-1].append(person_sample(frame, number, evidence, self.focal_px, self.min_confidence))
                except UserError as error:
                    self.skipped.append(str(error))
        return people

    def stream(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Person]]]:
        """Yield each frame with its people in order; only one batch of frames is kept in memory."""
        rest = iter(frames)
        while batch := list(islice(rest, self.batch_size)):
            samples_by_frame = self.samples(batch)
            samples = [sample for people in samples_by_frame for sample in people]
            found: list[Person | None] = []
            for start in range(0, len(samples), self.batch_size):
                found += recover_people(self.method, samples[start : start + self.batch_size], self.phases)
            for sample, person in zip(samples, found, strict=True):
                if person is None:
                    self.skipped.append(f"{sample.name}: the prediction is not finite; is the network trained?")
                elif person.facts["diverged"]:
                    self.unadapted.append(
                        f"{sample.name}: adaptation diverged, the mesh is the unadapted one; give fewer --steps, or "
                        "train with a lower learning rate in test_time.phases"
                    )
            recovered = iter(found)
            for frame, people in zip(batch, samples_by_frame, strict=True):
                yield frame, [person for person in islice(recovered, len(people)) if person is not None]


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()
