"""Compare the speed of a network in channels-last format, as in `PoseNetwork`, and in channels-first format.

    python benchmarks/memory_format.py [--backbone resnet18] [--size 128] [--batch 32] [--deconv 256,256,256]
    python benchmarks/memory_format.py --backbone resnet50 --size 224 --batch 8 --deconv none  # as meshtto's

Both networks get the same images and start from the same weights. Rounds alternate; the script prints medians.
"""

import argparse
import copy
import statistics
import time
from pathlib import Path

import timm
import torch
from records import append_record
from torch import nn

from hamipose.models.network import PoseNetwork
from hamipose.skeletons import BODY16

RESULT = Path(__file__).parent / "results" / "memory_format.json"


class ChannelsFirst(nn.Module):
    """The same layers without channels-last format."""

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the heatmaps of images."""
        return self.network.final(self.network.deconv(self.network.backbone(images)[-1]))


def pose_networks(backbone: str, deconv: str) -> dict[str, nn.Module]:
    """Return a pose network in both formats."""
    last = PoseNetwork(len(BODY16), backbone, deconv_channels=tuple(int(width) for width in deconv.split(",")))
    return {"channels first": ChannelsFirst(copy.deepcopy(last)), "channels last": last}


def pooled(backbone: str) -> dict[str, nn.Module]:
    """Return a backbone with pooling in both formats."""
    first = timm.create_model(backbone, num_classes=0)
    return {"channels first": first, "channels last": copy.deepcopy(first).to(memory_format=torch.channels_last)}


def main() -> None:
    """Check the results, measure, print a table, and append to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--deconv", default="256,256,256")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()

    torch.manual_seed(0)
    networks = pose_networks(options.backbone, options.deconv) if options.deconv != "none" else pooled(options.backbone)
    images = torch.randn(options.batch, 3, options.size, options.size)
    first, same = (network.eval()(images) for network in networks.values())
    assert (first - same).abs().max() <= 1e-4 * first.abs().max(), "the results differ"
    if first.ndim == 4:
        assert first.is_contiguous()
        assert same.is_contiguous(memory_format=torch.channels_last)

    times: dict[tuple[str, str], list[float]] = {(n, part): [] for part in ("train", "predict") for n in networks}
    for round_ in range(options.rounds + 2):
        for name, network in networks.items():
            network.train().zero_grad()
            start = time.perf_counter()
            network(images).square().mean().backward()
            trained = time.perf_counter()
            with torch.no_grad():
                network.eval()(images)
            if round_ >= 2:  # warm-up
                times[name, "train"].append(trained - start)
                times[name, "predict"].append(time.perf_counter() - trained)

    medians = {key: statistics.median(values) for key, values in times.items()}
    print(f"{options.backbone} ({options.deconv}), {options.size} px, batch {options.batch}")
    ratios = {}
    for part, words in (("train", "forward and backward"), ("predict", "forward, eval")):
        before, after = (medians[name, part] for name in networks)
        ratios[part] = round(before / after, 3)
        print(f"{words:22} {before * 1e3:9.1f} ms → {after * 1e3:9.1f} ms, speedup {before / after:.2f}")
    append_record(
        RESULT,
        f"python benchmarks/memory_format.py --backbone {options.backbone} --size {options.size} "
        f"--batch {options.batch} --deconv {options.deconv} --rounds {options.rounds}",
        images.device,
        median_ms={f"{name}, {part}": round(median * 1e3, 2) for (name, part), median in medians.items()},
        faster=ratios,
    )


if __name__ == "__main__":
    main()
