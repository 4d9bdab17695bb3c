"""Adapt from synthetic people to Leeds Sports Pose: every method with the same start and budget, on the strict split.

    python benchmarks/synthetic_to_lsp.py --data DIR --seeds 0 1 --out runs/synthetic_to_lsp

DIR contains lsp/, lspet/, backgrounds/ and weights/ as distributed. The command reuses finished runs, so it can be
repeated after an interruption. It writes table.md, scores.csv and examples.png (skeletons only) to --results, and
examples.png with the photos, which must not be redistributed, to --out.

No target label selects anything: "last" is the last epoch, "source-selected" the epoch with the best teacher PCK on
held-out synthetic people.
"""

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from hamipose.data import LeedsSports
from hamipose.engine.metrics_file import read_metrics
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view, warp_crop
from hamipose.inference.loading import load
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs/hamipose"
#: name → config, based on synthetic_to_lsp.yaml
METHODS = {
    "source only": "source_only.yaml",
    "mean teacher": "mean_teacher.yaml",
    "HamiPose, gate only (AdamW)": "gate_only.yaml",
    "HamiPose, literal optimizer": "literal_optimizer.yaml",
    "HamiPose": "default.yaml",
}
GROUPS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def slug(name: str) -> str:
    """Return a folder name."""
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()


def data_config(arguments: argparse.Namespace) -> Path:
    """Write a config with the data folders of this machine; return its path."""
    data, people = arguments.data.resolve(), arguments.people.resolve()

    def people_set(name: str, count: int, seed: int) -> dict:
        options = {"root": str(people / name), "style": "photo", "count": count, "size": 128, "seed": seed}
        options |= {"backgrounds": str(data / "backgrounds"), "cache": True}
        return {"class_path": "hamipose.data.SyntheticPeople", "init_args": options}

    def leeds(name: str, folder: str, split: str) -> dict:
        options = {"root": str(data / folder), "split": split, "cache": True}
        return {"class_path": f"hamipose.data.{name}", "init_args": options}

    targets = [leeds("LeedsSports", "lsp", "train"), leeds("LeedsSportsExtended", "lspet", "train")]
    content = {
        "source": people_set("photo-6000", 6000, 0),
        "validation": people_set("photo-validation", 300, 1),
        "target": [{"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": target}} for target in targets],
        "test": {"lsp": leeds("LeedsSports", "lsp", "test")},
    }
    path = arguments.out / "data.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"data": content}))
    return path


def fit(arguments: argparse.Namespace, name: str, config: str, seed: int, steps: int, start: Path | None) -> Path:
    """Run or resume one training in a new process, unless it is finished."""
    folder = arguments.out / f"seed{seed}" / slug(name)
    if (folder / "scores.json").exists() or arguments.no_runs:
        return folder
    data: Path = arguments.data
    epoch = arguments.steps_per_epoch
    command = [
        *(sys.executable, "-m", "hamipose", "fit", "--config", str(CONFIGS / "small_lsp" / config)),
        *("--config", str(data_config(arguments))),
        *("--seed_everything", str(seed), "--data.steps_per_epoch", str(epoch)),
        *("--trainer.max_epochs", str(steps // epoch), "--data.batch_size", str(arguments.batch_size)),
        *("--data.image_size", str(arguments.image_size)),
        *("--model.init_args.network.weights", str(data / f"weights/{arguments.backbone}_imagenet.safetensors")),
        *("--model.init_args.network.backbone", arguments.backbone),
        *("--trainer.logger.init_args.save_dir", str(folder.parent), "--trainer.logger.init_args.name", ""),
        *("--trainer.logger.init_args.version", folder.name),
    ]
    if start is not None:
        command += ["--model.init_args.training.init_from", str(start / "checkpoints/last.ckpt")]
    if (folder / "checkpoints/last.ckpt").exists():
        command += ["--ckpt_path", str(folder / "checkpoints/last.ckpt")]
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / "log.txt").open("a") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log).returncode
    if code:
        print(f"{name}, seed {seed}: failed with status {code}, see {folder / 'log.txt'}")
    with (folder / "wall.txt").open("a") as wall:
        wall.write(f"{time.monotonic() - began:.0f}\n")
    return folder


