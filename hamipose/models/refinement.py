"""MDAM's refinement block (Li & Lee, CVPR 2021, after Chen et al., CPN, CVPR 2018): a second look at all scales."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Refined", "RefinedNetwork", "Refinement"]


class Refined(NamedTuple):
    """What the block makes of a network's features."""

    first: Float[Tensor, "batch keypoint height width"]
    """Heatmaps of the head that is taught and evaluated."""
    second: Float[Tensor, "batch keypoint height width"]
    """Heatmaps of the head that is compared with the teacher."""
    features: Float[Tensor, "batch channel height width"]
    """All scales side by side, which the heads and a domain classifier read."""


class _Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1, added to a 1 × 1 shortcut."""

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
    """All scales of a network → heatmaps, twice.

    The coarser a map, the more bottlenecks it passes before it is magnified; then two heads read all of them at once.

    Args:
        channels: widths of the maps, coarse to fine.
        width: of every scale inside the block; even.
        keypoints: number of heatmaps.
    """

    def __init__(self, channels: list[int], width: int, keypoints: int):
        super().__init__()
        self.scales = nn.ModuleList()
        for position, given in enumerate(channels):
            layers: list[nn.Module] = [
                nn.Conv2d(given, width, 1, bias=False),
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

    def forward(self, pyramid: list[Float[Tensor, "batch _ _ _"]]) -> Refined:
        """Maps from coarse to fine → heatmaps of the size of the finest."""
        size = pyramid[-1].shape[-2:]
        scaled = [
            F.interpolate(scale(features), size, mode="bilinear", align_corners=True)
            for scale, features in zip(self.scales, pyramid, strict=True)
        ]
        features = torch.cat(scaled, 1)
        return Refined(self.first(features), self.second(features), features)


class RefinedNetwork(nn.Module):
    """A pose network with its refinement: what is evaluated.

    Args:
        network: the pose network, with a ``pyramid``.
        refinement: the block.
    """

    def __init__(self, network: nn.Module, refinement: nn.Module):
        super().__init__()
        self.network = network
        self.refinement = refinement

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → refined heatmaps."""
        return self.refinement(self.network.pyramid(images)).first  # type: ignore[operator]
