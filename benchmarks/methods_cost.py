"""Measure time and peak memory of a step of each method, relative to a mean teacher.

    python benchmarks/methods_cost.py                                  # CPU: ResNet-18, 128 px, batch 8
    python benchmarks/methods_cost.py --device cuda --backbone resnet101 --size 256 --batch 32

Every method trains with Lightning on random images. Each round runs all methods, each directly after a run of the mean
teacher to which it is compared; the script prints the median ratio over rounds. It measures CPU time on a CPU, which
other processes affect little, and synchronized wall time on a GPU. A step lasts from the batch on the device to the
updated teacher, without loading. Memory is the peak during the run minus the memory before it, including weights and
optimizer state (CPU: resident pages, Linux only; GPU: allocated). The passes over the whole target set that CC-SSL and
MDAM make between epochs are part of the first step, which is excluded.
"""

import argparse
import ctypes
import gc
import json
import logging
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer

import hamipose.methods
from hamipose.data import DomainAdaptation, KeypointDataset, Unlabeled
from hamipose.gating.aggregators import AggregatorGate
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.optim import Hamiltonian
from hamipose.skeletons import BODY16
from hamipose.types import Sample

RESULT = Path(__file__).parent / "results" / "methods_cost.json"
WARM_UP = 2
TWO_STYLES = {"source_views": ["hamipose", "strong"]}

#: Row → class, its arguments, arguments of the data module.
METHODS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "SourceOnly": ("SourceOnly", {}, {}),
    "MeanTeacher": ("MeanTeacher", {}, {}),
    "CCSSL": ("CCSSL", {}, {}),
    "MDAM": ("MDAM", {}, {}),
    "RegDA": ("RegDA", {}, {}),
    "UniFrame, no style transfer": ("UniFrame", {}, {}),
    "SFHPE": ("SFHPE", {}, {}),
    "CGDM": ("CGDM", {}, {}),
    "PGDA": ("PGDA", {}, {}),
    "HamiPose, AdamW": ("HamiPose", {}, {}),
    "HamiPose, Hamiltonian": ("HamiPose", {"optimizer": lambda p: Hamiltonian(p, lr=1e-5, friction=0.1)}, {}),
    "PCGrad for each keypoint": ("HamiPose", {"gate": lambda: AggregatorGate("PCGrad")}, {}),
    "UPGrad for each keypoint": ("HamiPose", {"gate": lambda: AggregatorGate("UPGrad")}, {}),
    "CAGrad for each keypoint": ("HamiPose", {"gate": lambda: AggregatorGate("CAGrad", {"c": 0.4})}, {}),
    "SAM": ("SAM", {}, {}),
    "SAGM": ("SAGM", {}, {}),
    "Fishr": ("Fishr", {"penalty_start": 0}, TWO_STYLES),
    "GGA, outside its window": ("GGA", {"start_step": 10**6, "end_step": 10**6}, TWO_STYLES),
    "GGA, in its window, one search": ("GGA", {"start_step": 0, "end_step": 10**6, "searches": 1}, TWO_STYLES),
}


class Noise(KeypointDataset):
    """Random images with random joints."""

    def __init__(self, size: int, count: int) -> None:
        self.skeleton = BODY16
        self.size, self.count = size, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        return Sample(
            image=rng.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8),
            box_px=np.array([0, 0, self.size, self.size], np.float32),
            name=str(index),
            keypoints_px=rng.uniform(0, self.size, (len(BODY16), 2)).astype(np.float32),
            visibility=np.full(len(BODY16), 2),
        )


