r"""What recovered bodies are trained and adapted on: pure functions, one value a sample, masked by what a sample has.

Means are taken over a sample's own elements, the unlabelled among them, never over those of another sample: so the loss
of an image depends on that image alone, and adapting it cannot depend on its neighbours. (The field averages over the
labelled samples of a batch instead. With all labels present the two agree.)
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from meshtto.joints import JOINTS49, OPENPOSE25
from meshtto.l1 import mean_absolute_difference
from meshtto.types import BodyPrediction

__all__ = [
    "LossWeights",
    "MeshTarget",
    "Target",
    "Terms",
    "camera_loss",
    "joint_loss",
    "keypoint_loss",
    "lower_leg_confidence",
    "lower_leg_loss",
    "mesh_terms",
    "parameter_loss",
    "total",
    "vertex_loss",
]

_OPENPOSE = len(OPENPOSE25)
#: Knee and ankle of each lower leg.
_LOWER_LEGS = [[JOINTS49.index(f"{side}_{joint}") for side in ("right", "left")] for joint in ("knee", "ankle")]
#: A lower leg shorter than this in 2D, in halves of the crop, has no direction to speak of (a pixel of 224: EFT's).
_SHORTEST = 0.0089
_HIPS = [JOINTS49.index("right_hip"), JOINTS49.index("left_hip")]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; the defaults are those of the reference code (the paper states none).

    Attributes:
        vertices: of the mean absolute difference of vertices.
        keypoints: of projected joints, in halves of the crop.
        joints: of 3D joints about the hips' middle.
        rotations: of rotation matrices.
        shape: of the ten shape numbers.
        camera: of the term that keeps the camera's scale positive.
        shape_prior: of the mean square of the ten shape numbers themselves (EFT has it).
        lower_legs: of the direction of lower legs in 2D (EFT has it).
        openpose: how much OpenPose's 25 joints count among the 49 in 2D.
        truth: how much the other 24 do.
        outer: factor of the whole in training; adaptation goes without.
    """

    vertices: float = 0.5
    keypoints: float = 5.0
    joints: float = 5.0
    rotations: float = 1.0
    shape: float = 0.001
    camera: float = 1.0
    shape_prior: float = 0.0
    lower_legs: float = 0.0
    openpose: float = 0.0
    truth: float = 1.0
    outer: float = 60.0


class MeshTarget(NamedTuple):
    """A body in 3D; masks and confidences of 0 mean: not known."""

    joints_m: Float[Tensor, "batch 49 3"]
    joints_confidence: Float[Tensor, "batch 49"]
    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    vertices_m: Float[Tensor, "batch vertex 3"]
    has_mesh: Bool[Tensor, " batch"]


class Target(NamedTuple):
    """What a body should be like: labels, or 2D evidence with another network's mesh, or 2D evidence alone."""

    keypoints_px: Float[Tensor, "batch 49 2"]
    keypoints_confidence: Float[Tensor, "batch 49"]
    mesh: MeshTarget | None = None
    lower_legs: Float[Tensor, "batch 2"] | None = None
    """Confidence of each lower leg's direction, if not that of its joints: EFT reads ankles that L_2D goes without."""


class Terms(NamedTuple):
    """The terms of a loss before they are weighed, one value a sample."""

    vertices: Float[Tensor, " batch"]
    keypoints: Float[Tensor, " batch"]
    joints: Float[Tensor, " batch"]
    rotations: Float[Tensor, " batch"]
    shape: Float[Tensor, " batch"]
    camera: Float[Tensor, " batch"]
    shape_prior: Float[Tensor, " batch"]
    lower_legs: Float[Tensor, " batch"]


def keypoint_loss(
    predicted_px: Float[Tensor, "batch point 2"],
    target_px: Float[Tensor, "batch point 2"],
    confidence: Float[Tensor, "batch point"],
    size: tuple[int, int],
) -> Float[Tensor, " batch"]:
    r"""L_2D: the mean over points and axes of :math:`c\,(p - \hat p)^2`, in halves of the crop.

    Args:
        predicted_px: in pixels of the crop.
        target_px: the same; may be anything where the confidence is 0.
        confidence: weight of each point.
        size: height and width of the crop.
    """
    half = predicted_px.new_tensor([size[1] / 2, size[0] / 2])
    return _confident_squares(predicted_px / half, target_px / half, confidence)


def joint_loss(
    predicted_m: Float[Tensor, "batch 49 3"],
    target_m: Float[Tensor, "batch 49 3"],
    confidence: Float[Tensor, "batch 49"],
) -> Float[Tensor, " batch"]:
    r"""L_J3D: the mean of :math:`c\,(X - \hat X)^2` over the 24 joints of ground truth, about the middle of the
    hips.
    """
    predicted = (predicted_m - predicted_m[:, _HIPS].mean(1, keepdim=True))[:, _OPENPOSE:]
    target = (target_m - target_m[:, _HIPS].mean(1, keepdim=True))[:, _OPENPOSE:]
    # Without its hips a target has no place to be compared at.
    centred = (confidence[:, _HIPS] > 0).all(1, keepdim=True)
    return _confident_squares(predicted, target, confidence[:, _OPENPOSE:] * centred)


def vertex_loss(
    predicted_m: Float[Tensor, "batch vertex 3"], target_m: Float[Tensor, "batch vertex 3"]
) -> Float[Tensor, " batch"]:
    """L_V: the mean absolute difference."""
    return mean_absolute_difference(predicted_m, target_m)


