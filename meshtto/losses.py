r"""Losses for training and adapting body regressors: pure functions, one value per sample, masked by available labels.

Each mean is taken over all elements of one sample, including unlabeled ones, and never over other samples. The loss of
an image therefore depends on that image alone, and adapting it cannot depend on the rest of the batch. (Published code
averages over the labeled samples of a batch instead. If all labels are present, the two agree.)
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
]

_OPENPOSE = len(OPENPOSE25)
#: Knee and ankle of each lower leg.
_LOWER_LEGS = [[JOINTS49.index(f"{side}_{joint}") for side in ("right", "left")] for joint in ("knee", "ankle")]
#: A lower leg shorter than this in 2D, in half crops, has no reliable direction (one pixel of 224, as in EFT).
_SHORTEST = 0.0089
#: Added to squared distances before their root, whose derivative at 0 is infinite.
_TINY = 1e-10
_HIPS = [JOINTS49.index("right_hip"), JOINTS49.index("left_hip")]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms; the defaults are those of the reference code (the paper states none).

    Attributes:
        vertices: mean absolute difference of vertices.
        keypoints: projected joints, in half crops.
        joints: 3D joints relative to the midpoint of the hips.
        rotations: rotation matrices.
        shape: the ten shape coefficients.
        camera: the term that keeps the camera's scale positive.
        shape_prior: mean square of the shape coefficients themselves (used by EFT).
        lower_legs: direction of the lower legs in 2D (used by EFT).
        openpose: weight of OpenPose's 25 joints among the 49 in 2D.
        truth: weight of the other 24.
        outer: factor of the sum in training; adaptation does not use it.
        distances: in training, compare joints in 2D and 3D and rotations by distances instead of their squares, so that
            a few wrong people count less. The terms then have another size and need other weights. Adaptation always
            uses squares.
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
    distances: bool = False


class MeshTarget(NamedTuple):
    """Target for a body in 3D; masks and confidences of 0 mean unknown."""

    joints_m: Float[Tensor, "batch 49 3"]
    joints_confidence: Float[Tensor, "batch 49"]
    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    vertices_m: Float[Tensor, "batch vertex 3"]
    has_mesh: Bool[Tensor, " batch"]


class Target(NamedTuple):
    """Target of a prediction: labels, 2D evidence with another network's mesh, or 2D evidence alone."""

    keypoints_px: Float[Tensor, "batch 49 2"]
    keypoints_confidence: Float[Tensor, "batch 49"]
    mesh: MeshTarget | None = None
    lower_legs: Float[Tensor, "batch 2"] | None = None
    """Confidence of each lower leg's direction if not that of its joints: EFT uses ankles that L_2D omits."""


class Terms(NamedTuple):
    """Unweighted loss terms, one value per sample."""

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
    distances: bool = False,
) -> Float[Tensor, " batch"]:
    r"""Compute L_2D, the mean over points and axes of :math:`c\,(p - \hat p)^2`, in half crops.

    Args:
        predicted_px: points in pixels of the crop.
        target_px: points in pixels of the crop; arbitrary where the confidence is 0.
        confidence: weight of each point.
        size: height and width of the crop.
        distances: return the mean over points of :math:`c\,|p - \hat p|` instead.
    """
    half = predicted_px.new_tensor([size[1] / 2, size[0] / 2])
    compare = _confident_distances if distances else _confident_squares
    return compare(predicted_px / half, target_px / half, confidence)


def joint_loss(
    predicted_m: Float[Tensor, "batch 49 3"],
    target_m: Float[Tensor, "batch 49 3"],
    confidence: Float[Tensor, "batch 49"],
    distances: bool = False,
) -> Float[Tensor, " batch"]:
    r"""Compute L_J3D, the mean of :math:`c\,(X - \hat X)^2` over the data sets' 24 joints relative to the mid-hip.

    Args:
        predicted_m: predicted joints.
        target_m: true joints.
        confidence: weight of each joint.
        distances: return the mean over joints of :math:`c\,|X - \hat X|` instead.
    """
    predicted = (predicted_m - predicted_m[:, _HIPS].mean(1, keepdim=True))[:, _OPENPOSE:]
    target = (target_m - target_m[:, _HIPS].mean(1, keepdim=True))[:, _OPENPOSE:]
    # Without hips a target cannot be centered.
    centerable = (confidence[:, _HIPS] > 0).all(1, keepdim=True)
    compare = _confident_distances if distances else _confident_squares
    return compare(predicted, target, confidence[:, _OPENPOSE:] * centerable)


def _vertex_loss(
    predicted_m: Float[Tensor, "batch vertex 3"], target_m: Float[Tensor, "batch vertex 3"]
) -> Float[Tensor, " batch"]:
    """Compute L_V, the mean absolute difference."""
    return mean_absolute_difference(predicted_m, target_m)


def parameter_loss(
    predicted: Float[Tensor, " batch *parameter"], target: Float[Tensor, " batch *parameter"]
) -> Float[Tensor, " batch"]:
    """Compute the mean squared difference: L_R of rotation matrices, L_β of shapes."""
    return (predicted - target).square().flatten(1).mean(1)


def _rotation_distance(
    predicted: Float[Tensor, "batch 24 3 3"], target: Float[Tensor, "batch 24 3 3"]
) -> Float[Tensor, " batch"]:
    r"""Compute the mean over joints of :math:`\|R - \hat R\|_F`."""
    return _norm((predicted - target).flatten(2)).mean(1)


