"""Labels from several views of an image: a teacher's points in each, moved back and combined robustly."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hamipose.geometry.affine import apply_points, augment_matrix, invert, warp_images

__all__ = ["LabelViews", "combine_views", "weighted_median"]


@dataclass(frozen=True)
class LabelViews:
    """The views of a target image that its keypoint labels are combined from, beside the image itself.

    Each view is one more forward pass of the teacher, and of the teacher alone: with a backward pass at twice the cost
    of a forward pass, a step with V views costs (6 + V) / 7 of a step with one.

    Attributes:
        mirror: mirror every view too, which doubles their number.
        scales: zooms about the center; above 1 enlarges.
        rotations_deg: turns about the center, in degrees.
    """

    mirror: bool = False
    scales: list[float] = field(default_factory=list)
    rotations_deg: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f"adaptation.label_views.scales is {self.scales}: all must be above 0")

    @property
    def count(self) -> int:
        """Views of an image, the image itself included: forward passes of the teacher in a step."""
        return (1 + self.mirror) * (1 + len(self.scales) + len(self.rotations_deg))

    def matrices(self, size: int) -> tuple[Float[Tensor, "view 2 3"], list[bool]]:
        """Return the maps from the image into each view, the identity first, and whether each is mirrored."""
        shapes = [(0.0, 1.0), *((0.0, scale) for scale in self.scales), *((turn, 1.0) for turn in self.rotations_deg)]
        mirrored = [False, True] if self.mirror else [False]
        views = [(augment_matrix(size, turn, scale, mirror=m), m) for m in mirrored for turn, scale in shapes]
        stacked = torch.stack([torch.from_numpy(matrix).float() for matrix, _ in views])
        return stacked, [m for _, m in views]


def show(
    images: UInt8[Tensor, "batch 3 size size"], matrix: Float[Tensor, "2 3"]
) -> UInt8[Tensor, "batch 3 size size"]:
    """Return a view of the images."""
    identity = torch.eye(2, 3)
    if torch.equal(matrix.cpu(), identity):
        return images
    maps = matrix.to(images.device).expand(len(images), 2, 3)
    return warp_images(images.float(), maps).round().to(torch.uint8)


def move_back(
    keypoints_px: Float[Tensor, "view batch keypoint 2"],
    scores: Float[Tensor, "view batch keypoint"],
    matrices: Float[Tensor, "view 2 3"],
    mirrored: Bool[Tensor, " view"],
    mirror: list[int],
) -> tuple[Float[Tensor, "view batch keypoint 2"], Float[Tensor, "view batch keypoint"]]:
    """Return points and scores of the views in the frame of the image, left and right as they are there."""
    points = torch.where(mirrored[:, None, None, None], keypoints_px[:, :, mirror], keypoints_px)
    scores = torch.where(mirrored[:, None, None], scores[:, :, mirror], scores)
    back = invert(matrices)[:, None].expand(-1, points.shape[1], 2, 3)
    return apply_points(back, points), scores


def weighted_median(
    values: Float[Tensor, " view *rest"], weights: Float[Tensor, " view *rest"]
) -> Float[Tensor, " *rest"]:
    """Return the weighted median along the first dimension: the middle of the lower and the upper one."""
    ordered, order = values.sort(0)
    share = weights.gather(0, order).cumsum(0)
    half = share[-1:] / 2
    lower, upper = ((reached.float()).argmax(0, keepdim=True) for reached in (share >= half, share > half))
    return (ordered.gather(0, lower) + ordered.gather(0, upper))[0] / 2


@torch.no_grad()
def combine_views(
    keypoints_px: Float[Tensor, "view batch keypoint 2"], scores: Float[Tensor, "view batch keypoint"], radius_px: float
) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
    r"""Combine the points that several views give for one keypoint.

    .. math::
        g_v(q) = s_v \exp(-\|p_v - q\|^2 / 2r^2), \qquad
        \hat p = \frac{\sum_v g_v(m)\, p_v}{\sum_v g_v(m)}, \qquad \hat s = \frac{1}{V} \sum_v g_v(\hat p)

    with m the median of the coordinates, weighted by s: one step of an M-estimator (Welsch's) from a robust start.
    Views that agree are averaged, an outlier counts for nothing. The combined score is the height at :math:`\hat p` of
    the mean of the views' Gaussians, so that it falls with the views' own scores and with their spread.

    Args:
        keypoints_px: points of the views in one frame.
        scores: s, from 0 to 1.
        radius_px: r; the training Gaussians' width is natural.
    """

    def support(point: Tensor) -> Tensor:
        squared = (keypoints_px - point).square().sum(-1)
        return scores * torch.exp(squared * (-0.5 / radius_px**2))

    median = weighted_median(keypoints_px, scores[..., None].expand_as(keypoints_px))
    near = support(median)
    total = near.sum(0)[..., None]
    mean = (near[..., None] * keypoints_px).sum(0) / total.clamp(min=torch.finfo(total.dtype).tiny)
    combined = torch.where(total > 0, mean, median)
    return combined, support(combined).mean(0)
