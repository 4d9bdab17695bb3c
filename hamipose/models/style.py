r"""Style transfer by AdaIN (Huang & Belongie, ICCV 2017) with a frozen VGG-19 encoder and a trained decoder.

With E the encoder up to relu4_1, G the decoder, :math:`\mu, \sigma` a channel's mean and standard deviation over the
positions, c the content and s the style,

.. math::
    t = \alpha\, \mathrm{AdaIN}(E(c), E(s)) + (1 - \alpha) E(c), \qquad
    \mathrm{AdaIN}(x, y) = \sigma(y) \frac{x - \mu(x)}{\sigma(x)} + \mu(y), \qquad \hat c = G(t)

and G is trained with the following loss, in which each square is a mean and w = 0.1 (UniFrame),

.. math::
    \|E_4(\hat c) - t\|^2 + w \sum_{i=1}^4 \left( \|\mu(E_i(\hat c)) - \mu(E_i(s))\|^2
    + \|\sigma(E_i(\hat c)) - \sigma(E_i(s))\|^2 \right) .
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path
from hamipose.models.preprocess import denormalize, normalize
from hamipose.models.weights import create_pretrained, read_state_dict
from hamipose.precision import at_least_single

__all__ = [
    "Encoder",
    "StyleLosses",
    "StyleTransfer",
    "adain",
    "build_decoder",
    "channel_statistics",
    "load_style",
    "read_decoder",
    "read_encoder",
    "save_decoder",
    "style_losses",
]

#: Number of convolutions in each of VGG-19's blocks, up to relu4_1 in the last one.
_CONVOLUTIONS = (2, 2, 4, 1)


def channel_statistics(
    features: Float[Tensor, "batch channel height width"], epsilon: float = 1e-5
) -> tuple[Float[Tensor, "batch channel 1 1"], Float[Tensor, "batch channel 1 1"]]:
    """Return mean and standard deviation of each channel of each image; `epsilon` is added to the variance."""
    variance, mean = torch.var_mean(at_least_single(features), (2, 3), keepdim=True)
    return mean, (variance + epsilon).sqrt()


def adain(
    content: Float[Tensor, "batch channel height width"], style: Float[Tensor, "batch channel h w"]
) -> Float[Tensor, "batch channel height width"]:
    """Return the content features with the style's channel statistics."""
    mean, deviation = channel_statistics(content)
    target_mean, target_deviation = channel_statistics(style)
    return (at_least_single(content) - mean) / deviation * target_deviation + target_mean


