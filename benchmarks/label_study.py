"""Compare kinds of pseudo-labels: the teacher's heatmaps, its keypoints, or its more confident keypoints.

    python benchmarks/label_study.py --dry-run
    python benchmarks/label_study.py --out runs/labels

Every run starts from the same network, which was trained on synthetic people of the plain style, and adapts to the
photo style: {heatmap, keypoint, more confident half of the keypoints} × {mean teacher, HamiPose} × λ {1, 4}. All images
are synthetic. `source` is the PCK on held-out source people, which may select a setting; `target` is the PCK on
held-out people of the photo style, which selects nothing. The table shows the teacher after the last step.

The command reuses finished runs and resumes an interrupted one. It writes a CSV file and a table to --results.
"""

import argparse
import csv
import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from hamipose.config.environment import configs_folder
from hamipose.engine.metrics_file import read_columns
from hamipose.training import train_in

RESULTS = Path(__file__).parent / "results" / "labels"
#: name → options of the adaptation
LABELS: dict[str, dict[str, Any]] = {
    "heatmap": {"labels": "heatmap"},
    "keypoint": {"labels": "keypoint"},
    "keypoint-surer-half": {"labels": "keypoint", "discard_fraction": 0.5},
    "views-surer-half": {
        "labels": "keypoint",
        "discard_fraction": 0.5,
        "label_views": {"mirror": True, "scales": [0.85], "rotations_deg": [15.0]},
    },
}
METHODS: dict[str, tuple[str, str]] = {
    "mean-teacher": ("MeanTeacher", "torch.optim.AdamW"),
    "hamipose": ("HamiPose", "hamipose.optim.Hamiltonian"),
}
COLUMNS = ("target pck@0.05", "target pck@0.1", "source pck@0.05", "source pck@0.1")


@dataclass(frozen=True)
class Run:
    """A cell of the study."""

    labels: str
    method: str
    target_weight: float
    seed: int

    @property
    def name(self) -> str:
        """Return the label."""
        return f"{self.labels}_{self.method}_{self.target_weight:g}_seed{self.seed}"


def start_folder(arguments: argparse.Namespace, seed: int) -> Path:
    """Return the folder of the start."""
    return arguments.out / f"start_{arguments.start_steps}_seed{seed}"


def run_folder(arguments: argparse.Namespace, run: Run) -> Path:
    """Return the folder of a run; its name contains the options."""
    setting = f"{arguments.batchnorm}_{arguments.views}_lr{arguments.lr:g}"
    return arguments.out / f"{setting}_{arguments.start_steps}+{arguments.steps}" / run.name


def list_runs(arguments: argparse.Namespace) -> list[Run]:
    """Return the runs of the study."""
    return [
        Run(labels, method, target_weight, seed)
        for seed in arguments.seeds
        for target_weight in arguments.target_weights
        for method in arguments.methods
        for labels in arguments.labels
    ]


