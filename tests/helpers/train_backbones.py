"""A script that runs one training step with each backbone; its argument is a JSON list of packages and backbones."""

import json
import sys

import torch

from hamipose.models.network import PoseNetwork
from meshtto.regressors import CLIFF

#: Mean pose, shape and camera.
MEAN = (torch.eye(3)[:, :2].flatten().repeat(24), torch.zeros(10), torch.tensor([0.9, 0.0, 0.0]))


def train_pose(backbone: str) -> None:
    network = PoseNetwork(7, backbone, deconv_channels=(8, 8, 8))
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()


def train_mesh(backbone: str) -> None:
    network = CLIFF(MEAN, backbone=backbone, width=16)
    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)  # as some loaders return them
    network(images, torch.randn(2, 3)).shape.square().sum().backward()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for package, backbone in json.loads(sys.argv[1]):
        print(package, backbone, flush=True)
        (train_pose if package == "hamipose" else train_mesh)(backbone)
    print("done", flush=True)
