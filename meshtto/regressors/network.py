"""A timm backbone with a head: HMR, which reads only the crop, and CLIFF, which also reads its position."""

from abc import abstractmethod

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.models.device import memory_format
from hamipose.models.weights import create_pretrained, read_state_dict
from meshtto.camera import Box, Camera, CropCamera, FullFrameCamera, box_feature
from meshtto.regressors.head import Estimate, IterativeHead

__all__ = ["CLIFF", "HMR", "Regressor"]


class Regressor(nn.Module):
    """Map normalized crops to rotations, shape and camera.

    ``forward(images, box_features)`` is ``head(features(images), box_features)`` where `box_features` is
    :meth:`box_features` of the crops' boxes. If only the head is adapted, only the head runs again. The backbone uses
    the channels-last memory format, as in
    :class:`hamipose.models.network.PoseNetwork`.

    Args:
        mean: mean pose (24 × 6), shape (10) and camera (3), see :func:`meshtto.body.mean_parameters`.
        backbone: any timm model name, such as resnet50 or hrnet_w48.
        weights: initial backbone weights: "none", "pretrained" (timm's) or a file.
        iterations: feedback iterations of the head.
        dropout: dropout probability of the head.
        width: units of the head's layers.

    Raises:
        UserError: unknown backbone, or weights that do not fit it.
    """

    camera: Camera
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
        self.backbone = _backbone(backbone, weights)
        self._memory_format = memory_format(self.backbone)
        self.backbone.to(memory_format=self._memory_format)
        channels: int = self.backbone.num_features  # type: ignore[assignment]
        self.head = IterativeHead(channels, self.num_box_features, *mean, iterations, dropout, width)

    @abstractmethod
    def box_features(self, box: Box) -> Float[Tensor, "batch box_features"]:
        """Return the features of the crop's position that the head reads."""

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel"]:
        """Return the image features that the head reads."""
        plain = self._memory_format == torch.contiguous_format
        return self.backbone(images.contiguous() if plain else images)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], box_features: Float[Tensor, "batch box_features"]
    ) -> Estimate:
        """Map normalized images and their box features to estimates."""
        return self.head(self.features(images).to(box_features.dtype), box_features)


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
