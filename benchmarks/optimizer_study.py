"""Train a pose network with `hamipose.optim.Hamiltonian`, AdamW and SGD: the runs of docs/optimizer.md.

    python -m hamipose data synthesize --style plain --count 2000 --size 96 --seed 0 --out PEOPLE
    python benchmarks/optimizer_study.py --people PEOPLE --weights WEIGHTS                  # all sets of runs
    python benchmarks/optimizer_study.py --people PEOPLE --weights WEIGHTS --only scales seeds
    python benchmarks/optimizer_draw.py                                                    # curves and table

PEOPLE: a folder of synthetic people in the plain style, the labeled source. The first four fifths are used for
training, the rest for the validation loss. WEIGHTS: a folder with resnet18_imagenet.safetensors and
resnet50_imagenet.safetensors. Runs that are already in the results file are not repeated. All runs of a cell use the
same images in the same order and the same start; the learning rate warms up over the first tenth and then follows a
cosine to 0.
"""

import argparse
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from hamipose.heatmaps import encode
from hamipose.models.network import PoseNetwork
from hamipose.optim import Hamiltonian

RESULTS = Path(__file__).parent / "results" / "optimizer"
SIZE = 64
RECOMMENDED = {
    "friction": 0.1,
    "mass": "tensor",
    "kinetic": "relativistic",
    "kicks": "leapfrog",
    "initial_mass": 0.0,
    "mass_decay": 0.9,
    "eps": 1e-16,
}
# name: (class, options without lr)
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, object]]] = {
    "adamw": (torch.optim.AdamW, {"foreach": True, "weight_decay": 0.0}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "foreach": True}),
    "printed": (Hamiltonian, {"friction": 0.0}),
    "printed+friction": (Hamiltonian, {"friction": 0.1}),
    "printed, small mass": (Hamiltonian, {"friction": 0.0, "initial_mass": 1e-6}),
    "printed, small mass+friction": (Hamiltonian, {"friction": 0.1, "initial_mass": 1e-6}),
    "printed, small tensor mass+friction": (Hamiltonian, {"friction": 0.1, "mass": "tensor", "initial_mass": 1e-6}),
    "printed, small diagonal mass+friction": (Hamiltonian, {"friction": 0.1, "mass": "diagonal", "initial_mass": 1e-6}),
    "hamiltonian": (Hamiltonian, RECOMMENDED),
    "mass_decay 0.99": (Hamiltonian, RECOMMENDED | {"mass_decay": 0.99}),
    "friction 0.2": (Hamiltonian, RECOMMENDED | {"friction": 0.2}),
    "friction 0.05": (Hamiltonian, RECOMMENDED | {"friction": 0.05}),
    "one mass": (Hamiltonian, RECOMMENDED | {"mass": "group"}),
    "diagonal mass": (Hamiltonian, RECOMMENDED | {"mass": "diagonal", "mass_decay": 0.99}),
    "printed kicks": (Hamiltonian, RECOMMENDED | {"kicks": "printed"}),
    "no friction": (Hamiltonian, RECOMMENDED | {"friction": 0.0}),
}
DEFAULT = {"backbone": "resnet18", "pretrained": True, "steps": 200, "batch": 16, "scale": 1.0, "seed": 0}


def list_runs() -> dict[str, list[dict[str, object]]]:
    """Return the runs by set; each consists of a cell (network and length) and an optimizer with its learning rate."""
    pairs = [("adamw", 1e-3), ("hamiltonian", 1e-3)]

    def runs(cells: list[dict[str, object]], optimizers: list[tuple[str, float]]) -> list[dict[str, object]]:
        return [DEFAULT | cell | {"optimizer": name, "lr": lr} for cell in cells for name, lr in optimizers]

    short, fifty = {"steps": 120}, {"backbone": "resnet50", "steps": 100}
    starts = [{"pretrained": True}, {"pretrained": False}]
    printed = [name for name in OPTIMIZERS if name.startswith("printed") and name != "printed kicks"]
    variants = ["mass_decay 0.99", "diagonal mass", "one mass", "printed kicks", "friction 0.2", "friction 0.05"]
    batches = [{"batch": 4, "pretrained": False}, {"batch": 48, "steps": 60}]
    cells = [{}, short, {"pretrained": False}, *batches, *(fifty | start for start in starts)]
    tuned = [("hamiltonian", 1e-3), ("adamw", 1e-3), ("adamw", 3e-3), ("adamw", 3e-4)]
    return {
        "main": runs(starts, pairs),
        "scales": runs([short | {"scale": s} for s in (1.0, 1e-3, 1e3)], pairs[1:]),
        "resnet50": runs([fifty | start for start in starts], pairs),
        "printed": runs([short], [(name, 1e-3) for name in printed]),
        "seeds": runs([{"steps": 40, "seed": s, "pretrained": s % 2 == 0} for s in range(20)], pairs[1:]),
        "long": runs([{"steps": 600}], pairs),
        "steps": runs([short | start for start in starts], [(n, lr) for lr in (3e-3, 3e-4) for n, _ in pairs]),
        "sgd": runs([short], [("adamw", 1e-3), ("sgd", 0.3), ("sgd", 3.0), ("sgd", 30.0)]),
        "batches": runs(batches, pairs),
        "variants": runs([short], [(name, 1e-3) for name in [*variants, "no friction"]]),
        "friction": runs(starts, [("friction 0.2", 1e-3), ("adamw", 3e-3), ("friction 0.2", 2e-3)]),
        "cells": [
            *runs(cells, tuned),
            *runs([{}, {"steps": 600}], [("adamw", 1e-2)]),
            *runs([{"steps": 600}], tuned[:3]),
        ],
        "second seed": runs([cell | {"seed": 1} for cell in cells], tuned[:3]),
    }


