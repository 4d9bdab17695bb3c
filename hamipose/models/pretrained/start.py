"""The interfaces of pretrained pose networks, whatever format their weights come in."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.heatmaps import decode
from hamipose.heatmaps import offset_px as own_offset_px
from hamipose.skeletons import Skeleton

__all__ = ["PersonNetwork", "Start"]


class PersonNetwork(nn.Module, ABC):
    """A pose network that was trained on crops of people, and that is used as it is.

    Images are normalized as everywhere in this package (:func:`hamipose.models.preprocess.normalise`); a network that
    was trained on another range converts them itself.

    Attributes:
        skeleton: the keypoints' names and order.
        image_size: side of the square crops that it was trained on, in pixels.
        aspect: width by height of what the network sees in the middle of a square crop.
        passes: how often to look at a person by default, each time at the crop that the alignment points of the last
            pass give; 1 for networks without such points.
        box_margin: the side of that crop is twice the distance of the two points times this.
        offset_px: where cell 0 of its heatmaps lies, in pixels of the crop; cell u lies at stride · u + offset_px.
        has_heatmaps: whether `forward` returns heatmaps; a network without them has its own `locate`.
    """

    skeleton: Skeleton
    image_size: int
    aspect: float = 1.0
    passes: int = 1
    box_margin: float = 1.25
    stride: int = 4
    offset_px: float = own_offset_px(4)
    has_heatmaps: bool = True

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → heatmaps; peaks near 1 where the network is sure."""

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        """Return the middle of each person and a point above it, in pixels of the crop.

        The second point is as far from the first as the farthest part of the body, and above it where the person
        stands upright: what a closer, upright crop follows from (:func:`hamipose.affine.upright_box`).

        Args:
            images: normalized.

        Raises:
            NotImplementedError: the network has no such points; its `passes` is 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no alignment points")

    @torch.no_grad()
    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the crop, and their confidences."""
        points, confidence = decode(heatmaps, stride=self.stride)
        return points + (self.offset_px - own_offset_px(self.stride)), confidence

    @torch.no_grad()
    def locate(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Normalized images → keypoints in pixels of the crop, and their confidences."""
        return self.decode(self(images).float())


class Start(PersonNetwork):
    """A pretrained pose network that can be trained on, with the interface of `hamipose.models.network.PoseNetwork`.

    Cells of heatmaps lie on the image as :mod:`hamipose.heatmaps` says, unless `offset_px` differs; a network that was
    trained with another grid may shift its input instead.

    Attributes:
        final: the last layer, a 1 × 1 convolution with a row for each keypoint; its outputs are logits.
    """

    final: nn.Conv2d

    @abstractmethod
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return what the last layer reads, at a quarter of the images' size."""

    @property
    def feature_channels(self) -> int:
        """Width of the features; a row of the last layer has one parameter more, its bias."""
        return self.final.in_channels

    def logits(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return ``final(features(images))``, whose gradients the gate compares."""
        return self.final(self.features(images))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → heatmaps in [0, 1], the sigmoid of the logits."""
        return self.logits(images).sigmoid()