def scores(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Return (selection, network) → column → PCK in percent."""
    metrics = read_metrics(folder / "metrics.csv")
    chosen = {"last": -1, "source-selected": int(np.argmax(metrics["val/pck"][1]))}
    found = {}
    for selection, epoch in chosen.items():
        for network in ("target-statistics", "student", "teacher"):
            prefix = f"test/lsp/{network}/pck"
            if f"{prefix}@0.05" not in metrics:
                continue
            columns = {"@0.05": f"{prefix}@0.05", "@0.1": f"{prefix}@0.1"}
            columns |= {group: f"{prefix}@0.1/{group}" for group in ("head", *GROUPS)}
            found[selection, network] = {c: 100 * metrics[key][1][epoch] for c, key in columns.items()}
    return found


def training_means(folder: Path) -> dict[str, float]:
    """Return diagnostics of gate and optimizer, averaged over the run."""
    metrics = read_metrics(folder / "metrics.csv")
    keys = (
        "conflict",
        "cosine",
        "weight",
        "weight_negative",
        "openness",
        "confidence",
        "gradient_norm",
        "head_step_rms",
    )
    return {key: statistics.fmean(metrics[f"train/{key}"][1]) for key in keys if f"train/{key}" in metrics}


@torch.no_grad()
def examples(arguments: argparse.Namespace, seed: int, photos_shown: bool) -> np.ndarray:
    """Return the first twelve test photos with ground truth, source only, mean teacher and HamiPose.

    Without the photos, only skeletons are drawn, because the license of the data set forbids redistribution.
    """
    photos = LeedsSports(str(arguments.data / "lsp"), split="test")
    size, shown = arguments.image_size, 224
    networks = {}
    for name in ("source only", "mean teacher", "HamiPose"):
        networks[name] = load(arguments.out / f"seed{seed}" / slug(name) / "checkpoints/last.ckpt", device="cpu")
    tiles = []
    for i in range(12):
        sample = photos[i]
        matrix = crop_matrix(sample.box_px, shown)
        image = warp_crop(sample.image, matrix, shown) if photos_shown else np.full((shown, shown, 3), 236, np.uint8)
        truth, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, shown)
        tiles.append(draw_label(draw_keypoints(image, truth, photos.skeleton, visibility > 0), "truth"))
        crop = warp_crop(sample.image, crop_matrix(sample.box_px, size), size)
        enlarge = np.array([[shown / size, 0, (shown / size - 1) / 2], [0, shown / size, (shown / size - 1) / 2]])
        for name, network in networks.items():
            points = network.decode(network.heatmaps(torch.from_numpy(crop).permute(2, 0, 1)[None]))[0][0].numpy()
            points = apply_points(enlarge, points).astype(np.float32)
            tiles.append(draw_label(draw_keypoints(image, points, photos.skeleton, visibility > 0), name))
    return make_grid(tiles, columns=8)


def table(arguments: argparse.Namespace, runs: dict[tuple[str, int], Path]) -> str:
    """Return the Markdown table, and write the CSV file."""
    lines = [
        "| method | selection | network | seeds | PCK@0.05 | PCK@0.1 | head | " + " | ".join(GROUPS) + " |",
        "|---|---|---|---|" + "---|" * (3 + len(GROUPS)),
    ]
    rows = []
    for name in METHODS:
        by_row: dict[tuple[str, str], list[tuple[int, dict[str, float]]]] = {}
        for (method, seed), folder in runs.items():
            if method == name and (folder / "scores.json").exists():
                for row, columns in scores(folder).items():
                    by_row.setdefault(row, []).append((seed, columns))
        for (selection, network), found in by_row.items():
            cells = []
            for column in found[0][1]:
                values = [columns[column] for _, columns in found]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{statistics.fmean(values):.1f}{spread}")
            lines.append(f"| {name} | {selection} | {network} | {len(found)} | " + " | ".join(cells) + " |")
            rows += [{"method": name, "selection": selection, "network": network, "seed": s, **c} for s, c in found]
    with (arguments.results / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=Path, default=ROOT / "cache/people", help="folder of synthetic people")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/synthetic_to_lsp")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/synthetic_to_lsp")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--start-steps", type=int, default=1000, help="steps on the source, shared by all methods")
    parser.add_argument("--steps", type=int, default=600, help="further steps of each method")
    parser.add_argument("--no-runs", action="store_true", help="write the table from finished runs")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    runs = {}
    for seed in arguments.seeds:
        start = fit(arguments, "start", "start.yaml", seed, arguments.start_steps, None)
        for name in arguments.methods:
            runs[name, seed] = fit(arguments, name, METHODS[name], seed, arguments.steps, start)
            print(
                f"{name}, seed {seed}: {'done' if (runs[name, seed] / 'scores.json').exists() else 'missing'}",
                flush=True,
            )
    text = ["# Synthetic people → LSP, strict split, small scale", "", table(arguments, runs), ""]
    text += ["Diagnostics of gate and optimizer, mean over each run:", ""]
    for name in METHODS:
        for (method, seed), folder in runs.items():
            if method == name and (folder / "scores.json").exists():
                means = ", ".join(f"{k} {v:.4g}" for k, v in training_means(folder).items())
                text.append(f"- {name}, seed {seed}: {means}")
    walls = {
        f"{n}, seed {s}": (f / "wall.txt").read_text().split()
        for (n, s), f in runs.items()
        if (f / "wall.txt").exists()
    }
    text += ["", "Wall time, s: " + "; ".join(f"{n}: {' + '.join(w)}" for n, w in walls.items())]
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    command = [Path(a).name if a.startswith("/") else a for a in sys.argv]  # without folders of this machine
    text += ["", f"Command: `python {' '.join(command)}`", ""]
    text += [
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, revision {revision.strip()}",
        "",
    ]
    (arguments.results / "table.md").write_text("\n".join(text))
    import cv2

    for folder, photos_shown in ((arguments.results, False), (arguments.out, True)):
        image = examples(arguments, arguments.seeds[0], photos_shown)[..., ::-1]
        cv2.imwrite(str(folder / "examples.png"), image)
    print("\n".join(text))


if __name__ == "__main__":
    main()
