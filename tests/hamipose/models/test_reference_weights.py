"""Weights in the published layout, restated here, give equal maps before and after conversion."""

import copy
import functools
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.models.reference_weights import build_reference_network, load_reference_weights


class Layout(nn.Module):
    """A network with the published names: torchvision's ResNet with its classifier, `upsampling`, `head`."""

    def __init__(self, resnet: nn.Module, channels: int, head: nn.Module, adversary: nn.Module | None = None):
        super().__init__()
        self.backbone = resnet
        layers: list[nn.Module] = []
        for width in (12, 10, 8):
            layers += [nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.upsampling = nn.Sequential(*layers)
        self.head = head
        if adversary is not None:
            self.head_adv = adversary

    def forward(self, x: Tensor) -> Tensor:
        b = self.backbone
        x = b.maxpool(b.relu(b.bn1(b.conv1(x))))
        return self.head(self.upsampling(b.layer4(b.layer3(b.layer2(b.layer1(x))))))


def two_layers(keypoints: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, keypoints, 1))


@functools.cache
def published(kind: str, keypoints: int = 16) -> nn.Module:
    """Return random weights and BatchNorm statistics in the published layout, with maps of size 1."""
    if kind == "regda":
        heads: tuple[nn.Module, ...] = (two_layers(keypoints), two_layers(keypoints))
    else:
        heads = (nn.Conv2d(8, keypoints, 1),)
    model = Layout(torchvision.models.resnet18(num_classes=7), 512, *heads)
    generator = torch.Generator().manual_seed(5)
    for name, tensor in model.state_dict().items():
        if "running_var" in name:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif "running_mean" in name or name.endswith("bias"):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("kind", ["pretrained", "regda"])
def test_converted_weights_give_equal_maps(kind: str):
    model = published(kind)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        ours, theirs = build_reference_network(model.state_dict())(images), model(images)
    assert ours.shape == (2, 16, 16, 24)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


def test_files_of_both_code_bases_are_read(tmp_path: Path):
    student, regda = published("pretrained"), published("regda")
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        teacher.head.bias += 1
    args = Namespace(lr=0.1, arch="pose_resnet101", source="SURREAL")
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [45, 60])
    uniframe = {
        "student": nn.DataParallel(student).state_dict(),
        "teacher": nn.DataParallel(teacher).state_dict(),
        "stu_optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "epoch": 3,
        "args": args,
    }
    torch.save(uniframe, tmp_path / "best.pth")
    torch.save({"model": regda.state_dict(), "optimizer_f": optimizer.state_dict(), "args": args}, tmp_path / "r.pth")
    torch.save({"model": student.state_dict()}, tmp_path / "pretrain.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for network, expected in (
            (load_reference_weights(tmp_path / "best.pth"), teacher),
            (load_reference_weights(tmp_path / "best.pth", "student"), student),
            (load_reference_weights(tmp_path / "r.pth"), regda),
            (load_reference_weights(tmp_path / "pretrain.pth"), student),
        ):
            assert not network.training
            torch.testing.assert_close(network(images), expected(images), rtol=1e-5, atol=1e-5)


class Trap:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('executed')",))


def test_other_files_are_rejected_in_one_line(tmp_path: Path):
    def get_error(content: object) -> str:
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(UserError) as error:
            load_reference_weights(tmp_path / "file.pth")
        assert "\n" not in str(error.value)
        return str(error.value)

    state = published("pretrained").state_dict()
    assert "is not a published PoseResNet" in get_error({"model": {"weight": torch.zeros(3)}})
    assert "contain no teacher or model" in get_error({"model": 3})
    assert "Missing key" in get_error({"model": {k: v for k, v in state.items() if k != "upsampling.1.weight"}})
    assert "size mismatch" in get_error({"model": {**state, "head.bias": torch.zeros(3)}})
    assert "contains objects of exec, expected only tensors and plain values; no code in it was run" in get_error(
        {"model": state, "args": Trap()}
    )
    with pytest.raises(UserError, match="does not exist"):
        load_reference_weights(tmp_path / "none.pth")
