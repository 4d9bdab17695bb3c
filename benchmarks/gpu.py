"""Measure on a GPU what only a GPU can show, in less than eight minutes: speed at the paper's size.

    python benchmarks/gpu.py [--uniframe CHECKOUT]
    python benchmarks/gpu.py --rehearse      # the same commands with tiny sizes on the CPU, to check that they work

ResNet-101 at 256 px, batch 32: a step of every method relative to the mean teacher, also in bfloat16 and compiled;
UniFrame's released loop (with CHECKOUT, a working tree of VisionLearningGroup/UDA_PoseEstimation); the optimizers; the
throughput of eight loading processes; rendering; and test-time adaptation of 32 people at once. Each part is a
benchmark of this folder with a time limit of its own, so a part that hangs or fails costs no other part its result. The
page of results names each command; a part without a result says why.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hamipose.engine.run_record import describe_machine, describe_versions, revision
from hamipose.viz.tables import MarkdownPage

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "gpu"
TOTAL_S = 480.0


@dataclass(frozen=True)
class Part:
    """A benchmark.

    Attributes:
        title: what it measures.
        words: script and arguments.
        limit_s: time limit in seconds.
    """

    title: str
    words: tuple[str, ...]
    limit_s: float


def list_parts(rehearse: bool, results: Path, uniframe: Path | None) -> list[Part]:
    """Return the parts, the most important first.

    Args:
        rehearse: tiny sizes on the CPU.
        results: folder of the results.
        uniframe: working tree of UniFrame's code; None leaves its loop out.
    """
    device = ("--device", "cpu" if rehearse else "cuda")
    size = ("--size", "64", "--batch", "2") if rehearse else ("--size", "256", "--batch", "32")
    network = (*device, "--backbone", "resnet18" if rehearse else "resnet101", *size)
    steps = ("--steps", "1" if rehearse else "6", "--rounds", "1")
    few = ("--only", "MeanTeacher", "HamiPose, AdamW", "HamiPose, Hamiltonian")

    def cost(name: str, *more: str) -> tuple[str, ...]:
        return ("methods_cost.py", *network, *steps, *more, "--out", str(results / f"{name}.json"))

    every = ("--only", "MeanTeacher", "UniFrame, no style transfer") if rehearse else ()
    parts = [
        Part("A step of every method, single precision", cost("methods", *every), 150),
        Part("The same in bfloat16", cost("methods_bf16", "--amp", *few), 40),
        Part("The same compiled", cost("methods_compiled", "--compile", *few), 90),
        Part("Optimizer steps", ("optimizer_step.py", *device, "--backbone", network[3], "--threads", "1"), 20),
        Part("Eight loading processes", ("loading_processes.py", "--workers", "8", *size, *device), 40),
        Part("Adaptation at test time", ("meshtto_adaptation.py", "--batch-size", "8", "--rounds", "2"), 80),
        Part("Rendering", ("render.py", "--count", "16", *(() if rehearse else ("--device", "cuda:0"))), 60),
    ]
    if uniframe is not None:
        backbone = ("--backbone", "resnet50" if rehearse else "resnet101")
        words = ("uniframe_loop.py", "--checkout", str(uniframe), *device, *backbone, *size)
        parts.insert(1, Part("UniFrame's released loop", (*words, "--out", str(results / "uniframe.json")), 45))
    return parts


def run_part(part: Part, limit_s: float) -> tuple[str, str]:
    """Run a part; return its output and, if it has no result, the reason."""
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / part.words[0]), *part.words[1:]],
            capture_output=True,
            text=True,
            timeout=limit_s,
            cwd=HERE.parent,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return output, f"stopped after {limit_s:.0f} s"
    failed = f"failed with status {done.returncode}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    return done.stdout, failed if done.returncode else ""


def main() -> None:
    """Run all parts and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uniframe", type=Path, help="working tree of VisionLearningGroup/UDA_PoseEstimation")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on the CPU; results go to runs/gpu")
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("no GPU was found: torch.cuda.is_available() is False; --rehearse checks the commands on the CPU")
    results = HERE.parent / "runs" / "gpu" if options.rehearse else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    page = MarkdownPage(results / "README.md", "Speed on a GPU")
    machine = describe_machine() if options.rehearse else torch.cuda.get_device_name()
    page.add_text(f"{machine}. {describe_versions()}. Revision {revision()}.")
    began = time.monotonic()
    for part in list_parts(options.rehearse, results, options.uniframe):
        start = time.monotonic()
        left = TOTAL_S - (start - began)
        if options.rehearse:
            output, problem = run_part(part, 10 * part.limit_s)
        else:
            output, problem = run_part(part, min(part.limit_s, left)) if left > 5 else ("", "no time was left")
        print(f"{part.title}: {problem or 'done'}, {time.monotonic() - start:.0f} s", flush=True)
        page.add_heading(part.title)
        page.add_text(f"`python benchmarks/{' '.join(part.words)}`, {time.monotonic() - start:.0f} s")
        if problem:
            page.add_text(f"No complete result: {problem}.")
        page.add_code(output.strip().splitlines() or ["no output"])
        page.write()
    print(f"{page.path}: {time.monotonic() - began:.0f} s in total")


if __name__ == "__main__":
    main()
