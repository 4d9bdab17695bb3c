"""How adaptation moves a photo's meshes, step by step: a picture, a mesh and an error of each. Nothing here knows of a
page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from hamipose.errors import InputError
from hamipose.io.whole_file import whole_file
from meshtto.joints import OPENPOSE25
from meshtto.methods.base import MeshMethod
from meshtto.methods.targets import box_of, joint_positions, size_of
from meshtto.metrics import reprojection_errors
from meshtto.predict.drawing import Figure, overlay
from meshtto.predict.files import upright, write_png
from meshtto.predict.frames import Shown
from meshtto.predict.recover import crops_of
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch, MeshSample

__all__ = ["Unfolded", "looked_at", "unfold"]

_DOT = (0, 158, 115)  # Okabe and Ito's green, beside the pink of the mesh
_CLAY = PBRMaterial(baseColorFactor=[205, 150, 150, 255], metallicFactor=0.0, roughnessFactor=0.7)


@dataclass(frozen=True)
class Unfolded:
    """From the network's own answer to the last step.

    Attributes:
        overlays: the photo with meshes and 2D keypoints after 0, 1, 2 … steps, PNG files.
        meshes: all people after so many steps, about one common middle, y up, GLB files.
        errors_px: mean distance between joints and 2D keypoints, in pixels of the photo; empty where there are none.
        diverged: numbers of the people whose adaptation was given up, from 0; they are drawn in gray.
    """

    overlays: list[Path]
    meshes: list[Path]
    errors_px: list[float]
    diverged: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Of adaptation."""
        return len(self.overlays) - 1


def looked_at(method: MeshMethod, batch: MeshBatch) -> Float[Tensor, "batch 49"]:
    """Confidences of the 2D keypoints that adaptation looks at, 0 for the others."""
    confidence = batch.evidence_confidence.clone()
    confidence[:, joint_positions(method.test_time.ignored_joints)] = 0
    if method.loss_weights.openpose == 0:
        confidence[:, : len(OPENPOSE25)] = 0
    if method.loss_weights.truth == 0:
        confidence[:, len(OPENPOSE25) :] = 0
    return confidence


def _reduced(image: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "height2 width2 3"]:
    """At most so large: pages are no larger, and painting takes its time."""
    share = side / max(image.shape[:2])
    if share >= 1:
        return image
    size = (max(round(image.shape[1] * share), 1), max(round(image.shape[0] * share), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _with_dots(
    image: UInt8[np.ndarray, "height width 3"], points_px: Float[np.ndarray, "point 2"]
) -> UInt8[np.ndarray, "height width 3"]:
    canvas = np.ascontiguousarray(image).copy()
    radius = max(2, round(max(image.shape[:2]) / 200))
    for x, y in points_px:
        at = (round(float(x)), round(float(y)))
        cv2.circle(canvas, at, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(canvas, at, radius, _DOT, -1, cv2.LINE_AA)
    return canvas


def unfold(
    method: MeshMethod, shown: Shown, samples: list[MeshSample], phases: Sequence[Phase], folder: Path, side: int = 900
) -> Unfolded:
    """Adapt to a photo and keep every step.

    Args:
        method: in eval mode.
        shown: the photo.
        samples: its people.
        phases: of adaptation; none: the network's answer alone.
        folder: where files go.
        side: of the overlays in pixels, at most.

    Raises:
        InputError: a mesh is not made of numbers.
    """
    batch = crops_of(method, samples)
    box, size = box_of(batch), size_of(batch)
    confidence = looked_at(method, batch)
    photo_px = batch.side_px / batch.image.shape[-2]  # pixels of the photo that a pixel of the crop stands for
    vertices: list[np.ndarray] = []
    cameras: list[list[tuple[float, np.ndarray]]] = []
    errors: list[float] = []

    def keep(step: int, prediction: BodyPrediction) -> None:
        view = method.regressor.camera.view(prediction.camera, box, size)
        placed = prediction.vertices_m + view.translation_m[:, None]
        if not placed.isfinite().all():
            raise InputError(f"{shown.name}: after {step} steps the mesh is not made of numbers; give fewer --steps")
        vertices.append(placed.cpu().numpy())
        cameras.append(list(zip(view.focal_px.tolist(), view.principal_px.cpu().numpy(), strict=True)))
        if (confidence > 0).any():
            found = reprojection_errors(prediction.keypoints_px, batch.evidence_px, confidence) * photo_px
            errors.append(float(found.nanmean()))

    recovery = method.recover(batch, list(phases), keep)
    faces = method.body.faces.cpu().numpy()
    image = _reduced(shown.image, side)
    scale = (image.shape[1] / shown.image.shape[1], image.shape[0] / shown.image.shape[0])
    diverged = recovery.diverged.tolist()
    dots = np.concatenate([s.evidence_px[c > 0] for s, c in zip(samples, confidence.cpu().numpy(), strict=True)])
    middle = (vertices[-1].min((0, 1)) + vertices[-1].max((0, 1))) / 2
    everybody = np.concatenate([faces + i * vertices[-1].shape[1] for i in range(len(samples))])
    folder.mkdir(parents=True, exist_ok=True)
    overlays, meshes = [], []
    for step, people in enumerate(vertices):
        figures = [Figure(v, *camera, d) for v, camera, d in zip(people, cameras[step], diverged, strict=True)]
        drawn = _with_dots(overlay(image, figures, faces, scale), (dots + 0.5) * np.array(scale) - 0.5)
        overlays.append(folder / f"step-{step:02d}.png")
        write_png(overlays[-1], drawn)
        meshes.append(folder / f"step-{step:02d}.glb")
        mesh = upright(people.reshape(-1, 3) - middle, everybody)
        mesh.visual = TextureVisuals(material=_CLAY)
        with whole_file(meshes[-1]) as beside:
            mesh.export(beside, include_normals=True)
    return Unfolded(overlays, meshes, errors, tuple(np.flatnonzero(diverged).tolist()))
