"""Measure one optimizer step on ResNet-101's parameters: Hamiltonian and AdamW alternately, best of many.

    python benchmarks/optimizer_step.py [--backbone resnet101] [--threads N] [--device cpu] [--rounds 15]

Writes results/optimizer/step_<device>_<threads>.json. `ratio` is relative to AdamW(foreach=True).
"""

import argparse
import json
import time
from pathlib import Path

import timm
import torch

from hamipose.optim import Hamiltonian

RELATIVISTIC = {
    "friction": 0.1,
    "kinetic": "relativistic",
    "kicks": "leapfrog",
    "initial_mass": 0.0,
    "mass_decay": 0.9,
    "eps": 1e-16,
}


def main() -> None:
    """Measure the steps and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet101")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    parameters = list(timm.create_model(options.backbone, num_classes=0).to(device).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * 1e-3
    optimizers = {
        "AdamW(foreach)": torch.optim.AdamW(parameters, foreach=True),
        "SGD(momentum, foreach)": torch.optim.SGD(parameters, momentum=0.9, foreach=True),
        "Hamiltonian, printed": Hamiltonian(parameters, friction=0.0),
        "Hamiltonian, relativistic, tensor mass": Hamiltonian(parameters, mass="tensor", **RELATIVISTIC),
        "Hamiltonian, relativistic, diagonal mass": Hamiltonian(parameters, mass="diagonal", **RELATIVISTIC),
        "Hamiltonian, printed, diagonal mass": Hamiltonian(parameters, friction=0.0, mass="diagonal"),
    }
    if device.type == "cuda":
        optimizers["AdamW(fused)"] = torch.optim.AdamW(parameters, fused=True)
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for _ in range(options.rounds):
        for name, optimizer in optimizers.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    best = {name: min(values[1:]) for name, values in times.items()}
    rows = {}
    for name, seconds in best.items():
        median = sorted(times[name][1:])[len(times[name]) // 2]
        ratio = seconds / best["AdamW(foreach)"]
        rows[name] = {"best_ms": round(seconds * 1e3, 1), "median_ms": round(median * 1e3, 1), "ratio": round(ratio, 2)}
        print(f"{name:42s} {seconds * 1e3:8.1f} ms   median {median * 1e3:8.1f} ms   {ratio:5.2f} x")
    result = {
        "command": f"python benchmarks/optimizer_step.py --backbone {options.backbone} --threads {options.threads} "
        f"--device {options.device} --rounds {options.rounds}",
        "parameters": sum(parameter.numel() for parameter in parameters),
        "torch": torch.__version__,
        "optimizers": rows,
    }
    out = Path(__file__).parent / "results" / "optimizer" / f"step_{options.device}_{options.threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
