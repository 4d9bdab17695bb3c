"""A timm backbone with a head: HMR, which sees the crop alone, and CLIFF, which is told where in the image it lies."""

from abc import abstractmethod

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.errors import InputError
from hamipose.models.memory_format import memory_format
from hamipose.models.weights import pretrained, read_state_dict
from meshtto.camera import Box, Camera, CropCamera, FullFrameCamera, box_feature
from meshtto.regressors.head import Estimate, IterativeHead

__all__ = ["CLIFF", "HMR", "Regressor"]


class Regressor(nn.Module):
    """Normalised crops → rotations, shape, camera.

    ``forward(images, told)`` is ``head(features(images), told)`` where `told` is :meth:`told` of the crops' boxes.
    Only the head runs again when only the head is adapted. The backbone's channels lie last in memory, as in
    :class:`hamipose.models.network.PoseNetwork`.

    Args:
        mean: mean pose (24 × 6), shape (10) and camera (3), as :func:`meshtto.body.mean_parameters` gives them.
        backbone: any name timm knows, such as resnet50 or hrnet_w48.
        weights: where the backbone starts from: "none", "pretrained" (timm's) or a file.
        iterations: of the head's feedback.
        dropout: of the head.
        width: of the head.

    Raises:
        InputError: no such backbone, or its weights do not fit.
    """

    camera: Camera
    #: Numbers that :meth:`told` gives.
    box_features: int

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
        self.head = IterativeHead(channels, self.box_features, *mean, iterations, dropout, width)

    @abstractmethod
    def told(self, box: Box) -> Float[Tensor, "batch told"]:
        """What the head is told of the crop's place."""

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel"]:
        """What the head reads of an image."""
        plain = self._memory_format == torch.contiguous_format
        return self.backbone(images.contiguous() if plain else images)

    def forward(self, images: Float[Tensor, "batch 3 height width"], told: Float[Tensor, "batch told"]) -> Estimate:
        """Normalised images and their places → estimates."""
        return self.head(self.features(images).to(told.dtype), told)


class HMR(Regressor):
    """Sees the crop alone; a weak-perspective camera of its own (Kanazawa et al. 2018; SPIN, 2019)."""

    camera = CropCamera()
    box_features = 0

    def told(self, box: Box) -> Float[Tensor, "batch 0"]:
        return box.centre_px.new_zeros(len(box.centre_px), 0)


class CLIFF(Regressor):
    """Told the box's place and size, and judged through the whole image's camera (Li et al., ECCV 2022)."""

    camera = FullFrameCamera()
    box_features = 3

    def told(self, box: Box) -> Float[Tensor, "batch 3"]:
        return box_feature(box)


def _backbone(name: str, weights: str) -> nn.Module:
    """timm's network without its classifier: image → pooled features."""
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise InputError(f"backbone: timm has no {name!r}; it has " + (", ".join(near) or "others: timm.list_models()"))
    if weights == "pretrained":
        return pretrained(name, num_classes=0)
    network = timm.create_model(name, num_classes=0)
    if weights != "none":
        _fill(network, name, weights)
    return network


def _fill(network: nn.Module, name: str, path: str) -> None:
    """Fill a backbone from a file: its own state dict, a classifier's, or that of a network with a part `backbone`."""
    given = read_state_dict(path)
    if any(key.startswith("backbone.") for key in given):  # beside a head, such as a pose network's
        given = {key.removeprefix("backbone."): value for key, value in given.items() if key.startswith("backbone.")}
    given = {key: value for key, value in given.items() if not key.startswith(("fc.", "classifier.", "head."))}
    wanted = network.state_dict()
    odd = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    odd += [key for key in given if key not in wanted or given[key].shape != wanted[key].shape]
    if odd:
        raise InputError(
            f"weights: {path} is not the state dict of a {name} ({', '.join(odd[:3])} …); check the backbone"
        )
    network.load_state_dict({**wanted, **given})