def parameter_loss(
    predicted: Float[Tensor, " batch *parameter"], target: Float[Tensor, " batch *parameter"]
) -> Float[Tensor, " batch"]:
    """L_R of rotation matrices, L_β of shapes: the mean squared difference."""
    return (predicted - target).square().flatten(1).mean(1)


def camera_loss(camera: Float[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    r"""L_cam :math:`= (e^{-10 s})^2`, which keeps the scale s above 0."""
    return torch.exp(-10 * camera[:, 0]).square()


def lower_leg_confidence(confidence: Float[Tensor, "batch 49"]) -> Float[Tensor, "batch 2"]:
    """Of the right and the left lower leg: the product of knee's and ankle's."""
    return confidence[:, _LOWER_LEGS[0]] * confidence[:, _LOWER_LEGS[1]]


def lower_leg_loss(
    predicted_px: Float[Tensor, "batch 49 2"],
    target_px: Float[Tensor, "batch 49 2"],
    confidence: Float[Tensor, "batch 2"],
    size: tuple[int, int],
) -> Float[Tensor, " batch"]:
    r"""The sum over lower legs of :math:`c\,(1 - \cos)` between the directions, knee to ankle, in 2D (EFT's code).

    Args:
        predicted_px: in pixels of the crop.
        target_px: the same; a leg that is hardly seen, end on, does not count.
        confidence: of each leg, as :func:`lower_leg_confidence` has it.
        size: height and width of the crop.
    """
    half = predicted_px.new_tensor([size[1] / 2, size[0] / 2])
    predicted, target = (
        (points[:, _LOWER_LEGS[1]] - points[:, _LOWER_LEGS[0]]) / half for points in (predicted_px, target_px)
    )
    counts = (confidence > 0) & (target.norm(dim=-1) > _SHORTEST)
    # What is not counted may be anything: it is replaced before it meets a derivative.
    target = torch.where(counts[..., None], target, 1.0)
    predicted = torch.where(counts[..., None], predicted, 1.0)
    return (torch.where(counts, confidence, 0.0) * (1 - cosine_similarity(predicted, target, dim=-1))).sum(1)


def mesh_terms(prediction: BodyPrediction, target: Target, size: tuple[int, int], weights: LossWeights) -> Terms:
    """All terms, those of what a sample does not have being 0.

    Args:
        prediction: what the network says.
        target: what it is compared with.
        size: height and width of the crop.
        weights: of which `openpose` and `truth` are read, and whether lower legs count at all.
    """
    share = target.keypoints_confidence.new_full((len(JOINTS49),), weights.truth)
    share[:_OPENPOSE] = weights.openpose
    confidence = target.keypoints_confidence * share
    mesh = target.mesh
    nothing = prediction.camera.new_zeros(len(prediction.camera))
    # Asking a GPU costs a wait, choosing costs a copy of the mesh.
    everyone = mesh is not None and mesh.has_mesh.device.type == "cpu" and bool(mesh.has_mesh.all())

    def known(predicted: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The pair; where there is no mesh the prediction twice, so that whatever stands in its place has no say."""
        assert mesh is not None
        if everyone:
            return predicted, wanted
        has_mesh = mesh.has_mesh.view(-1, *[1] * (predicted.ndim - 1))
        return predicted, torch.where(has_mesh, wanted, predicted.detach())

    return Terms(
        vertices=nothing if mesh is None else vertex_loss(*known(prediction.vertices_m, mesh.vertices_m)),
        keypoints=keypoint_loss(prediction.keypoints_px, target.keypoints_px, confidence, size),
        joints=nothing if mesh is None else joint_loss(prediction.joints_m, mesh.joints_m, mesh.joints_confidence),
        rotations=nothing if mesh is None else parameter_loss(*known(prediction.rotations, mesh.rotations)),
        shape=nothing if mesh is None else parameter_loss(*known(prediction.shape, mesh.shape)),
        camera=camera_loss(prediction.camera),
        shape_prior=parameter_loss(prediction.shape, torch.zeros_like(prediction.shape)),
        lower_legs=lower_leg_loss(
            prediction.keypoints_px,
            target.keypoints_px,
            lower_leg_confidence(target.keypoints_confidence) if target.lower_legs is None else target.lower_legs,
            size,
        )
        if weights.lower_legs
        else nothing,
    )


def total(terms: Terms, weights: LossWeights) -> Float[Tensor, " batch"]:
    r""":math:`L = 0.5 L_V + 5 L_{2D} + 5 L_{J3D} + L_R + 0.001 L_\beta + L_{cam}`, a value a sample."""
    return (
        weights.vertices * terms.vertices
        + weights.keypoints * terms.keypoints
        + weights.joints * terms.joints
        + weights.rotations * terms.rotations
        + weights.shape * terms.shape
        + weights.camera * terms.camera
        + weights.shape_prior * terms.shape_prior
        + weights.lower_legs * terms.lower_legs
    )


def _confident_squares(
    predicted: Float[Tensor, "batch point axis"],
    target: Float[Tensor, "batch point axis"],
    confidence: Float[Tensor, "batch point"],
) -> Float[Tensor, " batch"]:
    """Mean of c (p − t)². What the target says where c is 0 is not even looked at: it may be NaN."""
    known = (confidence > 0)[..., None]
    target = torch.where(known, target, predicted.detach())
    return (confidence[..., None] * (predicted - target).square()).mean((1, 2))
