"""State dicts with the names and shapes of the published files, derived from their code, and random values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hamipose.errors import UserError
from hamipose.heatmaps import encode
from hamipose.inference.loading import load
from hamipose.models.model_io import read_model_folder, save_model_folder
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.topdown import TopDown, read_topdown
from hamipose.skeletons import COCO17


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def bottleneck(name: str, given: int, width: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.conv1.weight": (width, given, 1, 1), f"{name}.conv2.weight": (width, width, 3, 3)}
    shapes |= {f"{name}.conv3.weight": (4 * width, width, 1, 1), **norm(f"{name}.bn3", 4 * width)}
    shapes |= norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)
    return shapes


def basic(name: str, width: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.conv{n}.weight": (width, width, 3, 3) for n in (1, 2)}
    return shapes | norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)


def conv_norm(name: str, given: int, width: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.0.weight": (width, given, kernel, kernel), **norm(f"{name}.1", width)}


def simple_baseline() -> dict[str, tuple[int, ...]]:
    """Return the shapes of pose_resnet_50 of microsoft/human-pose-estimation.pytorch."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    given = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            shapes |= bottleneck(f"layer{stage}.{block}", given, width)
            if block == 0:
                shapes |= conv_norm(f"layer{stage}.0.downsample", given, 4 * width, 1)
            given = 4 * width
    for n in range(3):
        shapes[f"deconv_layers.{3 * n}.weight"] = (given, 256, 4, 4)
        shapes |= norm(f"deconv_layers.{3 * n + 1}", 256)
        given = 256
    return shapes | {"final_layer.weight": (17, 256, 1, 1), "final_layer.bias": (17,)}


def hrnet(width: int = 32) -> dict[str, tuple[int, ...]]:
    """Return the shapes of pose_hrnet_w32 of leoxiaobin/deep-high-resolution-net.pytorch."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "conv2.weight": (64, 64, 3, 3)}
    shapes |= norm("bn1", 64) | norm("bn2", 64)
    for block in range(4):
        shapes |= bottleneck(f"layer1.{block}", 64 if block == 0 else 256, 64)
    shapes |= conv_norm("layer1.0.downsample", 64, 256, 1)
    widths = [width * 2**n for n in range(4)]
    shapes |= conv_norm("transition1.0", 256, widths[0], 3) | conv_norm("transition1.1.0", 256, widths[1], 3)
    shapes |= conv_norm("transition2.2.0", widths[1], widths[2], 3)
    shapes |= conv_norm("transition3.3.0", widths[2], widths[3], 3)
    for stage, (modules, branches) in {2: (1, 2), 3: (4, 3), 4: (3, 4)}.items():
        for module in range(modules):
            name = f"stage{stage}.{module}"
            for branch in range(branches):
                for block in range(4):
                    shapes |= basic(f"{name}.branches.{branch}.{block}", widths[branch])
            outputs = 1 if stage == 4 and module == modules - 1 else branches  # the last one has one output
            for i in range(outputs):
                for j in range(branches):
                    fuse = f"{name}.fuse_layers.{i}.{j}"
                    if j > i:
                        shapes |= conv_norm(fuse, widths[j], widths[i], 1)
                    for k in range(i - j):
                        last = k == i - j - 1
                        shapes |= conv_norm(f"{fuse}.{k}", widths[j], widths[i] if last else widths[j], 3)
    return shapes | {"final_layer.weight": (17, width, 1, 1), "final_layer.bias": (17,)}


def random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return random weights that are views of the same numbers, each at its own place, so that files are small."""
    numbers = 0.05 * torch.randn(2**17)
    state = {}
    for place, (name, shape) in enumerate(shapes.items()):
        strides = [1] * len(shape)  # of a row; the next row is shifted by one
        for axis in range(len(shape) - 2, 0, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        variance = "running_var" in name
        state[name] = torch.rand(shape) + 0.5 if variance else numbers.as_strided(shape, strides, 37 * place)
    return state


def mmpose(state: dict[str, Tensor], head: str) -> dict[str, dict[str, Tensor]]:
    named = {
        (f"{head}." if name.startswith(("deconv", "final")) else "backbone.") + name: value
        for name, value in state.items()
    }
    return {"state_dict": named}


def test_simple_baseline_is_read_from_both_publishers(tmp_path: Path):
    state = random(simple_baseline())
    state["conv1.weight"][0, 0, 0, 0] = 7.0
    contents = {
        "pose_resnet_50_256x192.pth": state,
        "res50_coco_256x192-ec54d7f3.pth": mmpose(state, "keypoint_head"),
        "td-hm_res50_256x192.pth": mmpose(state, "head"),
    }
    image = torch.randn(1, 3, 128, 128)
    maps = []
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
        network, backbone, widths = read_topdown(tmp_path / name)
        assert (backbone, widths, network.image_size) == ("resnet50", (256, 256, 256), 256)
        assert float(network.network.backbone.conv1.weight.detach()[0, 0, 0, 0]) == 7
        torch.testing.assert_close(network.final.weight.detach(), state["final_layer.weight"])
        with torch.inference_mode():
            maps.append(network(image))
    assert maps[0].shape == (1, 17, 32, 32)
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=0, atol=0)
    # Pixels outside the middle three quarters are not read, and no keypoint is found there.
    changed = image.clone()
    changed[..., :16] = changed[..., -16:] = 5.0
    with torch.inference_mode():
        torch.testing.assert_close(network(changed), maps[2], rtol=0, atol=0)
    bias = state["final_layer.bias"].view(17, 1, 1)
    torch.testing.assert_close(maps[0][0, :, :, :4], bias.expand(17, 32, 4))


