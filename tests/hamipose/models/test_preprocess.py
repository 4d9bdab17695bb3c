import torch
from torchvision.transforms import functional as torchvision_functional

from hamipose.models.preprocess import IMAGENET_MEAN, IMAGENET_STD, denormalize, normalize


def test_normalize_agrees_with_torchvision():
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    expected = torchvision_functional.normalize(images.float() / 255, IMAGENET_MEAN, IMAGENET_STD)
    torch.testing.assert_close(normalize(images), expected, atol=1e-5, rtol=1e-5)


def test_normalize_keeps_the_memory_format_and_its_input():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    assert normalize(images).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_denormalize_inverts_normalize():
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    assert torch.equal(denormalize(normalize(images)).to(torch.uint8), images)