def camera_loss(camera: Float[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    r"""Compute L_cam :math:`= (e^{-10 s})^2`, which keeps the scale s above 0."""
    return torch.exp(-10 * camera[:, 0]).square()


def lower_leg_confidence(confidence: Float[Tensor, "batch 49"]) -> Float[Tensor, "batch 2"]:
    """Return the product of knee and ankle confidence of the right and left lower leg."""
    return confidence[:, _LOWER_LEGS[0]] * confidence[:, _LOWER_LEGS[1]]


def lower_leg_loss(
    predicted_px: Float[Tensor, "batch 49 2"],
    target_px: Float[Tensor, "batch 49 2"],
    confidence: Float[Tensor, "batch 2"],
    size: tuple[int, int],
) -> Float[Tensor, " batch"]:
    r"""Compute the sum over lower legs of :math:`c\,(1 - \cos)` between 2D directions, knee to ankle (EFT's code).

    Args:
        predicted_px: points in pixels of the crop.
        target_px: points in pixels of the crop; a leg seen end-on, which is too short, does not count.
        confidence: confidence of each leg, see :func:`lower_leg_confidence`.
        size: height and width of the crop.
    """
    half = predicted_px.new_tensor([size[1] / 2, size[0] / 2])
    predicted, target = (
        (points[:, _LOWER_LEGS[1]] - points[:, _LOWER_LEGS[0]]) / half for points in (predicted_px, target_px)
    )
    counts = (confidence > 0) & (target.norm(dim=-1) > _SHORTEST)
    # Values that do not count may be arbitrary: replace them before differentiation.
    target = torch.where(counts[..., None], target, 1.0)
    predicted = torch.where(counts[..., None], predicted, 1.0)
    return (torch.where(counts, confidence, 0.0) * (1 - cosine_similarity(predicted, target, dim=-1))).sum(1)


def mesh_terms(prediction: BodyPrediction, target: Target, size: tuple[int, int], weights: LossWeights) -> Terms:
    """Compute all loss terms; a term is 0 for samples without its label.

    Args:
        prediction: the network's prediction.
        target: what it is compared with.
        size: height and width of the crop.
        weights: only `openpose`, `truth` and `distances` are used, and whether `vertices` and `lower_legs` are 0.
    """
    share = target.keypoints_confidence.new_full((len(JOINTS49),), weights.truth)
    share[:_OPENPOSE] = weights.openpose
    confidence = target.keypoints_confidence * share
    mesh = target.mesh
    zero = prediction.camera.new_zeros(len(prediction.camera))
    # On a GPU the test would synchronize; torch.where costs a copy of the mesh.
    all_labeled = mesh is not None and mesh.has_mesh.device.type == "cpu" and bool(mesh.has_mesh.all())

    rotations = _rotation_distance if weights.distances else parameter_loss

    def masked(predicted: Tensor, labeled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pair, with the target replaced by the detached prediction where there is no mesh."""
        assert mesh is not None
        if all_labeled:
            return predicted, labeled
        has_mesh = mesh.has_mesh.view(-1, *[1] * (predicted.ndim - 1))
        return predicted, torch.where(has_mesh, labeled, predicted.detach())

    return Terms(
        vertices=_vertex_loss(*masked(prediction.vertices_m, mesh.vertices_m))
        if mesh is not None and weights.vertices
        else zero,
        keypoints=keypoint_loss(prediction.keypoints_px, target.keypoints_px, confidence, size, weights.distances),
        joints=zero
        if mesh is None
        else joint_loss(prediction.joints_m, mesh.joints_m, mesh.joints_confidence, weights.distances),
        rotations=zero if mesh is None else rotations(*masked(prediction.rotations, mesh.rotations)),
        shape=zero if mesh is None else parameter_loss(*masked(prediction.shape, mesh.shape)),
        camera=camera_loss(prediction.camera),
        shape_prior=parameter_loss(prediction.shape, torch.zeros_like(prediction.shape)),
        lower_legs=lower_leg_loss(
            prediction.keypoints_px,
            target.keypoints_px,
            lower_leg_confidence(target.keypoints_confidence) if target.lower_legs is None else target.lower_legs,
            size,
        )
        if weights.lower_legs
        else zero,
    )


def total(terms: Terms, weights: LossWeights) -> Float[Tensor, " batch"]:
    r"""Compute :math:`L = 0.5 L_V + 5 L_{2D} + 5 L_{J3D} + L_R + 0.001 L_\beta + L_{cam}`, one value per sample."""
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
    """Compute the mean of c (p − t)²; targets with c = 0 are ignored and may be NaN."""
    known = (confidence > 0)[..., None]
    target = torch.where(known, target, predicted.detach())
    return (confidence[..., None] * (predicted - target).square()).mean((1, 2))


def _confident_distances(
    predicted: Float[Tensor, "batch point axis"],
    target: Float[Tensor, "batch point axis"],
    confidence: Float[Tensor, "batch point"],
) -> Float[Tensor, " batch"]:
    """Compute the mean of c |p − t|; targets with c = 0 are ignored and may be NaN."""
    target = torch.where((confidence > 0)[..., None], target, predicted.detach())
    return (confidence * _norm(predicted - target)).mean(1)


def _norm(vectors: Float[Tensor, "*any axis"]) -> Float[Tensor, "*any"]:
    """Return the norm of vectors, with a gradient of 0 at 0."""
    return (vectors.square().sum(-1) + _TINY).sqrt()
