"""Regression, Meta and Dual on the built-in body at the same budget, then 0 … 14 steps of adaptation to a simulated 2D
detector, and EFT on Regression.

    python -m meshtto fit --config configs/meshtto/builtin_small_regression.yaml …   (the start, see results)
    OMP_NUM_THREADS=1 python benchmarks/meshtto_builtin.py --start last.ckpt --out runs/meshtto_builtin --seeds 0 1

All methods go on from one trained Regression, for the same number of steps on the same images in the same order; Dual's
auxiliary network begins as a copy, as its regressor does. One process; what is finished is read, not run again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from meshtto_facing import Facing

from meshtto.adaptation import SGD, Adam, Phase
from meshtto.data import Augmentation, MeshData
from meshtto.data.stream import MeshCrops, collate
from meshtto.methods import Dual, Meta, Regression
from meshtto.methods.base import MeshMethod
from meshtto.methods.checkpoint import load_networks, read_checkpoint
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions
from meshtto.report.plots import against_steps, per_joint

ROOT = Path(__file__).parent.parent
METHODS = {"Regression": Regression, "Meta": Meta, "Dual": Dual}


def inner_rule(alpha: float, given: argparse.Namespace) -> SGD:
    """Gradient descent in training and at test time."""
    return SGD(alpha, given.clip_norm or None)


def tests(rule: SGD, eft: float, people: int) -> dict[str, tuple[str, Phase, str, int]]:
    """name → (which training, phase, evidence, how many people at most)."""
    head = Phase(14, rule)
    alone = replace(head, pseudo_mesh=False)
    return {
        "Regression": ("Regression", alone, "detector", people),
        "Meta": ("Meta", alone, "detector", people),
        "Dual": ("Dual", head, "detector", people),
        "EFT, head (Adam)": ("Regression", Phase(14, Adam(eft), pseudo_mesh=False), "detector", people),
        "Regression, true 2D": ("Regression", alone, "truth", people),
        "Dual, 2D alone": ("Dual", alone, "detector", people),
        "Dual, head (Adam)": ("Dual", Phase(14, Adam(eft)), "detector", people),
        "EFT, all weights (Adam)": ("Regression", Phase(14, Adam(eft), "all", pseudo_mesh=False), "detector", 16),
    }


def data(seed: int, steps: int, report: Facing | None = None, batch: int = 16) -> MeshData:
    train, validation = Facing(3000, 9999, 0), Facing(64, 999, 900)
    return MeshData(
        [train],
        validation=None if report else validation,
        report={"builtin": report} if report else None,
        height=64,
        width=64,
        batch_size=16,
        evaluation_batch_size=batch,
        steps_per_epoch=steps,
        num_workers=0,
        augmentation=Augmentation(rotation_deg=15.0, noise=0.2, scale=0.1),
        seed=seed,
    )


def made(method: str, start: Path | None, rule: SGD, test_time: TestTimeOptions) -> MeshMethod:
    """A method whose networks come from a checkpoint when it trains."""
    found = read_checkpoint(start)["hyper_parameters"]["regressor"] if start else {}
    inner = {} if method == "Regression" else {"inner": Phase(1, rule)}
    return METHODS[method](
        lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        RegressorOptions(**found, dropout=0.2),
        training=TrainingOptions(
            warmup_steps=5, final_lr=0.0, clip_norm=100.0, init_from=str(start) if start else None
        ),
        test_time=test_time,
        **inner,
    )


def trainer(out: Path) -> Trainer:
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        default_root_dir=out,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        limit_val_batches=0,
    )


def train(out: Path, method: str, seed: int, given: argparse.Namespace) -> Path:
    """The checkpoint at the end."""
    path = out / f"{method}-{seed}.ckpt"
    if not path.exists():
        seed_everything(1000 + seed)
        begin, runs = time.time(), trainer(out)
        model = made(method, given.start, inner_rule(given.alpha, given), TestTimeOptions([]))
        runs.fit(model, data(1000 + seed, given.steps))
        runs.save_checkpoint(path)
        seconds, cpu = time.time() - begin, time.process_time()
        (out / f"{method}-{seed}.json").write_text(json.dumps({"wall": seconds, "process so far": cpu}))
        print(f"{method} seed {seed}: {seconds:.0f} s", flush=True)
    return path


def test(out: Path, name: str, seed: int, checkpoint: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Errors against steps of one way of adapting."""
    method, phase, evidence, limit = tests(inner_rule(given.alpha, given), given.eft, given.people)[name]
    stem = "".join(c if c.isalnum() else "-" for c in name.lower())
    path = out / f"test-{stem}-{seed}.json"
    if not path.exists():
        seed_everything(seed)
        begin, runs = time.time(), trainer(out)
        model = made(method, given.start, inner_rule(given.alpha, given), TestTimeOptions([phase], tolerance=None))
        model.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
        batch = 32 if phase.scope == "head" else 1
        runs.test(model, data(0, 1, Facing(256, limit, 1, evidence=evidence), batch), verbose=False)
        path.write_text(json.dumps({"seconds": round(time.time() - begin), **model.results}))
        print(f"{name} seed {seed}: {time.time() - begin:.0f} s", flush=True)
    return json.loads(path.read_text())


