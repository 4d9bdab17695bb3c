"""Encode keypoints as heatmaps and decode heatmaps, with the training options or as a pretrained network does."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hamipose.heatmaps import decode, encode
from hamipose.models.pretrained.interface import FinetunableNetwork, PretrainedNetwork

__all__ = ["Encoding", "decode_heatmaps"]


def decode_heatmaps(
    heatmaps: Float[Tensor, "batch keypoint h w"], network: nn.Module | None, quantize: bool
) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
    """Decode heatmaps; training, evaluation and prediction all use this function.

    Args:
        heatmaps: heatmaps of crops.
        network: a pretrained network decodes its own heatmaps; other networks and None use `quantize`.
        quantize: whether the targets were quantized, see :func:`hamipose.heatmaps.decode`.

    Returns:
        Keypoints in pixels of the crop, and heights of the peaks.
    """
    if isinstance(network, PretrainedNetwork):
        return network.decode(heatmaps)
    return decode(heatmaps, quantize=quantize)


@dataclass(frozen=True)
class Encoding:
    """Conversion between keypoints and heatmaps; `encode` and `decode` are inverse to each other.

    Attributes:
        sigma: standard deviation of a Gaussian in cells.
        quantize: as in :func:`hamipose.heatmaps.encode`.
        start: pretrained network that training starts from; it encodes and decodes in its own way.
    """

    sigma: float = 2.0
    quantize: bool = False
    start: FinetunableNetwork | None = None

    @property
    def whole_pixels(self) -> bool:
        """Return whether cell u lies at pixel 4u, which determines how maps between pixels act on heatmaps."""
        return self.quantize if self.start is None else self.start.offset_px == 0

    @property
    def radius_px(self) -> float:
        """Return the standard deviation of a Gaussian in pixels."""
        return 4 * (self.sigma if self.start is None else self.start.sigma)

    def encode(
        self,
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        size: tuple[int, int],
        visible: Bool[Tensor, "batch keypoint"],
    ) -> Float[Tensor, "batch keypoint h w"]:
        """Encode keypoints as heatmaps.

        Args:
            keypoints_px: keypoints in pixels of the crop.
            size: height and width of the crop.
            visible: keypoints to draw.
        """
        if self.start is not None:
            return self.start.encode(keypoints_px, size, visible)
        return encode(keypoints_px, size, sigma=self.sigma, visible=visible, quantize=self.quantize)

    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Decode heatmaps to keypoints in pixels of the crop, and heights of the peaks."""
        return decode_heatmaps(heatmaps, self.start, self.quantize)

    def trainable_keypoints(self, keypoints: int, device: torch.device) -> Bool[Tensor, " keypoint"]:
        """Return which keypoints can be trained: those with a row in the pretrained network.

        Args:
            keypoints: number of keypoints.
            device: device of the result for networks trained from scratch.
        """
        if self.start is None:
            return torch.ones(keypoints, dtype=torch.bool, device=device)
        return self.start.trainable_keypoints
