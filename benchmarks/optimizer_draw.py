"""Draw docs/optimizer.png and write results/optimizer/summary.csv from the runs of optimizer_study.py.

python benchmarks/optimizer_draw.py
"""

import csv
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "optimizer"
COLUMNS = ["backbone", "pretrained", "steps", "batch", "scale", "seed", "optimizer", "lr"]


def smooth(curve: list[float]) -> np.ndarray:
    """Return running means of the last ten values."""
    values = np.array(curve)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    width = np.minimum(np.arange(1, len(values) + 1), 10)
    return (sums[1:] - sums[np.arange(1, len(values) + 1) - width]) / width


def panel(axes: plt.Axes, title: str, runs: list[dict], labels: list[str]) -> None:
    """Draw the training loss against steps."""
    for run, label in zip(runs, labels, strict=True):
        axes.plot(smooth(run["curve"]), label=label, linewidth=1.2)
    axes.set_title(title, fontsize=9)
    if max(max(run["curve"]) for run in runs) > 0.1:
        axes.set_yscale("log")
    axes.set_xlabel("step", fontsize=8)
    axes.legend(fontsize=6)
    axes.tick_params(labelsize=7)


def main() -> None:
    """Write the table and draw all available runs."""
    runs = [json.loads(line) for line in (RESULTS / "runs.jsonl").read_text().splitlines()]

    def select(**wanted: object) -> list[dict]:
        return [run for run in runs if all(run[name] == value for name, value in wanted.items())]

    with (RESULTS / "summary.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "train_loss", "validation_loss", "highest_loss", "seconds"])
        for run in runs:
            losses = [f"{value:.6f}" for value in (run["train_loss"], run["validation_loss"], max(run["curve"]))]
            writer.writerow([*(run[name] for name in COLUMNS), *losses, run["seconds"]])

    short = select(backbone="resnet18", pretrained=True, steps=120, batch=16, scale=1.0)
    by_name = {run["optimizer"]: run for run in short if run["lr"] == 1e-3}
    figure, grid = plt.subplots(2, 3, figsize=(11, 6.2))
    for axes, pretrained in zip(grid[0], (True, False), strict=False):
        chosen = select(backbone="resnet18", pretrained=pretrained, steps=200, batch=16)
        chosen = [run for run in chosen if run["optimizer"] in ("adamw", "hamiltonian")]
        title = f"ResNet-18, {'ImageNet weights' if pretrained else 'from scratch'}"
        panel(axes, title, chosen, [f"{run['optimizer']} {run['lr']:g}" for run in chosen])
    chosen = select(backbone="resnet50", batch=16)
    names = [f"{run['optimizer']} {run['lr']:g} {'ImageNet' if run['pretrained'] else 'scratch'}" for run in chosen]
    panel(grid[0, 2], "ResNet-50", chosen, names)
    wanted = [name for name in by_name if name.startswith("printed") and name != "printed kicks"]
    wanted += [name for name in ("hamiltonian",) if name in by_name]
    panel(grid[1, 0], "the printed equation", [by_name[name] for name in wanted], wanted)
    skipped = (*wanted, "adamw")
    wanted = ["hamiltonian", *(name for name in by_name if name not in skipped)]
    wanted = [name for name in wanted if name in by_name]
    panel(grid[1, 1], "parts of the recommended step", [by_name[name] for name in wanted], wanted)
    chosen = [run for run in short if run["optimizer"] in ("adamw", "sgd", "hamiltonian") and run["train_loss"] < 0.02]
    panel(grid[1, 2], "SGD, AdamW, Hamiltonian", chosen, [f"{run['optimizer']} {run['lr']:g}" for run in chosen])
    grid[0, 0].set_ylabel("training loss", fontsize=8)
    grid[1, 0].set_ylabel("training loss", fontsize=8)
    figure.tight_layout()
    figure.savefig(ROOT.parent / "docs" / "optimizer.png", dpi=110)


if __name__ == "__main__":
    main()
