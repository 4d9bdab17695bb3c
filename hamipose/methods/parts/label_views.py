"""Labels from several views of an image: the teacher's points in each view, moved back and combined robustly."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hamipose.geometry.affine import apply_points, augment_matrix, invert, warp_images

__all__ = ["LabelViews", "combine_views", "weighted_median"]


@dataclass(frozen=True)
class LabelViews:
    """Views of a target image from which its keypoint labels are combined, in addition to the image itself.

    Each view costs one more forward pass of the teacher. If a backward pass costs twice a forward pass, a step with
    V views costs (6 + V) / 7 of a step with one view.

    Attributes:
        mirror: also add the mirror image of every view.
        scales: zoom factors about the center; above 1 enlarges.
        rotations_deg: rotations about the center, in degrees.
    """

    mirror: bool = False
    scales: list[float] = field(default_factory=list)
    rotations_deg: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f"adaptation.label_views.scales is {self.scales}: all must be above 0")

    @property
    def count(self) -> int:
        """Return the number of views including the image itself: the teacher's forward passes per step."""
        return (1 + self.mirror) * (1 + len(self.scales) + len(self.rotations_deg))

    def matrices(self, size: int) -> tuple[Float[Tensor, "view 2 3"], list[bool]]:
        """Return the matrices image → view, the identity first, and whether each view is mirrored."""
        shapes = [(0.0, 1.0), *((0.0, scale) for scale in self.scales), *((turn, 1.0) for turn in self.rotations_deg)]
        mirrored = [False, True] if self.mirror else [False]
        views = [(augment_matrix(size, turn, scale, mirror=m), m) for m in mirrored for turn, scale in shapes]
        stacked = torch.stack([torch.from_numpy(matrix).float() for matrix, _ in views])
        return stacked, [m for _, m in views]


def render_view(
    images: UInt8[Tensor, "batch 3 size size"], matrix: Float[Tensor, "2 3"]
) -> UInt8[Tensor, "batch 3 size size"]:
    """Warp the images into a view."""
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
    """Return points and scores of the views in the frame of the image, with its left and right."""
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
    r"""Combine the points of several views for one keypoint.

    .. math::
        g_v(q) = s_v \exp(-\|p_v - q\|^2 / 2r^2), \qquad
        \hat p = \frac{\sum_v g_v(m)\, p_v}{\sum_v g_v(m)}, \qquad \hat s = \frac{1}{V} \sum_v g_v(\hat p)

    where m is the median of the coordinates, weighted by s. This is one step of an M-estimator (Welsch's) from a robust
    start: views that agree are averaged, an outlier has no effect. The combined score is the height at
    :math:`\hat p` of the mean of the views' Gaussians: it falls with lower scores and with a larger spread.

    Args:
        keypoints_px: points of the views in one frame.
        scores: s, in [0, 1].
        radius_px: r, such as the standard deviation of the training Gaussians.
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
