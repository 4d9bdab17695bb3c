"""Simple Baseline pose networks (Xiao et al., ECCV 2018): a timm backbone, deconvolutions, and one 1 × 1 layer."""

import math
from collections.abc import Callable
from typing import Any

import timm
from jaxtyping import Float, UInt8
from timm.models import FeatureListNet
from timm.models.hrnet import HighResolutionNetFeatures
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.losses import heatmap_mse
from hamipose.models.device import memory_format
from hamipose.models.preprocess import normalize
from hamipose.models.weights import create_pretrained, load_backbone

__all__ = ["LogDensityNetwork", "PoseNetwork"]

_ANY_IMAGE_SIZE = {  # timm families that accept images of any size only on request
    "deit",
    "eva",
    "swin_transformer",
    "swin_transformer_v2",
    "swin_transformer_v2_cr",
    "vision_transformer",
}


class PoseNetwork(nn.Module):
    """Map images to one heatmap per keypoint at a quarter of the image size.

    The number of deconvolutions, each of which doubles the size, follows from the backbone's stride: three for a ResNet
    (32), two for a ViT with patches of 16 px, none for an HRNet, whose finest branch is used. If fewer are given, a
    ResNet, ConvNeXt or similar backbone ends at the stage that fits: with two, a ResNet omits its last stage, which
    contains most of its parameters and has only 2 × 2 cells for images of 64 px.

    Weights and maps are stored channels last, which makes convolutions faster (`benchmarks/memory_format.py`), unless
    :func:`hamipose.models.device.memory_format` finds a layer for which that is unsafe.

    Args:
        keypoints: number of heatmaps.
        backbone: any timm model name, such as resnet18, resnet101, hrnet_w32, vit_tiny_patch16_224.
        weights: initial backbone weights: none; "pretrained" (timm's); or the path of a state dict of a ResNet or other
            timm network, .safetensors or .pth.
        deconv_channels: widths of the deconvolutions; the last ones are used if fewer are needed.

    Raises:
        UserError: unknown backbone, unsuitable stride, or weights that do not fit.
    """

    stride = 4
    """Number of image pixels per heatmap cell."""

    def __init__(
        self,
        keypoints: int,
        backbone: str = "resnet18",
        weights: str | None = None,
        deconv_channels: tuple[int, ...] = (256, 256, 256),
    ) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.backbone, channels, self.backbone_stride, self._channels_last = _backbone(
            backbone, weights, self.stride * 2 ** len(deconv_channels)
        )
        doublings = math.log2(self.backbone_stride / self.stride)
        if doublings not in range(len(deconv_channels) + 1):
            raise UserError(
                f"backbone: {backbone!r} has stride {self.backbone_stride}: expected {self.stride} times a power of 2, "
                f"at most {self.stride * 2 ** len(deconv_channels)} with {len(deconv_channels)} deconvolutions"
            )
        widths = deconv_channels[len(deconv_channels) - int(doublings) :]
        layers = []
        for width in widths:
            layers += [
                nn.ConvTranspose2d(channels, width, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.deconv = nn.Sequential(*layers)
        self.final = nn.Conv2d(channels, keypoints, kernel_size=1)
        for module in (*self.deconv, self.final):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._memory_format = memory_format(self.backbone)
        self.to(memory_format=self._memory_format)

    @property
    def pyramid_channels(self) -> list[int]:
        """Return the width of each map of :meth:`pyramid`."""
        deconvolutions = [layer for layer in self.deconv if isinstance(layer, nn.ConvTranspose2d)]
        coarsest = deconvolutions[0].in_channels if deconvolutions else self.final.in_channels
        return [coarsest, *(layer.out_channels for layer in deconvolutions)]

    @property
    def feature_channels(self) -> int:
        """Return the number of input channels of the last layer; one of its rows has one more parameter, the bias."""
        return self.final.in_channels

    def pyramid(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """Return the backbone's map and the output of each deconvolution, coarse to fine.

        Raises:
            UserError: a side of the images is not a multiple of the backbone's stride.
        """
        height, width = images.shape[-2:]
        if height % self.backbone_stride or width % self.backbone_stride:
            raise UserError(
                f"image_size: images of {height} × {width} px: expected multiples of {self.backbone_stride}, the "
                "stride of the backbone"
            )
        features = self.backbone(images.contiguous(memory_format=self._memory_format))[-1]
        if self._channels_last:
            features = features.permute(0, 3, 1, 2)
        found = [features]
        for start in range(0, len(self.deconv), 3):
            found.append(self.deconv[start : start + 3](found[-1]))
        return found

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return the input of the last layer, at a quarter of the image size: the finest map of :meth:`pyramid`."""
        return self.pyramid(images)[-1]

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map normalized images to heatmaps, ``final(features(images))``."""
        return self.final(self.features(images))

    #: Loss of each keypoint's heatmaps, see :meth:`hamipose.models.pretrained.interface.FinetunableNetwork.loss`.
    loss = staticmethod(heatmap_mse)

    @staticmethod
    def activate(outputs: Float[Tensor, "batch keypoint h w"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return the outputs of the last layer, which are the heatmaps."""
        return outputs

    @staticmethod
    def normalize(images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalize images, see :func:`hamipose.models.preprocess.normalize`."""
        return normalize(images)


class LogDensityNetwork(nn.Module):
    """Converts maps of log-densities to heatmaps whose peaks are 1, which can be decoded (RegDA).

    Args:
        network: network that returns log-densities.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return exp(map − its maximum) of normalized images."""
        maps = self.network(images).float()
        return (maps - maps.amax((2, 3), keepdim=True)).exp()


def _backbone(name: str, weights: str | None, coarsest: int) -> tuple[nn.Module, int, int, bool]:
    """Return timm's feature extractor, its channels and stride, and whether its maps are channels last (N, H, W, C).

    A backbone whose stride is above ``coarsest`` ends at its last stage that is not, if timm supports it.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise UserError(f"backbone: timm has no {name!r}; it has " + (", ".join(near) or "others: timm.list_models()"))
    family = timm.models.model_entrypoint(name).__module__.rsplit(".", 1)[-1]
    options: dict[str, Any] = {"features_only": True, "out_indices": (-1,)}
    if family == "hrnet":
        options.update(feature_location="", out_indices=(1,))
    elif family in _ANY_IMAGE_SIZE:
        options.update(dynamic_img_size=True)

    create: Callable[..., nn.Module] = create_pretrained if weights == "pretrained" else timm.create_model
    network = create(name, **options)
    made: Any = network.feature_info
    fitting = [i for i, stage in enumerate(made.info) if stage["reduction"] <= coarsest]
    # Other extractors of timm (MobileNet, EfficientNet) would keep the unused stages.
    if made.reduction()[-1] > coarsest and fitting and isinstance(network, FeatureListNet):
        network = create(name, **options | {"out_indices": (fitting[-1],)})
        made = network.feature_info
    if isinstance(network, HighResolutionNetFeatures):
        # Only the finest branch is used: the fusions into the others would cost time and never get a gradient.
        last = network.stage4[-1]
        last.fuse_layers = nn.ModuleList([last.fuse_layers[0]])
    if weights not in (None, "none", "pretrained"):
        load_backbone(network, name, weights)
    channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")
    return network, made.channels()[-1], made.reduction()[-1], channels_last
