"""Adapt to a photo and draw an overlay, a mesh and an error for each step, independently of the web page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path
from meshtto.camera import crop_box
from meshtto.joints import OPENPOSE25
from meshtto.methods.base import MeshMethod
from meshtto.methods.targets import crop_size, joint_indices
from meshtto.metrics import reprojection_errors
from meshtto.predict.drawing import Figure, overlay
from meshtto.predict.files import to_y_up, write_png
from meshtto.predict.frames import Frame
from meshtto.predict.recover import collate_crops
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch, MeshSample

__all__ = ["AdaptationSteps", "adapt_and_draw", "used_confidence"]

_DOT = (0, 158, 115)  # Okabe and Ito's green, distinct from the pink of the mesh
_CLAY = PBRMaterial(baseColorFactor=[205, 150, 150, 255], metallicFactor=0.0, roughnessFactor=0.7)


@dataclass(frozen=True)
class AdaptationSteps:
    """All adaptation steps of a photo, from the unadapted prediction to the last step.

    Attributes:
        overlays: the photo with meshes and 2D keypoints after 0, 1, 2 … steps, PNG files.
        meshes: all people after each step, centered, y up, GLB files.
        errors_px: mean distance between joints and 2D keypoints, in pixels of the photo; empty without keypoints.
        diverged: indices of the people whose adaptation diverged; they are drawn in gray.
    """

    overlays: list[Path]
    meshes: list[Path]
    errors_px: list[float]
    diverged: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Number of adaptation steps."""
        return len(self.overlays) - 1


def used_confidence(method: MeshMethod, batch: MeshBatch) -> Float[Tensor, "batch 49"]:
    """Return the confidence of the 2D keypoints that adaptation uses, 0 for the others."""
    confidence = batch.evidence_confidence.clone()
    confidence[:, joint_indices(method.test_time.ignored_joints)] = 0
    if method.loss_weights.openpose == 0:
        confidence[:, : len(OPENPOSE25)] = 0
    if method.loss_weights.truth == 0:
        confidence[:, len(OPENPOSE25) :] = 0
    return confidence


def _reduced(image: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "height2 width2 3"]:
    """Reduce an image to a maximum side, to limit drawing time."""
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


def adapt_and_draw(
    method: MeshMethod, frame: Frame, samples: list[MeshSample], phases: Sequence[Phase], folder: Path, side: int = 900
) -> AdaptationSteps:
    """Adapt to a photo and draw every step.

    Args:
        method: a mesh method in eval mode.
        frame: the photo.
        samples: its people.
        phases: phases of adaptation; none means no adaptation.
        folder: output folder.
        side: maximum side of the overlays in pixels.

    Raises:
        UserError: a mesh is not finite.
    """
    batch = collate_crops(method, samples)
    box, size = crop_box(batch), crop_size(batch)
    confidence = used_confidence(method, batch)
    photo_px = batch.side_px / batch.image.shape[-2]  # pixels of the photo per pixel of the crop
    vertices: list[np.ndarray] = []
    cameras: list[list[tuple[float, np.ndarray]]] = []
    errors: list[float] = []

    def keep(step: int, prediction: BodyPrediction) -> None:
        view = method.regressor.camera.view(prediction.camera, box, size)
        moved = prediction.vertices_m + view.translation_m[:, None]
        if not moved.isfinite().all():
            raise UserError(f"{frame.name}: after {step} steps the mesh is not finite; give fewer --steps")
        vertices.append(moved.cpu().numpy())
        cameras.append(list(zip(view.focal_px.tolist(), view.principal_px.cpu().numpy(), strict=True)))
        if (confidence > 0).any():
            found = reprojection_errors(prediction.keypoints_px, batch.evidence_px, confidence) * photo_px
            errors.append(float(found.nanmean()))

    recovery = method.recover(batch, list(phases), keep)
    faces = method.body.faces.cpu().numpy()
    image = _reduced(frame.image, side)
    scale = (image.shape[1] / frame.image.shape[1], image.shape[0] / frame.image.shape[0])
    diverged = recovery.diverged.tolist()
    dots = np.concatenate([s.evidence_px[c > 0] for s, c in zip(samples, confidence.cpu().numpy(), strict=True)])
    center = (vertices[-1].min((0, 1)) + vertices[-1].max((0, 1))) / 2
    all_faces = np.concatenate([faces + i * vertices[-1].shape[1] for i in range(len(samples))])
    folder.mkdir(parents=True, exist_ok=True)
    overlays, meshes = [], []
    for step, people in enumerate(vertices):
        figures = [Figure(v, *camera, d) for v, camera, d in zip(people, cameras[step], diverged, strict=True)]
        drawn = _with_dots(overlay(image, figures, faces, scale), (dots + 0.5) * np.array(scale) - 0.5)
        overlays.append(folder / f"step-{step:02d}.png")
        write_png(overlays[-1], drawn)
        meshes.append(folder / f"step-{step:02d}.glb")
        mesh = to_y_up(people.reshape(-1, 3) - center, all_faces)
        mesh.visual = TextureVisuals(material=_CLAY)
        with atomic_path(meshes[-1]) as beside:
            mesh.export(beside, include_normals=True)
    return AdaptationSteps(overlays, meshes, errors, tuple(np.flatnonzero(diverged).tolist()))
