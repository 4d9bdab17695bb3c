"""Regression, Meta and Dual on the built-in body at the same budget, then 0 … 14 steps of adaptation to a simulated 2D
detector, and EFT on Regression.

    OMP_NUM_THREADS=1 python benchmarks/meshtto_builtin.py --out /somewhere/runs --seeds 0 1

Runs one process at a time, skips what is finished, and writes table.md, curves.png and results.json to
benchmarks/results/meshtto_builtin (or --results). Each seed: one Regression from random weights (`start`), from which
all three methods go on for the same number of steps; Dual's auxiliary network begins as a copy, as its regressor does.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hamipose.report import curves

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs" / "meshtto"
METHODS = {"Regression": "builtin_small_regression", "Meta": "builtin_small_meta", "Dual": "builtin_small"}
ALPHA = 1e-3


def phase(steps: int, rule: str, lr: float, scope: str, pseudo: bool) -> dict[str, Any]:
    made = {"class_path": f"meshtto.adaptation.{rule}", "init_args": {"lr": lr}}
    return {"steps": steps, "rule": made, "scope": scope, "pseudo_mesh": pseudo}


#: name → (which training, phases, evidence, how many people at most)
TESTS: dict[str, tuple[str, list[dict[str, Any]], str, int]] = {
    "Regression + 14 steps": ("Regression", [phase(14, "SGD", ALPHA, "head", False)], "detector", 999),
    "Meta + 14 steps": ("Meta", [phase(14, "SGD", ALPHA, "head", False)], "detector", 999),
    "Dual + 14 steps": ("Dual", [phase(14, "SGD", ALPHA, "head", True)], "detector", 999),
    "Dual + 14 steps, 2D alone": ("Dual", [phase(14, "SGD", ALPHA, "head", False)], "detector", 999),
    "Regression + 14 steps, true 2D": ("Regression", [phase(14, "SGD", ALPHA, "head", False)], "truth", 999),
    "Dual + 14 steps, true 2D": ("Dual", [phase(14, "SGD", ALPHA, "head", True)], "truth", 999),
    "EFT (Adam 1e-4, all weights)": ("Regression", [phase(14, "Adam", 1e-4, "all", False)], "detector", 32),
    "Dual, Adam 1e-4, all weights": ("Dual", [phase(14, "Adam", 1e-4, "all", True)], "detector", 32),
}


def run(words: list[str], log: Path) -> float:
    """A verb in a process of its own; seconds."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}",
    }
    begin = time.time()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        file.write(f"python -m meshtto {shlex.join(words)}\n")
        file.flush()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "meshtto", *words],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
        )
    if done.returncode:
        raise SystemExit(f"{log} ends in: {log.read_text().strip().splitlines()[-1]}")
    return time.time() - begin


def people(count: int, limit: int, seed: int, evidence: str = "detector") -> dict[str, Any]:
    return {
        "class_path": "meshtto_facing.Facing",
        "init_args": {"count": count, "limit": limit, "seed": seed, "evidence": evidence},
    }


def own(path: Path, content: dict[str, Any]) -> str:
    """A config of our own, beside the runs; JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
    return str(path)


def quiet(out: Path, name: str, version: str) -> list[str]:
    logger = {"save_dir": out, "name": name, "version": version}
    words = [w for k, v in logger.items() for w in (f"--trainer.logger.init_args.{k}", str(v))]
    return [*words, "--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


def network(given: argparse.Namespace) -> list[str]:
    options = {"backbone": given.backbone, "weights": given.weights, "dropout": "0.2"}
    return [w for k, v in options.items() for w in (f"--model.init_args.regressor.{k}", v)]


def train(given: argparse.Namespace, name: str, seed: int, config: str, options: list[str]) -> Path:
    """The last checkpoint of a run, made if it is not there."""
    folder = given.out / name / f"seed{seed}"
    if not (folder / "scores.json").exists():
        sets = {"train": [people(3000, 9999, 0)], "validation": people(64, 999, 900), "report": None}
        data = own(given.out / "data.yaml", {"data": sets})
        words = ["fit", "--config", str(CONFIGS / f"{config}.yaml"), "--config", data, "--seed_everything", str(seed)]
        words += [*network(given), *options, *quiet(given.out, name, f"seed{seed}")]
        seconds = run(words, given.out / "logs" / f"{name}-{seed}.log")
        (folder / "seconds.json").write_text(json.dumps(seconds))
        print(f"{name} seed {seed}: {seconds:.0f} s", flush=True)
    return folder / "checkpoints" / "last.ckpt"


def test(given: argparse.Namespace, name: str, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Scores of one way of adapting, made if they are not there."""
    method, phases, evidence, limit = TESTS[name]
    stem = "".join(c if c.isalnum() else "-" for c in name.lower())
    path = given.out / "tests" / f"{stem}-{seed}.json"
    if not path.exists():
        config = {
            "model": {"init_args": {"test_time": {"phases": phases, "tolerance": None}}},
            "data": {"validation": None, "report": {"builtin": people(256, limit, 1, evidence)}},
        }
        if phases[0]["scope"] == "all":
            config["data"]["evaluation_batch_size"] = 4  # copies of all weights for each image
        words = ["test", "--config", str(CONFIGS / f"{METHODS[method]}.yaml")]
        words += ["--config", own(given.out / "tests" / f"{stem}-{seed}.yaml", config), "--ckpt_path", str(checkpoint)]
        words += [*network(given), "--seed_everything", str(seed), *quiet(given.out, "test", f"{stem}-{seed}")]
        seconds = run(words, given.out / "logs" / f"{stem}-{seed}.log")
        scores = json.loads((given.out / "test" / f"{stem}-{seed}" / "scores-test.json").read_text())
        path.write_text(json.dumps({"seconds": seconds, **scores}))
        print(f"{name} seed {seed}: {seconds:.0f} s", flush=True)
    return json.loads(path.read_text())