def people(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normalized images at 64 px and their heatmaps at 16 × 16 (peak 1, sigma 1 cell)."""
    data = json.loads((folder / "annotations.json").read_text())
    keypoints = {a["image_id"]: np.array(a["keypoints"], np.float32).reshape(-1, 3) for a in data["annotations"]}
    images, points = [], []
    for record in data["images"]:
        image = cv2.imread(str(folder / record["file_name"]))[..., ::-1]
        images.append(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        points.append((keypoints[record["id"]][:, :2] + 0.5) * SIZE / record["width"] - 0.5)
    batch = PoseNetwork.normalize(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    return batch, encode(torch.from_numpy(np.stack(points)).float(), (SIZE, SIZE), sigma=1.0)


def train(run: dict, images: torch.Tensor, heatmaps: torch.Tensor, weights: Path | None) -> dict:
    """Return a run with the loss of every step, its mean over the last fifth, and the validation loss."""
    torch.manual_seed(run["seed"])
    file = str(weights / f"{run['backbone']}_imagenet.safetensors") if run["pretrained"] else None
    network = PoseNetwork(heatmaps.shape[1], run["backbone"], file, (128, 128, 128))
    network.to(memory_format=torch.channels_last)
    make, options = OPTIMIZERS[run["optimizer"]]
    optimizer = make(network.parameters(), lr=run["lr"], **options)
    generator = torch.Generator().manual_seed(run["seed"])
    train_count, steps, losses, start = len(images) * 4 // 5, run["steps"], [], time.perf_counter()
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < run["batch"]:
            order = torch.randperm(train_count, generator=generator)
        batch, order = order[: run["batch"]], order[run["batch"] :]
        optimizer.param_groups[0]["lr"] = run["lr"] * schedule(step, steps)
        inputs = images[batch].contiguous(memory_format=torch.channels_last)
        loss = nn.functional.mse_loss(network(inputs), heatmaps[batch])
        optimizer.zero_grad()
        (loss * run["scale"]).backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            break
    network.eval()
    with torch.no_grad():
        parts = [
            nn.functional.mse_loss(network(images[i : i + 50]), heatmaps[i : i + 50]).item()
            for i in range(train_count, len(images), 50)
        ]
    done = len(losses) == steps
    return run | {
        "train_loss": float(np.mean(losses[-max(1, steps // 5) :])) if done else math.inf,
        "validation_loss": float(np.mean(parts)) if done else math.inf,
        "seconds": round(time.perf_counter() - start, 1),
        "curve": [float(f"{value:.4g}") for value in losses],
    }


def schedule(step: int, steps: int) -> float:
    """Return the factor of the learning rate: linear warm-up over a tenth, then cosine to 0."""
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def key(run: dict) -> tuple:
    """Return the options that identify a run."""
    return tuple(run[name] for name in (*DEFAULT, "optimizer", "lr"))


def main() -> None:
    """Run the missing runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, help="folder of built-in people, plain style")
    parser.add_argument("--weights", type=Path, help="folder of ResNet weights")
    parser.add_argument("--only", nargs="*", help=f"sets of runs, of {', '.join(list_runs())}")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of runs.jsonl")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, heatmaps = people(options.people)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "runs.jsonl"
    done = {key(json.loads(line)) for line in file.read_text().splitlines()} if file.exists() else set()
    for name, runs in list_runs().items():
        for run in runs if not options.only or name in options.only else []:
            if key(run) in done:
                continue
            done.add(key(run))
            result = train(run, images, heatmaps, options.weights)
            with file.open("a") as lines:
                lines.write(json.dumps(result) + "\n")
            print({k: v for k, v in result.items() if k != "curve"}, flush=True)


if __name__ == "__main__":
    main()
