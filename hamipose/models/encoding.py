"""How keypoints become heatmaps and heatmaps become keypoints: as options say, or as a pretrained network does."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.heatmaps import decode, encode
from hamipose.models.pretrained.interface import Start

__all__ = ["Encoding"]


@dataclass(frozen=True)
class Encoding:
    """The two directions, which undo each other.

    Attributes:
        sigma: width of a Gaussian, in cells.
        quantize: as in :func:`hamipose.heatmaps.encode`.
        start: the pretrained network that training started from; it then encodes and decodes in its own way.
    """

    sigma: float = 2.0
    quantize: bool = False
    start: Start | None = None

    @property
    def whole_pixels(self) -> bool:
        """Whether cell u lies at pixel 4u: how maps from pixels to pixels act on heatmaps."""
        return self.quantize if self.start is None else self.start.offset_px == 0

    @property
    def radius_px(self) -> float:
        """Width of a Gaussian, in pixels."""
        return 4 * (self.sigma if self.start is None else self.start.sigma)

    def encode(
        self,
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        size: tuple[int, int],
        visible: Bool[Tensor, "batch keypoint"],
    ) -> Float[Tensor, "batch keypoint h w"]:
        """Keypoints in pixels of the crop → heatmaps.

        Args:
            keypoints_px: keypoints.
            size: height and width of the crop.
            visible: keypoints to draw.
        """
        if self.start is not None:
            return self.start.encode(keypoints_px, size, visible)
        return encode(keypoints_px, size, sigma=self.sigma, visible=visible, quantize=self.quantize)

    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Heatmaps → keypoints in pixels of the crop, and heights of the peaks."""
        if self.start is not None:
            return self.start.decode(heatmaps)
        return decode(heatmaps, quantize=self.quantize)

    def known(self, keypoints: int, device: torch.device) -> Bool[Tensor, " keypoint"]:
        """Keypoints that can be trained: those that the pretrained network has a row for."""
        return torch.ones(keypoints, dtype=torch.bool, device=device) if self.start is None else self.start.known
