"""Run the experiments of docs/findings.md: which part of HamiPose does what, from a start trained for hours.

    python benchmarks/findings.py --data DIR --experiments labels protection --seeds 0 1 2 --jobs 2
    python benchmarks/findings.py --dry-run

DIR contains lsp/ as distributed. The experiment "outside" also needs another tool's keypoints of its training half:

    python -m hamipose predict DIR/lsp/images --checkpoint blazepose-heavy --skeleton body16 --out OUT
    python benchmarks/findings.py --data DIR --experiments outside --predictions OUT/predictions.json

Each run starts from the start of its seed (configs/hamipose/findings/
people_start.yaml) and adapts to the training half of LSP without labels. Only this script reads test labels, after
training: it stores the distance of every predicted joint of the test half, and compares runs with the same seed and the
same batches. Intervals are 95 % bootstrap intervals over images and seeds. Finished runs are reused and interrupted
ones resume. It writes a page, the scores of each run and figures to --results.
"""

import argparse
import csv
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from hamipose.adapt.labeled_score import predict_in_crops
from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.data import LeedsSports
from hamipose.engine.experiments import pending_runs
from hamipose.engine.metrics_file import read_run
from hamipose.engine.run_record import describe_machine, describe_versions, recorded_revision
from hamipose.engine.runs import Run, command_line_options, is_finished, run_all, short_path, wall_time
from hamipose.experiments.rows import class_option
from hamipose.experiments.transfers import Transfer, transfer_data
from hamipose.inference.loading import load
from hamipose.io.atomic_file import write_text
from hamipose.viz.figures import plot_curves
from hamipose.viz.tables import MarkdownPage, Table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/findings"
TRANSFER = Transfer("people_to_lsp", "built-in people → LSP", "findings/people_to_lsp.yaml", "lsp")
THRESHOLDS = (0.05, 0.1)
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BOOTSTRAP = 2000


MODEL = "model.init_args"
ADAMW = {f"{MODEL}.optimizer": class_option("torch.optim.AdamW", lr=3e-4, weight_decay=1e-4)}
#: The recipe's optimizer with a smaller step, because training continues from a trained network.
_RECIPE = load_config(configs_folder() / "base.yaml")["model"]["init_args"]["optimizer"]
HAMILTONIAN = {f"{MODEL}.optimizer": class_option(_RECIPE["class_path"], **{**_RECIPE["init_args"], "lr": 3e-4})}
OPEN = {f"{MODEL}.gate": class_option("hamipose.gating.OpenGate")}
UNIFIED = {f"{MODEL}.gate": class_option("hamipose.gating.UnifiedGate")}
KEYPOINT = {f"{MODEL}.gate": class_option("hamipose.gating.KeypointGate")}
GATES = {"open": OPEN, "unified": UNIFIED, "keypoint": KEYPOINT}
LABELS = {
    "heatmap": {f"{MODEL}.adaptation.labels": "heatmap", f"{MODEL}.adaptation.discard_fraction": "0"},
    "keypoint": {f"{MODEL}.adaptation.discard_fraction": "0"},
    "keypoint, surer half": {},
}


@dataclass(frozen=True)
class Variant:
    """A row of an experiment.

    Attributes:
        label: its label.
        options: options that differ from the base config, by their names on the command line.
        reference: label of the row that it is compared with, with the same seed and batches; empty for the start.
    """

    label: str
    options: Mapping[str, str] = field(hash=False)
    reference: str = ""

    @property
    def folder(self) -> str:
        """Return the name of the folder of its runs."""
        return "".join(c if c.isalnum() or c in "._" else "-" for c in self.label.replace(", ", "_"))


@dataclass(frozen=True)
class Experiment:
    """A question and its rows.

    Attributes:
        title: the question.
        rows: the rows.
        groups: column → joints, without sides.
    """

    title: str
    rows: tuple[Variant, ...]
    groups: Mapping[str, tuple[str, ...]] = field(hash=False)


def label_rows() -> Iterable[Variant]:
    """Yield {heatmap, keypoint, surer half} × {open gate and AdamW, keypoint gate and Hamiltonian} × λ {1, 4}."""
    methods = {"mean teacher": {**OPEN, **ADAMW}, "HamiPose": {**KEYPOINT, **HAMILTONIAN}}
    for weight in (1, 4):
        for name, method in methods.items():
            for labels, options in LABELS.items():
                scale = {f"{MODEL}.adaptation.target_weight": str(weight)}
                reference = "" if name == "mean teacher" else f"mean teacher, {labels}, λ {weight}"
                yield Variant(f"{name}, {labels}, λ {weight}", {**method, **options, **scale}, reference)


