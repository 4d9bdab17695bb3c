"""Interfaces of pretrained pose networks, independent of the format of their weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hamipose.heatmaps import decode, encode
from hamipose.heatmaps import offset_px as own_offset_px
from hamipose.losses import bernoulli_kl, heatmap_mse
from hamipose.models.batchnorm import batchnorm_layers
from hamipose.skeletons import Skeleton

__all__ = ["DERIVED", "FinetunableNetwork", "Part", "PretrainedNetwork"]

#: Layers to train: all layers that heatmaps depend on, or the last ones.
Part = Literal["all", "head"]

#: Keypoints without a row that are computed from two others: their midpoint, with the lower of the two confidences.
#: Other keypoints without a row (neck, top of the head) get confidence 0.
DERIVED = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
}


class PretrainedNetwork(nn.Module, ABC):
    """A pose network that was trained on crops of people and is used unchanged.

    Images are normalized as everywhere in this package (:func:`hamipose.models.preprocess.normalize`); a network that
    was trained on another range converts them itself.

    Attributes:
        skeleton: names and order of the keypoints.
        image_size: side in pixels of the square crops that it was trained on.
        aspect: width divided by height of the network's input in the middle of a square crop.
        passes: default number of passes per person; each crop is given by the alignment points of the previous pass. 1
            for networks without such points.
        box_margin: the side of that crop is twice the distance of the two points times this factor.
        offset_px: position of heatmap cell 0 in pixels of the crop; cell u lies at stride · u + offset_px.
        has_heatmaps: whether `forward` returns heatmaps; a network without them overrides `locate`.
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
        """Map normalized images to heatmaps, with peaks near 1 if the network is confident."""

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        """Return the middle of each person and a point above it, in pixels of the crop.

        The distance between the points is that of the farthest part of the body, and the second point is above the
        first if the person is upright: :func:`hamipose.geometry.affine.upright_box` computes a closer, upright crop
        from them.

        Args:
            images: normalized images.

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
        """Return keypoints in pixels of the crop, and their confidences, for normalized images."""
        return self.decode(self(images).float())


class FinetunableNetwork(PretrainedNetwork):
    """A pretrained pose network to fine-tune, with the interface of `hamipose.models.network.PoseNetwork`.

    The last layer has a row for each keypoint of the data's skeleton, matched by name, in that order. Rows of other
    keypoints are kept as buffers, so that :meth:`select` can use them later. A keypoint unknown to the network gets a
    row of zeros, which is never trained (:attr:`trainable_keypoints`). BatchNorm layers always normalize with their own
    running statistics. :meth:`encode` is the inverse of :meth:`decode`, with the width of the network's own peaks:
    training on the network's own keypoints leaves them unchanged.

    Heatmap cells lie on the image as described in :mod:`hamipose.heatmaps`, unless `offset_px` differs; a network that
    was trained with another grid may shift its input instead.

    Attributes:
        final: last layer, a 1 × 1 convolution with a row for each keypoint.
        native: all keypoints that the network was trained on.
        sigma: standard deviation in cells of the peak of a confident keypoint.
        gives_logits: whether heatmaps are the sigmoid of the last layer's outputs; else they are these outputs.
    """

    final: nn.Conv2d
    native: Skeleton | None = None
    kept_weight: Tensor | None
    kept_bias: Tensor | None
    sigma: float = 2.0
    gives_logits: bool = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept_weight", None)
        self.register_buffer("kept_bias", None)

    @abstractmethod
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return the input of the last layer, at a quarter of the image size."""

    @property
    def feature_channels(self) -> int:
        """Return the number of feature channels; a row of the last layer has one more parameter, its bias."""
        return self.final.in_channels

    def logits(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return ``final(features(images))``, whose gradients the gate compares."""
        return self.final(self.features(images))

    def activate(self, outputs: Float[Tensor, "batch keypoint h w"]) -> Float[Tensor, "batch keypoint h w"]:
        """Convert outputs of the last layer to heatmaps in [0, 1]."""
        return outputs.sigmoid() if self.gives_logits else outputs

    def loss(
        self,
        outputs: Float[Tensor, "batch keypoint h w"],
        target: Float[Tensor, "batch keypoint h w"],
        weight: Tensor | None = None,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Float[Tensor, " keypoint"]:
        """Return each keypoint's loss of the last layer's outputs: a divergence for logits, else a squared error."""
        return (bernoulli_kl if self.gives_logits else heatmap_mse)(outputs, target, weight, reduction)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map normalized images to heatmaps in [0, 1]."""
        return self.activate(self.logits(images))

    def read(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return the position of each heatmap's peak, in pixels of the crop, and its height."""
        points, confidence = decode(heatmaps, stride=self.stride)
        return points + (self.offset_px - own_offset_px(self.stride)), confidence

    def encode(
        self,
        keypoints_px: Float[Tensor, "batch keypoint 2"],
        size: tuple[int, int],
        visible: Bool[Tensor, "batch keypoint"],
    ) -> Float[Tensor, "batch keypoint h w"]:
        """Return Gaussians of height 1 at the positions that :meth:`read` returns; zeros for invisible keypoints.

        Args:
            keypoints_px: keypoints in pixels of the crop.
            size: height and width of the crop.
            visible: keypoints to draw.
        """
        shifted = keypoints_px + (own_offset_px(self.stride) - self.offset_px)
        return encode(shifted, size, stride=self.stride, sigma=self.sigma, visible=visible)

    @torch.no_grad()
    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the crop and confidences; see `DERIVED` for keypoints without rows."""
        points, confidence = self.read(heatmaps)
        known = self.trainable_keypoints.tolist()
        for k, name in enumerate(self.skeleton.keypoints):
            if not known[k] and name in DERIVED:
                pair = self.skeleton.indices(DERIVED[name])
                points[:, k] = points[:, pair].mean(1)
                confidence[:, k] = confidence[:, pair].amin(1)
        return points, confidence

    # ------------------------------------------------------------------------------------------------ rows

    @property
    def trainable_keypoints(self) -> Bool[Tensor, " keypoint"]:
        """Return which keypoints have their own row; the others have rows of zeros and are not trained."""
        return (self.final.weight.detach() != 0).flatten(1).any(1)

    def missing_keypoints(self) -> list[str]:
        """Return the names of the skeleton's keypoints without a row."""
        return [
            name
            for name, known in zip(self.skeleton.keypoints, self.trainable_keypoints.tolist(), strict=True)
            if not known
        ]

    @torch.no_grad()
    def select(self, skeleton: Skeleton) -> "FinetunableNetwork":
        """Set the rows of the last layer to those of another skeleton, matched by name; return the network.

        A keypoint unknown to the network gets a row of zeros and a bias that corresponds to a confidence of 0.
        """
        self.native = self.native or self.skeleton
        before = self.final
        assert before.bias is not None
        rows = {name: row for name, *row in zip(self.skeleton.keypoints, before.weight, before.bias, strict=True)}
        rows = {name: row for name, row in rows.items() if name not in self.missing_keypoints()}
        if self.kept_weight is not None and self.kept_bias is not None:
            rows |= {n: row for n, *row in zip(self._others(), self.kept_weight, self.kept_bias, strict=True)}
        layer = self.new_rows(before.in_channels, len(skeleton)).to(before.weight.device)
        self.skeleton = skeleton
        self.replace_final(layer)
        self.keep_other_rows()
        for names, weights, biases in (
            (skeleton.keypoints, layer.weight, layer.bias),
            (self._others(), self.kept_weight, self.kept_bias),
        ):
            for k, name in enumerate(names):
                if name in rows and weights is not None and biases is not None:
                    weights[k], biases[k] = rows[name]  # type: ignore[index]
        return self

    def new_rows(self, channels: int, keypoints: int) -> nn.Conv2d:
        """Return a last layer without known keypoints."""
        layer = nn.Conv2d(channels, keypoints, 1)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, -12.0 if self.gives_logits else 0.0)  # type: ignore[arg-type]
        return layer

    def replace_final(self, layer: nn.Conv2d) -> None:
        """Replace the last layer."""
        self.final = layer

    def keep_other_rows(self) -> None:
        """Create empty buffers for the rows of the network's keypoints that the skeleton does not contain."""
        count, weight = len(self._others()), self.final.weight.detach()
        self.kept_weight = weight.new_zeros(count, *weight.shape[1:]) if count else None
        self.kept_bias = weight.new_zeros(count) if count else None

    def _others(self) -> list[str]:
        assert self.native is not None
        return [name for name in self.native.keypoints if name not in self.skeleton.keypoints]

    # ------------------------------------------------------------------------------------------------ training

    def train(self, mode: bool = True) -> "FinetunableNetwork":
        """Set the mode, except for BatchNorm layers, which keep their running statistics."""
        super().train(mode)
        for layer in batchnorm_layers(self):
            layer.eval()
        return self

    def layers(self, part: Part) -> Iterable[nn.Parameter]:
        """Return the parameters of a part, without those that heatmaps do not depend on."""
        return self.parameters() if part == "all" else self.final.parameters()

    def train_only(self, part: Part) -> None:
        """Enable gradients for one part only."""
        self.requires_grad_(False)
        for parameter in self.layers(part):
            parameter.requires_grad_(True)