def choose_alpha(given: argparse.Namespace) -> float:
    """Of the steps under which no image's 2D loss grows by more than half, the one that lowers the mean most: on
    validation people, by evidence alone."""
    model = made("Regression", given.start, SGD(), TestTimeOptions([])).eval()
    load_networks(given.start, model)
    crops = MeshCrops(Facing(64, 999, 900), (64, 64))
    batch = collate([crops[i] for i in range(len(crops))])
    best, chosen = float("inf"), 1e-4
    for alpha in (3e-4, 1e-3, 3e-3):
        found = model.recover(batch, [Phase(14, inner_rule(alpha, given), pseudo_mesh=False)], tolerance=None)
        losses, lost = found.losses, int(found.diverged.sum())
        steady = not lost and bool((losses <= 1.5 * losses[0] + 1e-3).all())
        print(
            f"alpha {alpha:g}: 2D loss {losses[0].mean():.4f} -> {losses[-1].mean():.4f}, steady: {steady}, "
            f"diverged: {lost} of {len(batch.index)}",
            flush=True,
        )
        if steady and losses[-1].mean() < best:
            best, chosen = float(losses[-1].mean()), alpha
    return chosen


def mean_curves(seeds: dict[int, dict[str, Any]]) -> dict[str, list[float]]:
    found = [seed["sets"]["report/builtin"]["against_steps"] for seed in seeds.values()]
    return {k: [sum(v) / len(found) for v in zip(*(f[k] for f in found), strict=True)] for k in found[0]}


def table(results: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Means over seeds; the least value is named for what it is: found by looking at test labels."""
    lines = [
        "| training, adaptation | MPJPE 0 | 14 | PA-MPJPE 0 | 6 | 14 | least (at step) | PVE 0 | 14 | 2D px 0 | 14 "
        "| diverged |",
        "|---|" + "---:|" * 11,
    ]
    for name, seeds in results.items():
        mean = mean_curves(seeds)
        cells = []
        for key in ("mpjpe", "pa_mpjpe", "pve", "error_2d"):
            line = mean[key]
            middle = [f"{line[6]:.2f}"] if key == "pa_mpjpe" else []
            cells += [f"{line[0]:.2f}", *middle, f"{line[-1]:.2f}"]
            if key == "pa_mpjpe":
                step = min(range(len(line)), key=line.__getitem__)
                cells.append(f"{line[step]:.2f} ({step})")
        people = [seed["sets"]["report/builtin"]["people"] for seed in seeds.values()]
        cells.append(" of ".join(str(sum(p[key] for p in people)) for key in ("diverged", "recovered")))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(results: dict[str, dict[int, dict[str, Any]]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.md").write_text(table(results))
    slim = {
        name: {
            seed: {"seconds": r["seconds"], "protocol": r["protocol"], **r["sets"]["report/builtin"]}
            for seed, r in seeds.items()
        }
        for name, seeds in results.items()
    }
    (folder / "results.json").write_text(json.dumps(slim, indent=1) + "\n")
    means = {name: mean_curves(seeds) for name, seeds in results.items()}
    (folder / "curves.png").write_bytes(against_steps(means))
    first = {name: next(iter(seeds.values()))["sets"]["report/builtin"]["per_joint"] for name, seeds in results.items()}
    shown = ("Regression", "Meta", "Dual", "EFT, head (Adam)")
    (folder / "per_joint.png").write_bytes(per_joint({name: first[name] for name in shown if name in first}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of a Regression")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "meshtto_builtin")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=50, help="of each method, of 16 images")
    parser.add_argument("--alpha", type=float, help="of the inner step; chosen on validation people where not given")
    parser.add_argument("--clip-norm", type=float, default=1.0, help="of the inner step's gradient; 0: none")
    parser.add_argument("--people", type=int, default=64, help="to test on, at most")
    parser.add_argument("--eft", type=float, default=1e-4, help="Adam's step size at test time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    given.alpha = given.alpha or choose_alpha(given)
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for seed in given.seeds:
        ends = {method: train(given.out, method, seed, given) for method in METHODS}
        for name, (method, *_) in tests(inner_rule(given.alpha, given), given.eft, given.people).items():
            results.setdefault(name, {})[seed] = test(given.out, name, seed, ends[method], given)
            write(results, given.results)
    print((given.results / "figures.md").read_text())


if __name__ == "__main__":
    main()
