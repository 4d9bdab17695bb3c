from pathlib import Path

import pytest
import roma
import torch
from torch import Tensor, nn

from hamipose.errors import UserError
from meshtto.camera import Box, box_feature
from meshtto.regressors import CLIFF, HMR, IterativeHead, load_published, rotations_from_6d
from meshtto.regressors.published import from_published, to_published

MEAN = (torch.eye(3)[:, :2].flatten().repeat(24), torch.zeros(10), torch.tensor([0.9, 0.0, 0.0]))


def small(kind: type, **options) -> HMR | CLIFF:
    torch.manual_seed(0)
    return kind(MEAN, backbone="test_resnet", width=16, **options).eval()


def reference_rotation(six: Tensor) -> Tensor:
    """Zhou et al., CVPR 2019, eq. 15, for one joint; SPIN reads the six numbers row by row."""
    a1, a2 = six[[0, 2, 4]], six[[1, 3, 5]]
    b1 = a1 / a1.norm()
    b2 = a2 - (b1 @ a2) * b1
    b2 = b2 / b2.norm()
    return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], 1)


def test_rotations_from_6d_are_rotations():
    pose = torch.randn(3, 144, dtype=torch.float64)
    found = rotations_from_6d(pose)
    for j in range(24):
        torch.testing.assert_close(found[1, j], reference_rotation(pose[1].view(24, 6)[j]))
    assert roma.is_rotation_matrix(found, 1e-9)
    torch.testing.assert_close(rotations_from_6d(MEAN[0][None])[0], torch.eye(3).expand(24, 3, 3))


def reference_head(state: dict[str, Tensor], features: Tensor, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """SPIN's published regressor restated from its description: no activation, residual feedback."""
    pose, shape, cam = (state[f"init_{name}"].expand(len(features), -1) for name in ("pose", "shape", "cam"))
    for _ in range(iterations):
        x = torch.cat([features, pose, shape, cam], 1)
        for layer in ("fc1", "fc2"):
            x = x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        step = [x @ state[f"dec{k}.weight"].T + state[f"dec{k}.bias"] for k in ("pose", "shape", "cam")]
        pose, shape, cam = pose + step[0], shape + step[1], cam + step[2]
    return pose, shape, cam


@pytest.mark.parametrize("iterations", [1, 3])
def test_head_equals_a_plain_feedback_loop(iterations: int):
    head = IterativeHead(7, 3, *MEAN, iterations=iterations, width=16).eval().double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    features, box_features = torch.randn(4, 7).double(), torch.randn(4, 3).double()
    pose, shape, camera = reference_head(head.state_dict(), torch.cat([features, box_features], 1), iterations)
    found = head(features, box_features)
    torch.testing.assert_close(found.rotations, rotations_from_6d(pose), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.shape, shape)
    torch.testing.assert_close(found.camera, camera)


def test_head_starts_near_the_mean():
    found = IterativeHead(2048, 0, *MEAN).eval()(torch.randn(2, 2048), torch.zeros(2, 0))
    assert (found.camera - MEAN[2]).abs().max() < 0.3
    assert (found.rotations - torch.eye(3)).abs().max() < 0.5


def test_box_features_of_cliff_and_hmr():
    box = Box(*(torch.rand(2, *s) * 100 + 50 for s in ((2,), (), (2,), ())))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(small(CLIFF).box_features(box), box_feature(box))
    assert small(HMR).box_features(box).shape == (2, 0)
    cliff = small(CLIFF)
    a, b = (
        cliff(images, cliff.box_features(box)),
        cliff(images, cliff.box_features(box._replace(side_px=box.side_px * 2))),
    )
    assert (a.camera - b.camera).abs().max() > 0


#: Names in the published checkpoints, as their authors' networks have them.
SPIN_KEYS = (
    *("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias"),
    *("fc1.weight", "fc2.bias", "decpose.weight", "decshape.bias", "deccam.weight", "init_pose", "init_cam"),
)


@pytest.mark.parametrize(("kind", "encoder"), [(HMR, ""), (CLIFF, "encoder.")])
def test_load_published_reads_both_layouts(kind: type, encoder: str, tmp_path: Path):
    """ResNet-50 with the names of SPIN and CLIFF, which correspond to our names one to one."""
    torch.manual_seed(0)
    source, target = (kind(MEAN, backbone="resnet50", width=1024) for _ in range(2))
    state = to_published(source.state_dict(), encoder)
    for key in SPIN_KEYS:
        prefix = "" if key.startswith(("fc", "dec", "init")) else encoder
        assert prefix + key in state, key
    assert set(from_published(state)) == set(source.state_dict())
    wrapped = {"model": {f"module.{k}" if encoder else k: v for k, v in state.items()}}
    torch.save(wrapped, tmp_path / "published.pt")
    load_published(target, tmp_path / "published.pt")
    for (name, a), b in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_load_published_rejects_the_other_regressor(tmp_path: Path):
    torch.save(to_published(small(CLIFF).state_dict(), "encoder."), tmp_path / "cliff.pt")
    with pytest.raises(UserError, match="reads 256 numbers, this HMR reads 253"):
        load_published(small(HMR), tmp_path / "cliff.pt")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "odd.pt")
    with pytest.raises(UserError, match=r"has no fc1\.weight"):
        load_published(small(HMR), tmp_path / "odd.pt")
    state = to_published(small(HMR).state_dict(), "")
    state.pop("fc2.bias")
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(UserError, match=r"lacks head\.fc2\.bias"):
        load_published(small(HMR), tmp_path / "less.pt")


def test_regressor_rejects_unknown_backbones():
    with pytest.raises(UserError, match="resnet51"):
        HMR(MEAN, backbone="resnet51")