def base_config(folder: Path, seed: int, steps: int, views: str) -> dict[str, Any]:
    """Return a config with the demo's data and one epoch, without checkpoint selection."""
    return {
        "inherit": str(configs_folder() / "demo.yaml"),
        "seed_everything": seed,
        "model": {"init_args": {"training": {"warmup_steps": max(1, steps // 10)}}},
        "data": {"steps_per_epoch": steps, "student_views": views},
        "trainer": {
            "max_epochs": 1,
            "log_every_n_steps": max(1, min(20, steps // 5)),
            "callbacks": [
                {"class_path": "hamipose.methods.LastCheckpoint", "init_args": {"every_n_steps": 50}},
                {"class_path": "hamipose.methods.ScoreFile"},
            ],
            "logger": {"init_args": {"save_dir": str(folder.parent), "name": "", "version": folder.name}},
        },
    }


def start_config(arguments: argparse.Namespace, folder: Path, seed: int) -> dict[str, Any]:
    """Return the config of the start."""
    config = base_config(folder, seed, arguments.start_steps, arguments.views)
    config["model"]["class_path"] = "hamipose.methods.SourceOnly"
    config["model"]["init_args"]["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    return config


def run_config(arguments: argparse.Namespace, folder: Path, run: Run, start: Path) -> dict[str, Any]:
    """Return the config of a run."""
    config = base_config(folder, run.seed, arguments.steps, arguments.views)
    method, optimizer = METHODS[run.method]
    config["model"]["class_path"] = f"hamipose.methods.{method}"
    options = config["model"]["init_args"]
    options["optimizer"] = {"class_path": optimizer, "init_args": {"lr": arguments.lr}}
    options["training"]["init_from"] = str(start)
    fixed = {"batchnorm": arguments.batchnorm, "target_weight": run.target_weight, "pretrain_steps": 0}
    options["adaptation"] = {**fixed, **LABELS[run.labels]}
    return config


def fit(folder: Path, config: dict[str, Any]) -> None:
    """Run or resume one training."""
    if (folder / "scores.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    began, used = time.monotonic(), time.process_time()
    train_in(folder, ["--config", str(path)])
    spent = {"minutes": (time.monotonic() - began) / 60, "cpu_minutes": (time.process_time() - used) / 60}
    (folder / "spent.json").write_text(json.dumps(spent))


def scores(folder: Path) -> dict[str, float]:
    """Return PCK in percent of the delivered network."""
    found = json.loads((folder / "scores.json").read_text())["scores"]
    network = "teacher" if any("/teacher/" in name for name in found) else "student"
    return {
        f"{short} pck@{threshold}": 100 * found[f"{prefix}/{network}/pck@{threshold}"]
        for short, prefix in (("target", "test/photo"), ("source", "val"))
        for threshold in ("0.05", "0.1")
    }


def row(folder: Path, run: Run) -> dict[str, Any]:
    """Return the row of a run; c, w and the conflict ratio are those of the last logged steps."""
    metrics = read_columns(folder)
    last = {name: round(metrics[f"train/{name}"][1][-1], 3) for name in ("confidence", "weight", "conflict")}
    spent = json.loads((folder / "spent.json").read_text()) if (folder / "spent.json").exists() else {}
    minutes = {"cpu_minutes": round(spent["cpu_minutes"], 2)} if spent else {}
    cell = {"labels": run.labels, "method": run.method, "target_weight": run.target_weight, "seed": run.seed}
    return cell | {name: round(value, 2) for name, value in scores(folder).items()} | last | minutes


def table(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of means over seeds, the start first."""
    command = f"python benchmarks/label_study.py --steps {arguments.steps} --start-steps {arguments.start_steps} "
    command += f"--lr {arguments.lr:g} --batchnorm {arguments.batchnorm} --views {arguments.views}"
    for name in ("seeds", "labels", "methods", "target_weights"):
        command += f" --{name.replace('_', '-')} {' '.join(f'{value}' for value in getattr(arguments, name))}"
    lines = [
        f"# Target labels ({arguments.batchnorm} statistics, {arguments.views} views)",
        "",
        f"`{command}`, torch {torch.__version__} on {platform.machine()}.",
        f"Synthetic people at 64 px, plain → photo style; {arguments.start_steps} source-only steps of AdamW 1e-3,",
        f"then {arguments.steps} steps of 16 + 16 images with a learning rate of {arguments.lr:g}. PCK in percent "
        "of the teacher after the last step.",
        f"Seeds: {len(arguments.seeds)}. Target people: 300 held-out people, which select nothing. c: confidence of",
        "the labels, w: weight of the source loss, both of the last logged steps. With one seed, differences below",
        "about 2 points are not significant.",
        "",
        "| labels | method | λ | " + " | ".join(COLUMNS) + " | c | w | CPU minutes |",
        "|---|---|---|" + "---|" * (len(COLUMNS) + 3),
    ]
    starts = [scores(start_folder(arguments, seed)) for seed in arguments.seeds]
    means = [f"{sum(s[c] for s in starts) / len(starts):.1f}" for c in COLUMNS]
    lines.append("| – | start | – | " + " | ".join(means) + " | – | – | – |")
    cells = dict.fromkeys((r["labels"], r["method"], r["target_weight"]) for r in rows)
    for cell in cells:
        own = [r for r in rows if (r["labels"], r["method"], r["target_weight"]) == cell]
        values = [f"{sum(r[c] for r in own) / len(own):.1f}" for c in COLUMNS]
        values += [f"{sum(r[c] for r in own) / len(own):.2f}" for c in ("confidence", "weight")]
        timed = [r["cpu_minutes"] for r in own if "cpu_minutes" in r]
        values.append(f"{sum(timed) / len(timed):.1f}" if timed else "–")
        lines.append(f"| {cell[0]} | {cell[1]} | {cell[2]:g} | " + " | ".join(values) + " |")
    return "\n".join([*lines, ""])


def write(arguments: argparse.Namespace, runs: list[Run]) -> None:
    """Write CSV and table."""
    folders = {run: run_folder(arguments, run) for run in runs}
    rows = [row(folder, run) for run, folder in folders.items() if (folder / "scores.json").exists()]
    if not rows:
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    stem = f"{arguments.batchnorm}_{arguments.views}"
    with (arguments.results / f"{stem}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for r in rows for name in r))
        writer.writeheader()
        writer.writerows(rows)
    (arguments.results / f"{stem}.md").write_text(table(arguments, rows))


def dry_run(arguments: argparse.Namespace, runs: list[Run]) -> None:
    """Print finished and missing runs, and the mean CPU time of finished ones."""
    folders = {run.name: run_folder(arguments, run) for run in runs}
    done = [folder for folder in folders.values() if (folder / "scores.json").exists()]
    spent = [json.loads((f / "spent.json").read_text())["cpu_minutes"] for f in done if (f / "spent.json").exists()]
    for name, folder in folders.items():
        print(f"{'done' if folder in done else 'missing':8} {name}")
    each = f"about {sum(spent) / len(spent):.1f} CPU minutes each" if spent else "time unknown"
    print(f"{len(done)} of {len(runs)} runs done; {arguments.steps} steps, {each}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/labels"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=list(LABELS)[:3])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--target-weights", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--steps", type=int, default=300, help="steps of adaptation")
    parser.add_argument("--start-steps", type=int, default=1000, help="steps on the source")
    parser.add_argument("--lr", type=float, default=3e-4, help="learning rate of adaptation")
    parser.add_argument("--batchnorm", choices=("copy", "average", "target"), default="copy")
    parser.add_argument("--views", default="photometric", help="views of the student: a preset of hamipose.data.views")
    parser.add_argument("--dry-run", action="store_true", help="show what is missing and stop")
    arguments = parser.parse_args()
    runs = list_runs(arguments)
    if arguments.dry_run:
        dry_run(arguments, runs)
        return
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    for seed in arguments.seeds:
        folder = start_folder(arguments, seed)
        fit(folder, start_config(arguments, folder, seed))
    for run in runs:
        folder = run_folder(arguments, run)
        start = start_folder(arguments, run.seed) / "checkpoints" / "last.ckpt"
        fit(folder, run_config(arguments, folder, run, start))
        print(row(folder, run), flush=True)
        write(arguments, runs)


if __name__ == "__main__":
    main()
