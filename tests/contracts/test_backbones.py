"""Every backbone in the documentation trains in both packages, in a process whose crash is noticed."""

import re
from pathlib import Path

import pytest
import timm
import torch

from hamipose.models.device import memory_format
from tests.helpers import train_backbones
from tests.helpers.processes import run_script

ROOT = Path(__file__).parents[2]

#: With a strided 1 × 1 convolution on the three channels of the image.
PLAIN = ["fastvit_t8", "mobileone_s0", "repvgg_a0"]


def find_documented_backbones() -> list[str]:
    """Return names of timm's models on lines about backbones."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.yaml")]
    pages += [path for package in ("hamipose", "meshtto") for path in (ROOT / package).rglob("*.py")]
    lines = [line for page in pages for line in page.read_text().splitlines() if "backbone" in line.lower()]
    words = {word for line in lines for word in re.findall(r"[a-z]\w+", line)}
    return sorted(word for word in words if timm.is_model(word))


@pytest.mark.slow
def test_documented_backbones_train():
    names = find_documented_backbones()
    assert {"resnet18", "resnet101", "hrnet_w48", "vit_tiny_patch16_224"} <= set(names)
    # meshtto uses the same networks with pooling: one of each kind is enough.
    wanted = [("hamipose", n) for n in [*PLAIN, *names]] + [("meshtto", n) for n in ["resnet18", *PLAIN]]
    done = run_script(Path(train_backbones.__file__), wanted)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1]}: {done.stderr}"
    assert done.stdout.splitlines()[-1] == "done"


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", *PLAIN])
def test_memory_format_is_contiguous_for_strided_1x1_convolutions_only(name: str):
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
    assert (memory_format(network) == torch.contiguous_format) == (name in PLAIN)
