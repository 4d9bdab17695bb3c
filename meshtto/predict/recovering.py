"""People of one picture at once: adapted, predicted, written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import roma
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import InputError
from meshtto.adaptation import Phase
from meshtto.camera import full_frame_translation
from meshtto.data.stream import collate, crop_of
from meshtto.methods.base import MeshMethod
from meshtto.methods.targets import box_of
from meshtto.predict.drawing import overlay, side_view
from meshtto.predict.files import write_mesh, write_numbers
from meshtto.predict.people import Shown
from meshtto.types import MeshSample

__all__ = ["Person", "recover_people", "write_person", "write_picture"]


@dataclass
class Person:
    """One recovered person.

    Attributes:
        name: picture#number.
        vertices_m: in the axes of the picture's camera.
        arrays: all numbers, by name.
        facts: what is not an array.
    """

    name: str
    vertices_m: Float[np.ndarray, "vertex 3"]
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def recover_people(method: MeshMethod, samples: list[MeshSample], phases: list[Phase]) -> list[Person]:
    """The people of a picture.

    Args:
        method: in eval mode.
        samples: one a person.
        phases: of adaptation; none: the network's answer as it is.

    Raises:
        InputError: the steps were too large for a person.
    """
    height, width = method.hparams["crop"]
    batch: Any = collate([crop_of(sample, (height, width)) for sample in samples]).to(method.device)
    recovery = method.recover(batch, phases)
    made = recovery.prediction
    sound = made.vertices_m.isfinite().all(-1).all(-1).tolist()
    lost = [sample.name for sample, kept in zip(samples, sound, strict=True) if not kept]
    if lost:
        raise InputError(
            f"{lost[0]}: adaptation has diverged, its mesh is no longer made of numbers; give fewer --steps, or train "
            "with a lower learning rate in test_time.phases"
        )
    box = box_of(batch)
    translation = full_frame_translation(made.camera, box)
    people = []
    for i, sample in enumerate(samples):
        arrays = {
            "pose": roma.rotmat_to_rotvec(made.rotations[i]).flatten(),
            "rotations": made.rotations[i],
            "shape": made.shape[i],
            "camera": made.camera[i],
            "translation_m": translation[i],
            "box_centre_px": box.centre_px[i],
            "box_side_px": box.side_px[i],
            "focal_px": box.focal_px[i],
            "joints_m": made.joints_m[i] + translation[i],
            "vertices_m": made.vertices_m[i] + translation[i],
        }
        facts = {
            "name": sample.name,
            "body": method.options.body,
            "axes": "camera: x right, y down, z forward, metres; principal point in the picture's middle",
            "pose_is": "axis-angle of 24 joints, the first against the camera",
            "steps": int(recovery.steps[i]),
            "losses": [round(float(value), 6) for value in recovery.losses[:, i]],
        }
        plain = {k: _array(v) for k, v in arrays.items()}
        people.append(Person(sample.name, plain["vertices_m"], plain, facts))
    return people


def write_person(out: Path, person: Person, faces: Tensor) -> None:
    """Mesh, numbers and side view."""
    stem = out / _stem(person.name)
    triangles = faces.cpu().numpy()
    write_mesh(stem, person.vertices_m, triangles)
    write_numbers(stem, person.arrays, person.facts)
    view = side_view(person.vertices_m, triangles)
    cv2.imwrite(str(stem.with_name(stem.name + "-side.png")), view[..., ::-1])


def write_picture(out: Path, shown: Shown, people: list[Person], faces: Tensor) -> None:
    """All of a picture's people on it."""
    focal = float(people[0].arrays["focal_px"])
    drawn = overlay(shown.image, [person.vertices_m for person in people], faces.cpu().numpy(), focal)
    cv2.imwrite(str(out / f"{_stem(shown.name)}-overlay.png"), drawn[..., ::-1])


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()


def _stem(name: str) -> str:
    path, *numbers = name.split("#")
    return "-".join([Path(path).stem, *(number.zfill(6) if len(numbers) > 1 else number for number in numbers)])
