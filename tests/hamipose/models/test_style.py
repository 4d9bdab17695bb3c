"""Properties of style transfer with a small random encoder of VGG's shape, and its files."""

from pathlib import Path

import pytest
import timm
import torch

from hamipose.errors import UserError
from hamipose.models.style import (
    Encoder,
    StyleTransfer,
    adain,
    build_decoder,
    channel_statistics,
    load_style,
    read_encoder,
    save_decoder,
    style_losses,
)

WIDTHS = (4, 6, 8, 10)


def transfer() -> StyleTransfer:
    encoder = Encoder(WIDTHS)
    return StyleTransfer(encoder, build_decoder(WIDTHS))


def test_adain_has_the_styles_statistics():
    content, style = 3 * torch.randn(2, 5, 9, 7) + 1, 0.5 * torch.randn(2, 5, 4, 6) - 2
    found = adain(content, style)
    dims = {"dim": (2, 3)}
    torch.testing.assert_close(found.mean(**dims), style.mean(**dims), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.std(**dims), style.std(**dims), rtol=1e-4, atol=1e-4)
    # The normalized pattern of the content remains.
    for image in range(2):
        for channel in range(5):
            pair = torch.stack([found[image, channel].flatten(), content[image, channel].flatten()])
            assert torch.corrcoef(pair)[0, 1] > 0.9999


def test_adain_with_its_own_style_is_the_identity():
    content = torch.randn(2, 5, 9, 7)
    torch.testing.assert_close(adain(content, content), content, rtol=1e-4, atol=1e-5)
    net = transfer()
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(net.target(images, images), net.encoder(images)[-1], rtol=1e-3, atol=1e-5)


def test_constant_channel_does_not_divide_by_zero():
    found = adain(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    assert torch.isfinite(found).all()


def test_strength_interpolates_content_and_style():
    net = transfer()
    content, style = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    plain, full = net.encoder(content)[-1], adain(net.encoder(content)[-1], net.encoder(style)[-1])
    torch.testing.assert_close(net.target(content, style, 0.0), plain)
    torch.testing.assert_close(net.target(content, style, 1.0), full)
    torch.testing.assert_close(net.target(content, style, 0.3), 0.3 * full + 0.7 * plain)


def test_encoder_equals_vgg19_up_to_relu4_1():
    with torch.device("meta"):
        vgg = timm.create_model("vgg19").features
    ours = Encoder()
    for number, layer in enumerate(ours.features):
        theirs = vgg[number]
        assert type(layer).__name__ == type(theirs).__name__, number
        if isinstance(layer, torch.nn.Conv2d):
            assert layer.weight.shape == theirs.weight.shape
    assert ours.taps == [1, 6, 11, 20]
    assert len(ours.features) == 21
    assert not any(p.requires_grad for p in ours.parameters())
    shapes = [tuple(found.shape[1:]) for found in ours(torch.zeros(1, 3, 32, 32))]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_decoder_mirrors_the_encoder():
    decoder = build_decoder()
    widths = [(m.in_channels, m.out_channels) for m in decoder if isinstance(m, torch.nn.Conv2d)]
    encoder = [(m.in_channels, m.out_channels) for m in Encoder().features if isinstance(m, torch.nn.Conv2d)]
    assert widths == [(out, into) for into, out in reversed(encoder)]
    assert isinstance(decoder[-1], torch.nn.Conv2d)
    assert build_decoder(WIDTHS)(torch.zeros(1, 10, 4, 4)).shape == (1, 3, 32, 32)


def test_restyle_returns_clamped_bytes():
    net = transfer()
    content, style = (torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8) for _ in range(2))
    torch.nn.init.constant_(net.decoder[-1].bias, 1e3)
    assert (net.restyle(content, style, 0.5) == 255).all()  # clamped, not wrapped around
    torch.nn.init.constant_(net.decoder[-1].bias, -1e3)
    assert (net.restyle(content, style, 0.5) == 0).all()
    with pytest.raises(UserError, match="multiples of 8"):
        net.restyle(content[..., :30], style, 0.5)


def test_losses_equal_their_definition():
    net = transfer()
    content, style = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    found = style_losses(net, content, style)
    wanted = net.target(content, style)
    features, styles = net.encoder(net.decoder(wanted)), net.encoder(style)
    total = torch.zeros(())
    for mine, theirs in zip(features, styles, strict=True):
        for image in range(2):
            for channel in range(mine.shape[1]):
                a, b = mine[image, channel].flatten(), theirs[image, channel].flatten()
                off = (a.mean() - b.mean()) ** 2
                off = off + ((a.var() + 1e-5).sqrt() - (b.var() + 1e-5).sqrt()) ** 2
                total = total + off / (2 * mine.shape[1])
    torch.testing.assert_close(found.style, total)
    torch.testing.assert_close(found.content, (features[-1] - wanted).square().mean())
    (found.content + found.style).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.decoder.parameters())


def test_encoder_and_decoder_files_are_restored(tmp_path: Path):
    net = transfer()
    state = {f"features.{name}": value for name, value in net.encoder.features.state_dict().items()}
    torch.save(
        {**state, "features.21.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(2)}, tmp_path / "v.pth"
    )
    save_decoder(net.decoder, tmp_path / "d.safetensors")
    again = load_style(str(tmp_path / "v.pth"), tmp_path / "d.safetensors")
    content, style = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32)
    assert torch.equal(again(content, style), net(content, style))
    assert not any(p.requires_grad for p in again.parameters())

    torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "short.pth")
    with pytest.raises(UserError, match=r"lacks 5\.weight, 10\.weight, 19\.weight; expected a VGG-19"):
        read_encoder(str(tmp_path / "short.pth"))
    save_decoder(build_decoder((4, 6, 8, 12)), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not fit the encoder"):
        load_style(str(tmp_path / "v.pth"), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"missing\.pth does not exist"):
        read_encoder(str(tmp_path / "missing.pth"))


def test_statistics_use_single_precision_under_bfloat16():
    features = (torch.randn(1, 2, 16, 16) + 100).bfloat16()
    mean, deviation = channel_statistics(features)
    assert mean.dtype == deviation.dtype == torch.float32
