r"""Multi-view pseudo-labels of a whole target set (CC-SSL, CVPR 2020).

.. math:: \bar H = \frac{1}{V} \sum_v T_v^{-1} f(T_v x), \qquad \hat u_k = \arg\max_u \bar H_k(u), \quad
    c_k = \max_u \bar H_k(u)

where :math:`T_1` is the identity and the others are random zooms and rotations about the center. If the views disagree
about a keypoint, its confidence c_k is low.
"""

import math
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from hamipose.geometry.affine import invert, warp_images
from hamipose.heatmaps import decode, warp_heatmaps
from hamipose.methods.parts.keypoint_labels import move_keypoints
from hamipose.models.preprocess import normalize
from hamipose.types import LabeledBatch, TargetBatch

__all__ = ["PseudoLabels", "average_over_views", "labels_in_student_view", "random_views"]

Network = Callable[[Float[Tensor, "batch 3 height width"]], Float[Tensor, "batch keypoint h w"]]


def random_views(
    draws: Float[Tensor, "count 2"], size: int, turn_deg: float = 30.0, zoom: float = 0.25
) -> Float[Tensor, "count 2 3"]:
    """Return the matrices plain crop → view of random views.

    The rotation is from N(0, turn²), clamped to ±2 turn; the zoom is from 1 + N(0, zoom²), clamped to 1 ± zoom.

    Args:
        draws: values from N(0, 1) for the rotations and the zooms.
        size: side of the crop in pixels.
        turn_deg: standard deviation of the rotation in degrees.
        zoom: standard deviation of the zoom factor.
    """
    angle = (draws[:, 0] * math.radians(turn_deg)).clamp(-2 * math.radians(turn_deg), 2 * math.radians(turn_deg))
    scale = (1 + draws[:, 1] * zoom).clamp(1 - zoom, 1 + zoom)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    center = torch.full((2,), (size - 1) / 2)
    return torch.cat([linear, (center - linear @ center)[..., None]], -1)


@torch.no_grad()
def average_over_views(
    network: Network,
    images: UInt8[Tensor, "batch 3 size size"],
    draws: Float[Tensor, "view batch 2"],
    quantize: bool = False,
) -> Float[Tensor, "batch keypoint h w"]:
    """Return the mean of the heatmaps of an image and of random views, warped back; unknown cells count as 0.

    Args:
        network: images → heatmaps.
        images: plain crops.
        draws: arguments of :func:`random_views`, for each view and image.
        quantize: whether the network was trained with quantized targets.
    """
    total = network(normalize(images)).float()
    for draw in draws:
        matrix = random_views(draw, images.shape[-1]).to(images.device)
        warped = warp_images(images.float(), matrix).round().to(torch.uint8)
        heatmaps = network(normalize(warped)).float()
        same = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        order = list(range(heatmaps.shape[1]))
        unwarped, _ = warp_heatmaps(heatmaps, invert(matrix), same, order, quantize=quantize)
        total = total + unwarped
    return total / (1 + len(draws))


def _draw(salt: int, name: str, count: int) -> Float[Tensor, "count 2"]:
    """Draw from N(0, 1) with a seed from the image's name, independent of process and batch."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode(), salt))
    return torch.randn(count, 2, generator=generator)


class PseudoLabels:
    """Pseudo-labels of a whole set of images in pixels of their plain crops, by the images' names.

    Args:
        quantize: whether the network was trained with quantized targets.

    Attributes:
        stage: number of the round of labeling; −1 before the first.
        threshold: only labels with a higher confidence are used.
    """

    def __init__(self, quantize: bool = False) -> None:
        self.quantize = quantize
        self.stage = -1
        self.threshold = 0.0
        self._row: dict[str, int] = {}
        self._keypoints_px: Tensor = torch.zeros(0, 0, 2)
        self._confidence: Tensor = torch.zeros(0, 0)

    def make(
        self, stage: int, network: nn.Module, images: Iterable[LabeledBatch], views: int, discard_fraction: float
    ) -> None:
        """Label all images.

        Args:
            stage: number of the round.
            network: the network, which is in eval mode during the labeling.
            images: batches of plain crops, whose labels are not used.
            views: number of views to average; each round has other views.
            discard_fraction: fraction of the labels, over all images and keypoints, that is discarded.
        """
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        device = next(network.parameters()).device
        salt = int(torch.randint(2**31, ()))  # the same on all processes
        found: list[tuple[str, Tensor, Tensor]] = []
        for batch in images:
            draws = torch.stack([_draw(salt, name, views - 1) for name in batch.name], 1)
            heatmaps = average_over_views(network, batch.image.to(device), draws, self.quantize)
            keypoints_px, confidence = decode(heatmaps, quantize=self.quantize)
            rows = zip(batch.name, batch.index.tolist(), keypoints_px.cpu(), confidence.cpu(), strict=True)
            found += [(name, points, scores) for name, index, points, scores in rows if index >= 0]
        for module, mode in modes:
            module.training = mode
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            shares: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(shares, found)
            found = [row for share in shares for row in share]
        found.sort(key=lambda row: row[0])
        self.stage = stage
        self._row = {name: row for row, (name, _, _) in enumerate(found)}
        self._keypoints_px = torch.stack([points for _, points, _ in found])
        self._confidence = torch.stack([scores for _, _, scores in found])
        # As in the published code, a zero comes first: with fraction 0, all confidences above 0 are used.
        ranked = torch.cat([torch.zeros(1), self._confidence.flatten()]).sort().values
        self.threshold = float(ranked[min(int(discard_fraction * len(ranked)), len(ranked) - 1)])

    def lookup(
        self, names: list[str], device: torch.device
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Bool[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the plain crops, and which of them to use; none of an unknown image."""
        rows = torch.tensor([self._row.get(name, -1) for name in names])
        used = (self._confidence[rows] > self.threshold) & (rows >= 0)[:, None]
        return self._keypoints_px[rows].to(device), used.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Return the labels for a checkpoint."""
        return {
            "stage": self.stage,
            "threshold": self.threshold,
            "names": list(self._row),
            "keypoints_px": self._keypoints_px,
            "confidence": self._confidence,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the labels of :meth:`state_dict`."""
        self.stage, self.threshold = state["stage"], state["threshold"]
        self._row = {name: row for row, name in enumerate(state["names"])}
        self._keypoints_px, self._confidence = state["keypoints_px"], state["confidence"]


def labels_in_student_view(
    keypoints_px: Float[Tensor, "batch keypoint 2"],
    used: Bool[Tensor, "batch keypoint"],
    batch: TargetBatch,
    mirror: list[int],
) -> tuple[Float[Tensor, "batch keypoint 2"], Bool[Tensor, "batch keypoint"]]:
    """Return labels of plain crops in pixels of the student's view; labels outside it are not used."""
    size = (batch.student.shape[-2], batch.student.shape[-1])
    return move_keypoints(keypoints_px, used, batch.student_matrix, batch.student_mirrored, mirror, size)