def protection_rows() -> Iterable[Variant]:
    """Yield {exchange, outlier} × rate × gate, all with AdamW and the same labels; rate 0 is shared."""
    method = {"model.class_path": "benchmarks.corrupted_labels.CorruptedHamiPose"}
    for kind, rate in (("none", 0), *((k, r) for k in ("exchange", "outlier") for r in (60, 30, 10))):
        for gate, options in GATES.items():
            wrong = {f"{MODEL}.corruption": json.dumps({"kind": kind, "rate": rate / 100})} if rate else {}
            reference = "" if gate == "open" else f"{kind} {rate} %, open"
            yield Variant(f"{kind} {rate} %, {gate}", {**method, **options, **wrong}, reference)


#: Stands for the file of --predictions in options.
PREDICTIONS = "{predictions}"
#: Stands for the folder of --data in options.
DATA = "{data}"


def outside_rows() -> Iterable[Variant]:
    """Yield {own labels, labels of another tool} × {mean teacher, keypoint gate, HamiPose}."""
    photos = {"class_path": "hamipose.data.LeedsSports", "init_args": {"root": f"{DATA}/lsp", "split": "train"}}
    unlabeled = {"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": photos}}
    target = {
        "class_path": "hamipose.data.PredictedKeypoints",
        "init_args": {"dataset": unlabeled, "predictions": PREDICTIONS},
    }
    outside = {
        "data.target": json.dumps([target]),
        f"{MODEL}.adaptation.labels": "predictions",
        f"{MODEL}.adaptation.discard_fraction": "0",
    }
    methods = {
        "mean teacher": {**OPEN, **ADAMW},
        "keypoint gate": {**KEYPOINT, **ADAMW},
        "HamiPose": {**KEYPOINT, **HAMILTONIAN},
    }
    for labels, options in (("another tool's labels", outside), ("own labels", {})):
        for name, method in methods.items():
            reference = "" if name == "mean teacher" else f"mean teacher, {labels}"
            yield Variant(f"{name}, {labels}", {**method, **options}, reference)


EXPERIMENTS = {
    "labels": Experiment("Which labels of the target help?", tuple(label_rows()), {"limbs": LIMBS}),
    "outside": Experiment("What do the labels of another tool add?", tuple(outside_rows()), {"limbs": LIMBS}),
    "protection": Experiment(
        "Does the gate protect joints whose labels are wrong?",
        tuple(protection_rows()),
        {"limbs": LIMBS, "wrong labels": ("wrist", "ankle"), "right labels": ("shoulder", "elbow", "hip", "knee")},
    ),
}


# ------------------------------------------------------------------------------------------------ runs


def start_run(out: Path, seed: int) -> Run:
    """Return the training of the start of a seed."""
    folder = out / "people_start" / f"seed{seed}"
    config = short_path(configs_folder() / "findings/people_start.yaml")
    options = command_line_options({"seed_everything": str(seed)}, folder)
    epochs = load_config(configs_folder() / "findings/people_start.yaml")["trainer"]["max_epochs"]
    return Run(folder, ("fit", "--config", config, *options), epochs, 0)


def make_run(out: Path, experiment: str, row: Variant, seed: int, files: Mapping[str, str]) -> Run:
    """Return the run of a row and seed; `files` replaces the names that stand for files in options."""
    folder = out / experiment / f"seed{seed}" / row.folder
    start = start_run(out, seed)
    own = dict(row.options)
    for name, value in itertools.product(own, files.items()):
        own[name] = own[name].replace(*value)
    options = {"seed_everything": str(seed), f"{MODEL}.training.init_from": str(start.last), **own}
    words = ("--config", short_path(configs_folder() / TRANSFER.config), "--config", str(out / "data.yaml"))
    # The class comes first, because its name resets the arguments that are set before it.
    ordered = dict(sorted(options.items(), key=lambda item: item[0] != "model.class_path"))
    content = yaml.safe_load((configs_folder() / TRANSFER.config).read_text())
    return Run(
        folder, ("fit", *words, *command_line_options(ordered, folder)), 1, content["data"]["steps_per_epoch"], start
    )


def relative_errors(checkpoint: Path, photos: LeedsSports) -> np.ndarray:
    """Return the distance of every keypoint of the skeleton, as a fraction of the crop's side; NaN without a label.

    The network is the one that a user would get: the teacher if there is one.
    """
    model = load(checkpoint, device="cpu")
    found, labeled, visibility = predict_in_crops(model, photos)
    distances = (found - labeled).norm(dim=-1) / model.info.image_size
    return distances.where(visibility > 0, torch.nan).numpy()