@pytest.mark.slow
def test_hrnet_is_read_predicts_and_is_saved(tmp_path: Path):
    path = tmp_path / "pose_hrnet_w32_384x288.pth"
    torch.save(random(hrnet()), path)
    model = load(path, device="cpu")
    assert (model.info.backbone, model.info.image_size, model.skeleton.name) == ("hrnet_w32", 384, "coco17")
    assert model.predicts_bodies
    assert not model.needs_upright_crops
    image = np.zeros((100, 200, 3), np.uint8)
    # A wide box fits into the middle three quarters of the square, a high one fills its height.
    wide, high = model.predict([image, image], np.array([[20.0, 30, 90, 40], [20, 10, 30, 80]]))
    np.testing.assert_allclose(wide.region_px, [5, -10, 120, 120], atol=1e-3)
    np.testing.assert_allclose(high.region_px, [-5, 10, 80, 80], atol=1e-3)
    folder = save_model_folder(tmp_path / "model", model.network, model.info)
    opened, info = read_model_folder(folder)
    assert info == model.info
    crop = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(opened(crop), model.network(crop), rtol=0, atol=0)


def test_cells_lie_at_published_positions():
    """Microsoft's targets for a point at pixel 4u have their peak in cell u."""
    truth = torch.tensor([[[4.0 * 20, 4.0 * 31]] * 17])
    heatmaps = encode(truth + 1.5, (256, 256))  # a Gaussian in the middle of cell (20, 31)
    network = TopDown(PoseNetwork(17, "resnet10t", None, (8, 8, 8)), COCO17, 256)
    points, _ = network.decode(heatmaps)
    torch.testing.assert_close(points, truth, rtol=0, atol=1e-3)


def test_other_files_are_rejected_in_one_line(tmp_path: Path):
    shapes = simple_baseline()
    other = {"conv.weight": torch.zeros(3, 3)}
    no_layer4 = random({k: v for k, v in shapes.items() if "layer4" not in k})
    cut = random({k: v for k, v in shapes.items() if k != "layer2.1.conv2.weight"})
    body16 = random({k: (16, *v[1:]) if k.startswith("final") else v for k, v in shapes.items()})
    for name, content, message in (
        ("other", other, "not a Simple Baseline or HRNet"),
        ("no_layer4", no_layer4, "not a Simple Baseline or HRNet"),
        ("cut", cut, r"does not fit a resnet50: .*layer2\.1\.conv2"),
        ("body16", body16, "has 16 keypoints"),
        ("square_256x256", cut, "expected 256x192 or 384x288"),
    ):
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=message):
            read_topdown(tmp_path / f"{name}.pth")
