"""From batches and estimates to what losses compare."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import InputError
from meshtto.body import Body
from meshtto.camera import Box, Camera
from meshtto.joints import JOINTS49
from meshtto.losses import MeshTarget, Target, lower_leg_confidence
from meshtto.regressors import Estimate
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["box_of", "complete", "evidence", "joint_positions", "labels", "size_of"]


def box_of(batch: MeshBatch) -> Box:
    """Where the crops lie."""
    return Box(batch.centre_px, batch.side_px, batch.image_size, batch.focal_px)


def size_of(batch: MeshBatch) -> tuple[int, int]:
    """Height and width of the crops."""
    return batch.image.shape[-2], batch.image.shape[-1]


def complete(
    estimate: Estimate, body: Body, camera: Camera, box: Box, size: tuple[int, int], vertices: bool = True
) -> BodyPrediction:
    """The body that an estimate means, and how the crop shows it; in single precision at least.

    Args:
        estimate: of a network.
        body: of predictions.
        camera: of the network.
        box: where the crops lie.
        size: height and width of the crops.
        vertices: whether the mesh is asked for; joints alone cost a sixth. Without it there are 0 vertices.
    """
    with torch.autocast(estimate.shape.device.type, enabled=False):
        if vertices:
            vertices_m, joints_m, _ = body(estimate.rotations, estimate.shape)
        else:
            vertices_m, joints_m = estimate.shape.new_zeros(len(estimate.shape), 0, 3), body.joints(*estimate[:2])
        keypoints_px = camera.project(joints_m, estimate.camera, box, size)
    return BodyPrediction(*estimate, vertices_m, joints_m, keypoints_px)


def labels(batch: MeshBatch, vertices_m: Float[Tensor, "batch vertex 3"]) -> Target:
    """All that is known of a batch; `vertices_m` are those of its labelled parameters."""
    mesh = MeshTarget(batch.joints_m, batch.joints_confidence, batch.rotations, batch.shape, vertices_m, batch.has_mesh)
    return Target(batch.keypoints_px, batch.keypoints_confidence, mesh)


def evidence(
    batch: MeshBatch, pseudo: BodyPrediction | None = None, ignored: Sequence[int] = (), masked: bool = False
) -> Target:
    """What may be known of an image without labels: 2D evidence, and what another network says of the mesh.

    Args:
        batch: of which evidence alone is read; with `masked` also whether there are labels.
        pseudo: the other network's prediction, if there is one.
        ignored: positions of joints whose evidence is left out; of an ankle its lower leg's direction is still read.
        masked: the prediction counts only for people whose mesh, or 3D joints, are labeled.
    """
    confidence = batch.evidence_confidence
    legs = lower_leg_confidence(confidence)
    if ignored:
        confidence = confidence.clone()
        confidence[:, list(ignored)] = 0
    if pseudo is None:
        return Target(batch.evidence_px, confidence, None, legs)
    joints, meshes = torch.ones_like(confidence), torch.ones_like(batch.has_mesh)
    if masked:
        joints = joints * (batch.joints_confidence > 0).any(1, keepdim=True)
        meshes = batch.has_mesh
    mesh = MeshTarget(pseudo.joints_m, joints, pseudo.rotations, pseudo.shape, pseudo.vertices_m, meshes)
    return Target(batch.evidence_px, confidence, mesh, legs)


def joint_positions(names: Sequence[str]) -> list[int]:
    """Positions among the 49.

    Raises:
        InputError: there is no such joint.
    """
    for name in names:
        if name not in JOINTS49:
            raise InputError(f"test_time.ignored_joints names {name!r}; expected names among {', '.join(JOINTS49)}")
    return [JOINTS49.index(name) for name in names]
