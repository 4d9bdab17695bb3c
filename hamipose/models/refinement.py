"""The refinement block of MDAM (Li & Lee, CVPR 2021, after Chen et al., CPN, CVPR 2018), which combines all scales."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RefinedNetwork", "Refinement", "RefinementOutput"]


class RefinementOutput(NamedTuple):
    """Output of the refinement block."""

    first: Float[Tensor, "batch keypoint height width"]
    """Heatmaps of the head that is trained and evaluated."""
    second: Float[Tensor, "batch keypoint height width"]
    """Heatmaps of the head that is compared with the teacher."""
    features: Float[Tensor, "batch channel height width"]
    """Concatenated maps of all scales, which the heads and a domain classifier read."""


class _Bottleneck(nn.Module):
    """Bottleneck of 1 × 1, 3 × 3 and 1 × 1 convolutions with a 1 × 1 shortcut."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.path(features) + self.shortcut(features))


class Refinement(nn.Module):
    """Maps all scales of a network to heatmaps of two heads.

    The coarser a map, the more bottlenecks it passes before it is upsampled; then both heads read all maps together.

    Args:
        channels: widths of the maps, coarse to fine.
        width: width of every scale inside the block; must be even.
        keypoints: number of heatmaps.
    """

    def __init__(self, channels: list[int], width: int, keypoints: int):
        super().__init__()
        self.scales = nn.ModuleList()
        for position, in_channels in enumerate(channels):
            layers: list[nn.Module] = [
                nn.Conv2d(in_channels, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            layers += [_Bottleneck(width, width // 2) for _ in range(len(channels) - 1 - position)]
            self.scales.append(nn.Sequential(*layers))
        self.channels = width * len(channels)
        self.first, self.second = (
            nn.Sequential(_Bottleneck(self.channels, width // 2), nn.Conv2d(width, keypoints, 3, padding=1))
            for _ in range(2)
        )
        for head in (self.first, self.second):
            final = head[-1]
            assert isinstance(final, nn.Conv2d)
            assert final.bias is not None
            nn.init.normal_(final.weight, std=0.001)
            nn.init.zeros_(final.bias)

    def forward(self, pyramid: list[Float[Tensor, "batch _ _ _"]]) -> RefinementOutput:
        """Map feature maps from coarse to fine to heatmaps of the finest size."""
        size = pyramid[-1].shape[-2:]
        scaled = [
            F.interpolate(scale(features), size, mode="bilinear", align_corners=True)
            for scale, features in zip(self.scales, pyramid, strict=True)
        ]
        features = torch.cat(scaled, 1)
        return RefinementOutput(self.first(features), self.second(features), features)


class RefinedNetwork(nn.Module):
    """A pose network with its refinement, as evaluated.

    Args:
        network: pose network with a ``pyramid`` method.
        refinement: refinement block.
    """

    def __init__(self, network: nn.Module, refinement: nn.Module):
        super().__init__()
        self.network = network
        self.refinement = refinement

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map normalized images to refined heatmaps."""
        return self.refinement(self.network.pyramid(images)).first  # type: ignore[operator]
