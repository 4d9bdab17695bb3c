"""Networks with a head: HMR reads a crop, CLIFF also its position, and a lifter 2D keypoints instead of pixels."""

from abc import abstractmethod
from typing import ClassVar

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.models.device import memory_format
from hamipose.models.preprocess import normalize
from hamipose.models.weights import create_pretrained, read_state_dict
from meshtto.camera import Box, Camera, CropCamera, FullFrameCamera, box_feature, crop_box
from meshtto.regressors.head import Estimate, IterativeHead
from meshtto.regressors.lifting import KEYPOINT_FEATURES, KeypointBackbone, keypoint_features
from meshtto.types import MeshBatch

__all__ = ["CLIFF", "HMR", "Lifter", "Regressor"]


class Regressor(nn.Module):
    """Map crops to rotations, shape and camera.

    ``forward(inputs, box_features)`` is ``head(features(inputs), box_features)`` where `inputs` is :meth:`inputs` of a
    batch and `box_features` is :meth:`box_features` of the crops' boxes. If only the head is adapted, only the head
    runs again. A convolutional backbone uses the channels-last memory format, as in
    :class:`hamipose.models.network.PoseNetwork`.

    Args:
        mean: mean pose (24 × 6), shape (10) and camera (3), see :func:`meshtto.body.mean_parameters`.
        backbone: any timm model name, such as resnet50 or hrnet_w48; for a lifter "mlp".
        weights: initial backbone weights: "none", "pretrained" (timm's) or a file.
        iterations: feedback iterations of the head.
        dropout: dropout probability of the head.
        width: units of the head's layers, and of a lifter's backbone.

    Raises:
        UserError: unknown backbone, or weights that do not fit it.
    """

    camera: Camera
    #: Whether the network reads 2D evidence instead of pixels.
    reads_keypoints: ClassVar[bool] = False
    #: Size of the last dimension of :meth:`box_features`.
    num_box_features: int

    def __init__(
        self,
        mean: tuple[Tensor, Tensor, Tensor],
        backbone: str = "resnet50",
        weights: str = "none",
        iterations: int = 3,
        dropout: float = 0.5,
        width: int = 1024,
    ) -> None:
        super().__init__()
        self.backbone = self._build_backbone(backbone, weights, width, dropout)
        self._memory_format = memory_format(self.backbone)
        self.backbone.to(memory_format=self._memory_format)
        channels: int = self.backbone.num_features  # type: ignore[assignment]
        self.head = IterativeHead(channels, self.num_box_features, *mean, iterations, dropout, width)

    def _build_backbone(self, name: str, weights: str, width: int, dropout: float) -> nn.Module:
        return _backbone(name, weights)

    def inputs(self, batch: MeshBatch) -> Float[Tensor, "batch ..."]:
        """Return what the backbone reads of a batch: normalized crops."""
        return normalize(batch.image)

    @abstractmethod
    def box_features(self, box: Box) -> Float[Tensor, "batch box_features"]:
        """Return the features of the crop's position that the head reads."""

    def features(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channel"]:
        """Return the features that the head reads."""
        plain = self._memory_format == torch.contiguous_format
        return self.backbone(inputs.contiguous() if plain else inputs)

    def forward(
        self, inputs: Float[Tensor, "batch ..."], box_features: Float[Tensor, "batch box_features"]
    ) -> Estimate:
        """Map inputs and their box features to estimates."""
        return self.head(self.features(inputs).to(box_features.dtype), box_features)


class HMR(Regressor):
    """Regressor that reads only the crop, with its own weak-perspective camera (Kanazawa et al. 2018; SPIN, 2019)."""

    camera = CropCamera()
    num_box_features = 0

    def box_features(self, box: Box) -> Float[Tensor, "batch 0"]:
        """Return no features."""
        return box.center_px.new_zeros(len(box.center_px), 0)


class CLIFF(Regressor):
    """Regressor that reads the box's position and size, with the camera of the full image (Li et al., ECCV 2022)."""

    camera = FullFrameCamera()
    num_box_features = 3

    def box_features(self, box: Box) -> Float[Tensor, "batch 3"]:
        """Return the bounding-box feature of CLIFF."""
        return box_feature(box)


class Lifter(CLIFF):
    """Regressor that reads 2D keypoints instead of pixels (after Martinez et al., ICCV 2017), with CLIFF's camera.

    Its input is the 2D evidence, in the training step too. Any detector can provide it, and a person costs less than a
    millisecond; what the pixels say beyond the keypoints, it cannot use.
    """

    reads_keypoints = True

    def _build_backbone(self, name: str, weights: str, width: int, dropout: float) -> nn.Module:
        if name != "mlp":
            raise UserError(f"backbone is {name}; a lifter reads no pixels, expected mlp")
        if weights != "none":
            raise UserError(f"weights is {weights}, expected none: a lifter's backbone starts from random numbers")
        return KeypointBackbone(KEYPOINT_FEATURES, width, dropout)

    def inputs(self, batch: MeshBatch) -> Float[Tensor, "batch ..."]:
        """Return what the backbone reads of a batch: its 2D evidence and the boxes' features."""
        return keypoint_features(batch, box_feature(crop_box(batch)))


def _backbone(name: str, weights: str) -> nn.Module:
    """Create timm's network without its classifier: image to pooled features."""
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise UserError(f"backbone: timm has no {name!r}; it has " + (", ".join(near) or "others: timm.list_models()"))
    if weights == "pretrained":
        return create_pretrained(name, num_classes=0)
    network = timm.create_model(name, num_classes=0)
    if weights != "none":
        _fill(network, name, weights)
    return network


def _fill(network: nn.Module, name: str, path: str) -> None:
    """Fill a backbone from a file: its own state dict, a classifier's, or that of a network with a `backbone` part."""
    loaded = read_state_dict(path)
    if any(key.startswith("backbone.") for key in loaded):  # a whole network, such as a pose network
        loaded = {key.removeprefix("backbone."): value for key, value in loaded.items() if key.startswith("backbone.")}
    loaded = {key: value for key, value in loaded.items() if not key.startswith(("fc.", "classifier.", "head."))}
    expected = network.state_dict()
    mismatched = [key for key in expected if key not in loaded and not key.endswith("num_batches_tracked")]
    mismatched += [key for key in loaded if key not in expected or loaded[key].shape != expected[key].shape]
    if mismatched:
        raise UserError(
            f"weights: {path} is not the state dict of a {name} ({', '.join(mismatched[:3])} …); check the backbone"
        )
    network.load_state_dict({**expected, **loaded})