def scored(run: Run, photos: LeedsSports) -> np.ndarray:
    """Return the errors of a finished run on the test photos; they are computed once."""
    path = run.folder / "errors.npy"
    if not path.exists():
        np.save(path, relative_errors(run.last, photos))
    return np.load(path)


# ------------------------------------------------------------------------------------------------ statistics


def joint_columns(photos: LeedsSports, joints: tuple[str, ...]) -> list[int]:
    """Return the indices of both sides of joints."""
    return photos.skeleton.indices(tuple(f"{side}_{joint}" for joint in joints for side in ("left", "right")))


def pck(errors: np.ndarray, columns: list[int], threshold: float) -> float:
    """Return PCK in percent: the mean over joints of their shares of correct labels."""
    part = errors[..., columns]
    with np.errstate(invalid="ignore"):
        hits = np.where(np.isnan(part), np.nan, part < threshold)
    return 100 * float(np.nanmean(hits, axis=tuple(range(hits.ndim - 1))).mean())


def difference(
    ours: np.ndarray, theirs: np.ndarray, columns: list[int], threshold: float
) -> tuple[float, float, float]:
    """Return the difference of PCK and its 95 % interval, by a bootstrap over seeds and images of paired errors.

    Args:
        ours: errors, seed × image × keypoint.
        theirs: errors of the reference, for the same seeds and images.
        columns: keypoints to compare.
        threshold: as a fraction of the crop's side.
    """
    random = np.random.default_rng(0)

    def hits(errors: np.ndarray) -> np.ndarray:
        part = errors[..., columns]
        return np.where(np.isnan(part), np.nan, part < threshold)

    gain = 100 * (hits(ours) - hits(theirs))  # seed × image × keypoint
    seeds, images = gain.shape[:2]
    draws = []
    for _ in range(BOOTSTRAP):
        chosen = gain[random.integers(seeds, size=seeds)][:, random.integers(images, size=images)]
        draws.append(np.nanmean(chosen, axis=(0, 1)).mean())
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(np.nanmean(gain, axis=(0, 1)).mean()), float(low), float(high)


def logged_mean(run: Run, name: str) -> float:
    """Return the mean of a logged training quantity over a run; NaN if it was not logged."""
    values = read_run(run.folder).get(f"train/{name}", {})
    return float(np.mean(list(values.values()))) if values else float("nan")


# ------------------------------------------------------------------------------------------------ page


def experiment_table(
    experiment: Experiment, runs: Mapping[str, Mapping[int, Run]], starts: Mapping[int, Run], photos: LeedsSports
) -> tuple[Table, list[dict[str, Any]]]:
    """Return a table with the start and every row that has a result, and the scores of each run."""
    columns = {name: joint_columns(photos, joints) for name, joints in experiment.groups.items()}
    heads = [f"{name} @{threshold:g}" for name in columns for threshold in THRESHOLDS]
    changes = [f"{head}: change" for head in heads]
    table = Table(["row", "seeds", *heads, *changes, "w", "conflict"], text_columns=1)
    scores: list[dict[str, Any]] = []
    everything = {"start": starts, **runs}
    for label, by_seed in everything.items():
        done = {seed: run for seed, run in by_seed.items() if is_finished(run)}
        if not done:
            continue
        errors = {seed: scored(run, photos) for seed, run in done.items()}
        reference = next((row.reference for row in experiment.rows if row.label == label), "")
        compared = everything[reference or "start"]
        shared = [seed for seed in done if seed in compared and is_finished(compared[seed])]
        cells, change = [], []
        for group in columns.values():
            for threshold in THRESHOLDS:
                values = [pck(e, group, threshold) for e in errors.values()]
                spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.1f}{spread}")
                if label == "start" or not shared:
                    change.append("")
                    continue
                theirs = np.stack([scored(compared[seed], photos) for seed in shared])
                mean, low, high = difference(np.stack([errors[s] for s in shared]), theirs, group, threshold)
                change.append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
        gate = [np.mean([logged_mean(run, name) for run in done.values()]) for name in ("weight", "conflict")]
        table.rows.append(
            [label, str(len(done)), *cells, *change, *("" if np.isnan(value) else f"{value:.2f}" for value in gate)]
        )
        for seed, found in errors.items():
            row = {"row": label, "seed": seed}
            for name, group in columns.items():
                row |= {f"{name} @{t:g}": round(pck(found, group, t), 2) for t in THRESHOLDS}
            scores.append(row)
    return table, scores


