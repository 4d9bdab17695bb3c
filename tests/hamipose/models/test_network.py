import pytest
import timm
import torch

from hamipose.errors import UserError
from hamipose.models.network import PoseNetwork

SMALL = ["resnet10t", "mobilenetv3_small_050", "lcnet_050", "hrnet_w18_small", "vit_tiny_patch16_224"]


@pytest.mark.parametrize("backbone", ["resnet18", "swin_tiny_patch4_window7_224", *SMALL])
def test_backbones_return_a_quarter_of_the_image_and_use_all_parameters(backbone):
    network = PoseNetwork(7, backbone)
    heatmaps = network(torch.randn(2, 3, 64, 96))
    assert heatmaps.shape == (2, 7, 64 // network.stride, 96 // network.stride)
    heatmaps.sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert not idle, "a parameter without a gradient breaks training on several processes"


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101", "hrnet_w32", "vit_base_patch16_224"])
def test_large_backbones_fit(backbone):
    with torch.device("meta"):
        network = PoseNetwork(16, backbone)
        assert network(torch.empty(1, 3, 128, 64)).shape == (1, 16, 32, 16)


@pytest.mark.parametrize(
    ("backbone", "deconvolutions"), [("resnet10t", 3), ("vit_tiny_patch16_224", 2), ("hrnet_w18_small", 0)]
)
def test_head_equals_simple_baseline(backbone, deconvolutions):
    network = PoseNetwork(16, backbone)
    layers = [m for m in network.deconv if isinstance(m, torch.nn.ConvTranspose2d)]
    assert len(layers) == deconvolutions
    for layer in layers:
        assert layer.out_channels == 256
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
        assert layer.bias is None
        assert abs(layer.weight.std() / 0.001 - 1) < 0.05
    assert network.final.kernel_size == (1, 1)
    assert abs(network.final.weight.std() / 0.001 - 1) < 0.2
    assert network.final.bias.eq(0).all()
    assert network.feature_channels == network.final.in_channels == (256 if deconvolutions else 16)


@pytest.mark.parametrize(
    ("backbone", "deconvolutions", "stride"),
    [("resnet10t", 2, 16), ("resnet10t", 1, 8), ("resnet10t", 0, 4), ("convnext_atto", 2, 16)],
)
def test_backbone_with_fewer_deconvolutions_ends_at_a_fitting_stage(backbone, deconvolutions, stride):
    network = PoseNetwork(5, backbone, deconv_channels=(8,) * deconvolutions)
    images = torch.randn(2, 3, 64, 96)
    maps = network.pyramid(images)
    assert network.backbone_stride == stride
    assert [m.shape[-1] for m in maps] == [96 // stride << doubling for doubling in range(deconvolutions + 1)]
    heatmaps = network(images)
    assert heatmaps.shape == (2, 5, 16, 24)
    heatmaps.sum().backward()
    assert all(p.grad is not None for p in network.parameters()), "unused stages must be removed"


def test_truncated_backbone_loads_weights_of_the_whole(tmp_path):
    whole = timm.create_model("resnet10t")
    torch.save(whole.state_dict(), tmp_path / "resnet.pth")
    network = PoseNetwork(5, "resnet10t", str(tmp_path / "resnet.pth"), (8, 8))
    kept = network.backbone.state_dict()
    assert kept
    assert not any(key.startswith("layer4") for key in kept)
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in kept.items())


def test_heatmaps_equal_last_layer_of_features():
    network = PoseNetwork(5, "resnet10t", deconv_channels=(8, 8, 8)).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), network.final(network.features(images)))


def test_batch_equals_single_images_in_eval_mode():
    network = PoseNetwork(5, "resnet10t", deconv_channels=(8, 8, 8)).eval()
    torch.nn.init.normal_(network.final.weight)
    images = torch.randn(3, 3, 32, 32)
    apart = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), apart, atol=1e-4, rtol=1e-3)


def test_memory_format_does_not_change_heatmaps():
    network = PoseNetwork(5, "resnet10t", deconv_channels=(8, 8, 8)).eval()
    images = torch.randn(2, 3, 32, 32)
    found = network(images)
    assert network.backbone.layer2[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    other_way = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(other_way), found, atol=0, rtol=0)
    network.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(network(images), found, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("size", [(48, 64), (64, 48)])
def test_images_not_divisible_by_the_stride_are_rejected(size):
    with pytest.raises(UserError, match="multiples of 32"):
        PoseNetwork(5, "resnet10t")(torch.randn(1, 3, *size))


def test_unknown_backbone_is_rejected_with_similar_names():
    with pytest.raises(UserError, match="'resnet19'"):
        PoseNetwork(5, "resnet19")


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [("lcnet_050", (8, 8)), ("vit_tiny_patch16_224", (8,)), ("vit_small_patch14_dinov2", (8, 8, 8))],
)
def test_unsuitable_stride_is_rejected(backbone, channels):
    with torch.device("meta"), pytest.raises(UserError, match="stride"):
        PoseNetwork(5, backbone, deconv_channels=channels)
