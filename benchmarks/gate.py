"""Measure the cost of the gate: pull-back, gate and weighting compared with a mean-teacher step, and whole steps.

    python benchmarks/gate.py                                   # CPU: ResNet-101, 256 px, batch 8, a minute a step
    python benchmarks/gate.py --device cuda --batch 32 --rounds 30 [--amp]
    python benchmarks/gate.py --backbone resnet18 --size 96     # a quick check

The steps are built from the library's functions: a mean teacher with AdamW, and HamiPose with Hamiltonian. Both
networks start as copies, get the same batches, and their rounds alternate. The gate is timed inside HamiPose's steps,
the optimizers inside both. The script prints medians. On a shared CPU, use `OMP_NUM_THREADS=1` and `--cpu-time`, which
do not count waiting.
"""

import argparse
import copy
import statistics
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from records import append_record

from hamipose.gating import KeypointGate, ScalarMetric, confidence, pull_back
from hamipose.geometry.affine import compose, invert
from hamipose.heatmaps import encode, warp_heatmaps
from hamipose.losses import consistency, heatmap_mse
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.models.teacher import Teacher
from hamipose.optim import Hamiltonian
from hamipose.skeletons import BODY16

RESULT = Path(__file__).parent / "results" / "gate.json"


class Clock:
    """Timer of named parts of a step, which synchronizes the device before and after."""

    def __init__(self, device: torch.device, cpu_time: bool) -> None:
        self.device = device
        self.now = time.process_time if cpu_time else time.perf_counter
        self.parts: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, part: str):
        """Time a part of a step."""
        self._wait()
        start = self.now()
        yield
        self._wait()
        self.parts.setdefault(part, []).append(self.now() - start)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Batch:
    """Random images of both domains; their content does not affect the time."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        shape = (options.batch, 3, options.size, options.size)
        self.source, self.student, self.teacher = (
            torch.randint(0, 256, shape, dtype=torch.uint8, device=device) for _ in range(3)
        )
        self.keypoints_px = torch.rand(options.batch, len(BODY16), 2, device=device) * options.size
        self.matrices = torch.eye(2, 3, device=device).expand(2, options.batch, 2, 3) + 0.01
        self.mirrored = torch.arange(options.batch, device=device) % 2 == 0


class Step:
    """A training step of a mean teacher, or of HamiPose if there is a gate."""

    def __init__(self, network, optimizer, options: argparse.Namespace, device: torch.device, gate=None) -> None:
        self.network, self.optimizer, self.gate = network, optimizer, gate
        self.teacher = Teacher(network)
        self.metric = ScalarMetric(len(BODY16)).to(device)
        self.clock = Clock(device, options.cpu_time)
        self.size = (options.size, options.size)
        self.precision = torch.autocast(device.type, torch.bfloat16) if options.amp else nullcontext()
        self.name = "hamipose" if gate else "mean teacher"

    def __call__(self, batch: Batch) -> None:
        """Time a whole step."""
        with self.clock(self.name):
            self.step(batch)

    def step(self, batch: Batch) -> None:
        """Run forward and backward pass, optimizer step and teacher update."""
        self.optimizer.zero_grad()
        with self.precision:
            features = [self.network.features(normalize(images)) for images in (batch.source, batch.student)]
            heatmaps = [self.network.final(f).float() for f in features]
            pseudo_labels = self.teacher.pseudo_label(normalize(batch.teacher))
        warped, known = warp_heatmaps(
            pseudo_labels, compose(batch.matrices[0], invert(batch.matrices[1])), batch.mirrored, BODY16.mirror
        )
        source = heatmap_mse(heatmaps[0], encode(batch.keypoints_px, self.size))
        target = consistency(heatmaps[1], warped, known)
        if self.gate is None:
            loss = source.sum() + target.sum()
        else:
            with self.clock("pull-back, gate, weighting"):
                pulled = [
                    pull_back(torch.autograd.grad(losses.sum(), maps, retain_graph=True)[0], f.detach())
                    for losses, maps, f in zip((source, target), heatmaps, features, strict=True)
                ]
                gate = self.gate(*pulled, confidence(pseudo_labels), progress=0.5, target_weight=1.0)
                loss = (gate.weight * source).sum() + target.sum()
                before = self.rows()
        loss.backward()
        with self.clock(f"optimizer of {self.name}"):
            self.optimizer.step()
        if self.gate is not None:
            with self.clock("metric"):
                self.metric.update(self.rows() - before)
        self.teacher.update(self.network)

    @torch.no_grad()
    def rows(self) -> torch.Tensor:
        """Return the parameters of the last layer, a row per keypoint."""
        return torch.cat([self.network.final.weight.flatten(1), self.network.final.bias[:, None]], 1)


def main() -> None:
    """Measure, print a table, and append to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast and channels last")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time instead of wall time")
    options = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(options.device)
    network = PoseNetwork(len(BODY16), options.backbone).to(device)
    if options.amp:
        network = network.to(memory_format=torch.channels_last)
    twin = copy.deepcopy(network)
    batch = Batch(options, device)
    steps = [
        Step(network, torch.optim.AdamW(network.parameters(), lr=1e-6, foreach=True), options, device),
        Step(twin, Hamiltonian(twin.parameters(), lr=1e-6, friction=0.1), options, device, KeypointGate()),
    ]
    for round_ in range(options.rounds + 1):
        for step in steps if round_ % 2 else steps[::-1]:
            step(batch)
        if round_ == 0:  # warm-up
            for step in steps:
                step.clock.parts.clear()

    medians = {part: statistics.median(times) for step in steps for part, times in step.clock.parts.items()}
    whole = medians["mean teacher"]
    print(f"{options.backbone}, {options.size} px, batch {options.batch} + {options.batch}, {device}")
    for part, median in medians.items():
        print(f"{part:30} {median * 1e3:12.2f} ms  {100 * median / whole:8.3f} % of a mean-teacher step")
    command = f"python benchmarks/gate.py --backbone {options.backbone} --size {options.size} --batch {options.batch}"
    words = (" --amp" if options.amp else "") + (" --cpu-time" if options.cpu_time else "")
    append_record(
        RESULT,
        f"{command} --device {device} --rounds {options.rounds}{words}",
        device,
        median_ms={part: round(median * 1e3, 3) for part, median in medians.items()},
        gate_share=round(medians["pull-back, gate, weighting"] / whole, 6),
        step_ratio=round(medians["hamipose"] / whole, 4),
    )


if __name__ == "__main__":
    main()