class Clock(Callback):
    """Times of the steps after the warm-up."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda
        self.seconds: list[float] = []

    def _now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if self.cuda else time.process_time()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Start the timer."""
        self.start = self._now()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the time of a step after the warm-up."""
        if batch_idx >= WARM_UP:
            self.seconds.append(self._now() - self.start)


def resident(field: str) -> int:
    """Return bytes of a field: VmRSS is current, VmHWM the peak since :func:`reset_peak`; 0 if unavailable."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def reset_peak() -> None:
    """Release freed memory and reset the peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    if Path("/proc/self/clear_refs").exists():
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def measure(name: str, options: argparse.Namespace) -> tuple[float, int]:
    """Return the median seconds of a step, and its peak memory in bytes."""
    cuda = options.device == "cuda"
    reset_peak()
    before = torch.cuda.memory_allocated() if cuda else resident("VmRSS")
    method, arguments, data = METHODS[name]
    arguments = {"optimizer": lambda p: torch.optim.AdamW(p, lr=1e-5), **arguments}
    if "gate" in arguments:
        make: Callable[[], Any] = arguments["gate"]
        arguments["gate"] = make()
    torch.manual_seed(0)
    network = NetworkOptions(backbone=options.backbone, compile=options.compile)
    model = getattr(hamipose.methods, method)(network=network, training=TrainingOptions(warmup_steps=0), **arguments)
    clock = Clock(cuda)
    noise = Noise(options.size, 2 * options.batch)
    trainer = Trainer(
        accelerator="gpu" if cuda else "cpu", devices=1, max_epochs=1, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
        precision="bf16-mixed" if options.amp else "32-true", use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(
        model,
        DomainAdaptation(
            noise, [Unlabeled(noise)], image_size=options.size, batch_size=options.batch, num_workers=0,
            steps_per_epoch=WARM_UP + options.steps, **data,
        ),
    )  # fmt: skip
    peak = torch.cuda.max_memory_allocated() if cuda else resident("VmHWM")
    return statistics.median(clock.seconds), max(0, peak - before)


def main() -> None:
    """Measure, print a table, and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="measured steps per run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile for the network")
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; the table is written beside it as .md")
    options = parser.parse_args()
    for name in ("lightning.pytorch", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

    teacher: list[tuple[float, int]] = [measure("MeanTeacher", options)]
    found: dict[str, list[tuple[float, int, float]]] = {name: [] for name in options.only}
    for _ in range(options.rounds):
        for name in options.only:
            teacher.append(measure("MeanTeacher", options))
            seconds, size = measure(name, options)
            print(f"{name}: {1e3 * seconds:.1f} ms, mean teacher {1e3 * teacher[-1][0]:.1f} ms", flush=True)
            found[name].append((seconds, size, seconds / teacher[-1][0]))
    ours = statistics.median(size for _, size in teacher[1:])
    rows = {
        name: {
            "step_ms": round(1e3 * statistics.median(s for s, _, _ in runs), 1),
            "time_ratio": round(statistics.median(r for _, _, r in runs), 2),
            "time_ratios": [round(r, 2) for _, _, r in runs],
            "peak_mib": round(statistics.median(m for _, m, _ in runs) / 2**20),
            "memory_ratio": round(statistics.median(m for _, m, _ in runs) / ours, 2) if ours else None,
        }
        for name, runs in found.items()
    }
    command = (
        f"python benchmarks/methods_cost.py --device {options.device} --backbone {options.backbone} "
        f"--size {options.size} --batch {options.batch} --steps {options.steps} --rounds {options.rounds}"
        + (" --amp" if options.amp else "")
        + (" --compile" if options.compile else "")
    )
    machine = torch.cuda.get_device_name() if options.device == "cuda" else f"{platform.machine()}, CPU time"
    record = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "methods": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    table = ["| method | step, ms | time, × MeanTeacher | lowest–highest | peak memory, MiB | memory, × MeanTeacher |"]
    table.append("|---|---|---|---|---|---|")
    for name, row in rows.items():
        low, high = min(row["time_ratios"]), max(row["time_ratios"])
        cells = [name, row["step_ms"], row["time_ratio"], f"{low}–{high}", row["peak_mib"], row["memory_ratio"]]
        table.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    heading = f"# Cost of a step\n\n`{command}`, {record['date']}, {machine}, {record['threads']} thread(s)."
    options.out.with_suffix(".md").write_text(heading + "\n\n" + "\n".join(table) + "\n")
    print("\n".join(table))


if __name__ == "__main__":
    main()