class Encoder(nn.Module):
    """VGG-19 up to relu4_1, frozen, with reflection padding; layers are named as in torchvision's ``features``.

    Args:
        widths: widths of the four blocks; other values than VGG-19's are for tests.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512)):
        super().__init__()
        self.widths = widths
        layers: list[nn.Module] = []
        self.taps = []
        channels = 3
        for block, (width, convolutions) in enumerate(zip(widths, _CONVOLUTIONS, strict=True)):
            layers += [nn.MaxPool2d(2)] if block else []
            for convolution in range(convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
                channels = width
                if convolution == 0:
                    self.taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """Return the outputs of relu1_1, relu2_1, relu3_1 and relu4_1 for normalized images."""
        found = []
        for number, layer in enumerate(self.features):
            images = layer(images)
            if number in self.taps:
                found.append(images)
        return found


def build_decoder(widths: tuple[int, ...] = (64, 128, 256, 512)) -> nn.Sequential:
    """Build the mirrored encoder: nearest-neighbor upsampling for pooling, reflection padding, no last ReLU."""
    layers: list[nn.Module] = []
    for block in (3, 2, 1, 0):
        narrower = widths[block - 1] if block else 3
        steps = _CONVOLUTIONS[block]
        for step in range(steps):
            out = narrower if step == steps - 1 else widths[block]
            layers += [nn.Conv2d(widths[block], out, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
        layers += [nn.Upsample(scale_factor=2, mode="nearest")] if block else []
    return nn.Sequential(*layers[:-1])


class StyleTransfer(nn.Module):
    """Encoder and decoder.

    Args:
        encoder: frozen encoder.
        decoder: decoder of :func:`build_decoder` with the same widths.
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def target(
        self,
        content: Float[Tensor, "batch 3 height width"],
        style: Float[Tensor, "batch 3 h w"],
        strength: float = 1.0,
    ) -> Float[Tensor, "batch channel _ _"]:
        """Return t, the decoder's input."""
        features = self.encoder(content)[-1]
        return strength * adain(features, self.encoder(style)[-1]) + (1 - strength) * features

    def forward(
        self,
        content: Float[Tensor, "batch 3 height width"],
        style: Float[Tensor, "batch 3 h w"],
        strength: float = 1.0,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return normalized stylized images, as output by the decoder."""
        return self.decoder(self.target(content, style, strength))

    @torch.no_grad()
    def restyle(
        self,
        content: UInt8[Tensor, "batch 3 height width"],
        style: UInt8[Tensor, "batch 3 h w"],
        strength: float,
    ) -> UInt8[Tensor, "batch 3 height width"]:
        """Stylize images of bytes; the results are clamped to 0 … 255.

        Args:
            content: images to stylize.
            style: images of the other domain.
            strength: α.

        Raises:
            UserError: a side is not a multiple of 8.
        """
        if content.shape[-1] % 8 or content.shape[-2] % 8:
            raise UserError(
                f"style transfer: images of {content.shape[-2]} × {content.shape[-1]} px, expected multiples of 8"
            )
        styled = self(normalize(content), normalize(style), strength).float()
        return denormalize(styled).to(torch.uint8)


class StyleLosses(NamedTuple):
    """Losses of the decoder."""

    content: Float[Tensor, ""]
    style: Float[Tensor, ""]


def style_losses(
    transfer: StyleTransfer, content: Float[Tensor, "batch 3 height width"], style: Float[Tensor, "batch 3 h w"]
) -> StyleLosses:
    """Return the distances of the result's features from t, and of its statistics from the style's in four layers."""
    with torch.no_grad():
        target = transfer.target(content, style)
        styles = [channel_statistics(features) for features in transfer.encoder(style)]
    found = transfer.encoder(transfer.decoder(target))
    off = [
        F.mse_loss(mean, target_mean) + F.mse_loss(deviation, target_deviation)
        for (mean, deviation), (target_mean, target_deviation) in zip(
            map(channel_statistics, found), styles, strict=True
        )
    ]
    return StyleLosses(F.mse_loss(at_least_single(found[-1]), target), torch.stack(off).sum())


def read_encoder(weights: str) -> Encoder:
    """Load the encoder with VGG-19's weights.

    Args:
        weights: "pretrained" (timm's, downloaded once), or the path of a VGG-19 state dict (torchvision's or timm's
            names: ``features.0.weight`` and so on). The widths are those of the file.

    Raises:
        UserError: the weights are not available, or belong to another network.
    """
    state = create_pretrained("vgg19").state_dict() if weights == "pretrained" else read_state_dict(weights)
    state = {key.removeprefix("features."): value for key, value in state.items() if not key.startswith("classifier")}
    firsts = [f"{layer}.weight" for layer in (0, 5, 10, 19)]
    if not all(key in state and state[key].ndim == 4 for key in firsts):
        raise UserError(
            f"style encoder: {weights} lacks {', '.join(k for k in firsts if k not in state)}; expected a VGG-19's "
            "state dict with features.0.weight … features.19.weight"
        )
    encoder = Encoder(tuple(state[key].shape[0] for key in firsts))
    try:
        encoder.features.load_state_dict({key: state[key] for key in encoder.features.state_dict()})
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"style encoder: {weights} is not a VGG-19 ({reason}); expected its state dict") from None
    return encoder.eval()


def load_style(encoder: str, decoder: str | Path) -> StyleTransfer:
    """Load a trained style transfer, frozen.

    Args:
        encoder: as in :func:`read_encoder`.
        decoder: file written by ``python -m hamipose style fit``.

    Raises:
        UserError: one of them is not available, or they do not match.
    """
    frozen = read_encoder(encoder)
    return StyleTransfer(frozen, read_decoder(decoder, frozen)).eval().requires_grad_(False)


def read_decoder(path: str | Path, encoder: Encoder) -> nn.Sequential:
    """Load a trained decoder.

    Args:
        path: file written by ``python -m hamipose style fit``.
        encoder: encoder that the decoder was trained with.

    Raises:
        UserError: the file is not available, or belongs to another encoder.
    """
    decoder = build_decoder(encoder.widths)
    try:
        decoder.load_state_dict(read_state_dict(path))
    except RuntimeError:
        raise UserError(
            f"style decoder: {path} does not fit the encoder, whose widths are {encoder.widths}; give the encoder that "
            "the decoder was trained with"
        ) from None
    return decoder


def save_decoder(decoder: nn.Module, path: Path) -> None:
    """Write a decoder's weights atomically."""
    with atomic_path(path) as beside:
        save_file({key: value.contiguous().cpu() for key, value in decoder.state_dict().items()}, beside)