def table(results: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Means over seeds, in mm; the best step is named for what it is: chosen by looking."""
    lines = [
        "| | MPJPE 0 | 14 | PA-MPJPE 0 | 14 | least (at step) | PVE 0 | 14 | 2D px 0 | 14 |",
        "|---|" + "---:|" * 9,
    ]
    for name, seeds in results.items():
        mean = mean_curves(seeds)
        cells = []
        for key in ("mpjpe", "pa_mpjpe", "pve", "error_2d"):
            cells += [f"{mean[key][0]:.2f}", f"{mean[key][-1]:.2f}"]
            if key == "pa_mpjpe":
                step = min(range(len(mean[key])), key=mean[key].__getitem__)
                cells.append(f"{mean[key][step]:.2f} ({step})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def mean_curves(seeds: dict[int, dict[str, Any]]) -> dict[str, list[float]]:
    found = [seed["sets"]["report/builtin"]["against_steps"] for seed in seeds.values()]
    return {k: [sum(v) / len(found) for v in zip(*(f[k] for f in found), strict=True)] for k in found[0]}


def write(results: dict[str, dict[int, dict[str, Any]]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.md").write_text(table(results))
    slim = {
        name: {
            seed: {"seconds": round(r["seconds"]), "protocol": r["protocol"], **r["sets"]["report/builtin"]}
            for seed, r in seeds.items()
        }
        for name, seeds in results.items()
    }
    (folder / "results.json").write_text(json.dumps(slim, indent=1) + "\n")
    panels = {}
    for key, title in (
        ("mpjpe", "MPJPE, mm"),
        ("pa_mpjpe", "PA-MPJPE, mm"),
        ("error_2d", "2D error against truth, px"),
    ):
        panels[f"{title}, against steps"] = {
            name: (list(range(len(mean[key]))), mean[key])
            for name, seeds in results.items()
            for mean in [mean_curves(seeds)]
        }
    (folder / "curves.png").write_bytes(curves(panels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "meshtto_builtin")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="none", help="of the backbone: none, pretrained or a file")
    parser.add_argument("--start-steps", type=int, default=390, help="of 16 images")
    parser.add_argument("--steps", type=int, default=120, help="of each method from there")
    parser.add_argument("--only", choices=["start", "train"], help="stop after this stage of each seed")
    given = parser.parse_args()
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for seed in given.seeds:
        lr = "--model.init_args.optimizer.init_args.lr"
        steps = ["--data.steps_per_epoch", str(given.start_steps // 3), "--trainer.max_epochs", "3"]
        start = train(given, "start", seed, "builtin_small_regression", [lr, "3e-4", *steps])
        if given.only == "start":
            continue
        steps = ["--data.steps_per_epoch", str(given.steps), "--trainer.max_epochs", "1", lr, "1e-4"]
        steps += ["--model.init_args.training.init_from", str(start)]
        ends = {}
        for method, config in METHODS.items():
            inner = [] if method == "Regression" else ["--model.init_args.inner.rule.init_args.lr", str(ALPHA)]
            ends[method] = train(given, method, seed, config, [*steps, *inner])
        if given.only == "train":
            continue
        for name in TESTS:
            results.setdefault(name, {})[seed] = test(given, name, seed, ends[TESTS[name][0]])
        write(results, given.results)
    if results:
        print((given.results / "figures.md").read_text())


if __name__ == "__main__":
    main()
