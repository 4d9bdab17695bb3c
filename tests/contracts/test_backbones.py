"""Every backbone that the documentation names trains, in both packages; the process is watched from outside."""

import re
from pathlib import Path

import pytest
import timm
import torch

from hamipose.models.device import memory_format
from tests.helpers.processes import run_script

ROOT = Path(__file__).parents[2]

#: With a strided 1 × 1 convolution on the three channels of the image.
PLAIN = ["fastvit_t8", "mobileone_s0", "repvgg_a0"]

SCRIPT = """
import json, sys
import torch
from hamipose.models.network import PoseNetwork
from meshtto.regressors import CLIFF

torch.set_num_threads(1)
mean = (torch.eye(3)[:, :2].flatten().repeat(24), torch.zeros(10), torch.tensor([0.9, 0.0, 0.0]))
for package, name in json.loads(sys.argv[1]):
    print(package, name, flush=True)
    if package == "hamipose":
        network = PoseNetwork(7, name, deconv_channels=(8, 8, 8))
        images, train = torch.randn(2, 3, 64, 64), lambda: network(images).square().sum().backward()
    else:
        network = CLIFF(mean, backbone=name, width=16)
        images = torch.randn(2, 3, 64, 64)
        images = images.contiguous(memory_format=torch.channels_last)  # as some loaders give them
        train = lambda: network(images, torch.randn(2, 3)).shape.square().sum().backward()
    train()
    del network
print("done", flush=True)
"""


def documented() -> list[str]:
    """Names that timm knows, on lines about backbones."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.yaml")]
    pages += [path for package in ("hamipose", "meshtto") for path in (ROOT / package).rglob("*.py")]
    lines = [line for page in pages for line in page.read_text().splitlines() if "backbone" in line.lower()]
    words = {word for line in lines for word in re.findall(r"[a-z]\w+", line)}
    return sorted(word for word in words if timm.is_model(word))


@pytest.mark.slow
def test_every_documented_backbone_trains_without_harm_to_the_process(tmp_path: Path):
    names = documented()
    assert {"resnet18", "resnet101", "hrnet_w48", "vit_tiny_patch16_224"} <= set(names)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # meshtto runs the pooled form of the same networks: one of each kind.
    wanted = [("hamipose", n) for n in [*PLAIN, *names]] + [("meshtto", n) for n in ["resnet18", *PLAIN]]
    done = run_script(script, wanted)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1]}: {done.stderr}"
    assert done.stdout.splitlines()[-1] == "done"


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", *PLAIN])
def test_only_networks_with_such_a_layer_are_laid_out_plainly(name: str):
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
    assert (memory_format(network) == torch.contiguous_format) == (name in PLAIN)
