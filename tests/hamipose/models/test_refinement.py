import pytest
import torch

from hamipose.models.network import PoseNetwork
from hamipose.models.refinement import RefinedNetwork, Refinement


@pytest.mark.parametrize("backbone", ["test_resnet", "hrnet_w18_small"])
def test_finest_pyramid_map_equals_features(backbone: str):
    network = PoseNetwork(5, backbone, deconv_channels=(8, 8, 8)).eval()
    images = torch.randn(1, 3, 64, 64)
    pyramid = network.pyramid(images)
    assert torch.equal(pyramid[-1], network.features(images))
    assert [found.shape[1] for found in pyramid] == network.pyramid_channels
    sides = [found.shape[-1] for found in pyramid]
    assert sides == [16 >> (len(pyramid) - 1 - i) for i in range(len(pyramid))]


def test_both_heads_read_all_scales():
    torch.manual_seed(0)
    network = PoseNetwork(5, "test_resnet", deconv_channels=(8, 8, 8))
    refinement = Refinement(network.pyramid_channels, 4, 5)
    pyramid = [found.detach().requires_grad_() for found in network.pyramid(torch.randn(2, 3, 64, 64))]
    refined = refinement(pyramid)
    assert refined.first.shape == refined.second.shape == (2, 5, 16, 16)
    assert refined.features.shape[1] == refinement.channels
    for head in (refined.first, refined.second):
        gradients = torch.autograd.grad(head.square().sum(), pyramid, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in gradients)
    assert not torch.equal(refined.first, refined.second)
    images = torch.randn(2, 3, 64, 64)
    both = RefinedNetwork(network, refinement).eval()
    assert torch.equal(both(images), refinement(network.pyramid(images)).first)
