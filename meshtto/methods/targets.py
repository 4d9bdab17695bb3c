"""Convert batches and estimates to the predictions and targets that losses compare."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from meshtto.body import Body
from meshtto.camera import Box, Camera
from meshtto.joints import JOINTS49
from meshtto.losses import MeshTarget, Target, lower_leg_confidence
from meshtto.regressors import Estimate
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["complete", "crop_size", "joint_indices", "target_from_evidence", "target_from_labels"]


def crop_size(batch: MeshBatch) -> tuple[int, int]:
    """Return height and width of the crops."""
    return batch.image.shape[-2], batch.image.shape[-1]


def complete(
    estimate: Estimate, body: Body, camera: Camera, box: Box, size: tuple[int, int], vertices: bool = True
) -> BodyPrediction:
    """Return the body of an estimate and its projection into the crop, in at least single precision.

    Args:
        estimate: output of a network.
        body: body model of predictions.
        camera: camera of the network.
        box: boxes of the crops.
        size: height and width of the crops.
        vertices: whether to compute the mesh; joints alone cost a sixth. If False, there are 0 vertices.
    """
    with torch.autocast(estimate.shape.device.type, enabled=False):
        if vertices:
            vertices_m, joints_m, _ = body(estimate.rotations, estimate.shape)
        else:
            vertices_m, joints_m = estimate.shape.new_zeros(len(estimate.shape), 0, 3), body.joints(*estimate[:2])
        keypoints_px = camera.project(joints_m, estimate.camera, box, size)
    return BodyPrediction(*estimate, vertices_m, joints_m, keypoints_px)


def target_from_labels(batch: MeshBatch, vertices_m: Float[Tensor, "batch vertex 3"]) -> Target:
    """Return all labels of a batch; `vertices_m` are those of its labeled parameters."""
    mesh = MeshTarget(batch.joints_m, batch.joints_confidence, batch.rotations, batch.shape, vertices_m, batch.has_mesh)
    return Target(batch.keypoints_px, batch.keypoints_confidence, mesh)


def target_from_evidence(
    batch: MeshBatch, pseudo: BodyPrediction | None = None, ignored: Sequence[int] = (), masked: bool = False
) -> Target:
    """Return the target available without labels: 2D evidence, and optionally another network's mesh.

    Args:
        batch: only its evidence is used; with `masked` also which labels exist.
        pseudo: the other network's prediction, if any.
        ignored: indices of joints whose evidence is ignored; of an ankle the direction of its lower leg is still used.
        masked: use the other network's prediction only for people whose mesh, or 3D joints, are labeled.
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


def joint_indices(names: Sequence[str]) -> list[int]:
    """Return indices of joints among the 49.

    Raises:
        UserError: unknown joint.
    """
    for name in names:
        if name not in JOINTS49:
            raise UserError(f"test_time.ignored_joints names {name!r}; expected names among {', '.join(JOINTS49)}")
    return [JOINTS49.index(name) for name in names]