def protection_curves(scores: list[dict[str, Any]]) -> bytes | None:
    """Plot PCK@0.1 of joints with wrong and with right labels against the rate; None with a single rate."""
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for kind, joints in itertools.product(("exchange", "outlier"), ("wrong labels", "right labels")):
        lines = {}
        for gate in GATES:
            points: dict[int, list[float]] = {}
            for row in scores:
                words = row["row"].replace(",", "").split()
                if words[0] in ("none", kind) and words[-1] == gate:
                    points.setdefault(int(words[1]), []).append(row[f"{joints} @0.1"])
            if len(points) > 1:
                rates = sorted(points)
                lines[f"{gate} gate"] = ([float(r) for r in rates], [float(np.mean(points[r])) for r in rates])
        if lines:
            panels[f"{kind}: joints with {joints}, PCK@0.1"] = lines
    return plot_curves(panels, x_label="wrong labels of wrists and ankles, %") if panels else None


def write_page(
    name: str, experiment: Experiment, runs: Mapping[str, Mapping[int, Run]], starts: Mapping[int, Run], arguments: Any
) -> None:
    """Write the table, the scores of each run and the commands of one experiment."""
    photos = LeedsSports(str(arguments.data / "lsp"), split="test")
    table, scores = experiment_table(experiment, runs, starts, photos)
    if not scores:
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    finished = [run for by_seed in runs.values() for run in by_seed.values() if is_finished(run)]
    page = MarkdownPage(arguments.results / f"{name}.md", experiment.title)
    page.add_text(
        "PCK in percent on the test half of LSP (1000 photos, the whole photo as crop, mean over the joints of a "
        "column), of the teacher after the last step. A change is the difference from the start, or from the row that "
        "differs in the method alone, with a 95 % interval by bootstrap over paired images and seeds; if the interval "
        "contains 0, the two are a tie. w is the mean weight of the source losses, conflict the share of keypoints "
        "with ρ < 0."
    )
    page.add_table(table)
    if name == "protection" and (png := protection_curves(scores)) is not None:
        page.add_png(png, "Accuracy of joints with wrong and with right labels against the rate of wrong labels")
    times = [wall_time(run) for run in finished]
    minutes = sum(seconds for _, seconds in times) / 60
    revisions = ", ".join(sorted({recorded_revision(run.folder) for run in finished} - {""}))
    page.add_text(
        f"{len(finished)} runs, {minutes:.0f} minutes in total on one core each. {describe_versions()}. Machine: "
        f"{describe_machine()}. Revisions {revisions}."
    )
    seeds = " ".join(map(str, starts))
    page.add_text(f"`python benchmarks/findings.py --data DIR --experiments {name} --seeds {seeds}`")
    page.write()
    with (arguments.results / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(scores[0]))
        writer.writeheader()
        writer.writerows(scores)


def main() -> None:
    """Run the missing experiments and write their pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that contains lsp/")
    parser.add_argument("--predictions", type=Path, help="COCO file with another tool's keypoints of lsp/images")
    parser.add_argument("--out", type=Path, default=Path("runs/findings"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--only", nargs="+", default=[], help="rows whose label contains one of these words")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--dry-run", action="store_true", help="show what is missing and stop")
    parser.add_argument("--no-runs", action="store_true", help="write the pages of finished runs")
    arguments = parser.parse_args()
    if "outside" in arguments.experiments and arguments.predictions is None:
        arguments.experiments.remove("outside")
        print("the experiment outside is left out: it needs --predictions")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    starts = {seed: start_run(arguments.out, seed) for seed in arguments.seeds}
    files = {PREDICTIONS: str(arguments.predictions), DATA: str(arguments.data)}
    chosen = {
        name: {
            row.label: {seed: make_run(arguments.out, name, row, seed, files) for seed in arguments.seeds}
            for row in EXPERIMENTS[name].rows
        }
        for name in arguments.experiments
    }
    runs = [
        by_seed[seed]
        for by_label in chosen.values()
        for seed in arguments.seeds
        for label, by_seed in by_label.items()
        if not arguments.only or any(words in label for words in arguments.only)
    ]
    missing = pending_runs(runs)
    if arguments.dry_run:
        for run in missing:
            print(run.folder)
        print(f"{sum(map(is_finished, runs))} of {len(runs)} runs are done")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(
        arguments.out / "data.yaml", yaml.safe_dump({"data": transfer_data(TRANSFER, arguments.data)}, sort_keys=False)
    )
    if not arguments.no_runs:
        run_all(runs, arguments.jobs)
    for name, by_label in chosen.items():
        write_page(name, EXPERIMENTS[name], by_label, starts, arguments)


if __name__ == "__main__":
    main()
