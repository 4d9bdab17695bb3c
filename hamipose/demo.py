"""The demo: train a pose model on plain synthetic people, adapt it to photo-like ones, and compare the methods."""

import time
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import numpy as np
import torch
import yaml
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from hamipose.config.environment import configs_folder
from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.synthetic.people import SyntheticPeople
from hamipose.engine.metrics_file import read_columns
from hamipose.engine.run_record import check_same_request, has_checkpoints, write_request
from hamipose.evaluation.score_metrics import PCK_METRIC, ScoreName
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import crop_images, labels_in_view, warp_crop
from hamipose.inference.loading import load
from hamipose.io.json_file import read_record
from hamipose.methods.source_only import TARGET_STATISTICS
from hamipose.skeletons import Skeleton
from hamipose.training import run, train_in
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid
from hamipose.viz.figures import plot_curves
from hamipose.viz.html import HtmlPage

__all__ = ["run_demo"]

#: Config of each row of the table; all of them start from the checkpoint of demo_start.yaml.
_METHODS = {
    "source only": "demo_source_only.yaml",
    "mean teacher": "demo_mean_teacher.yaml",
    "HamiPose": "demo.yaml",
}
_STATISTICS = "source only, target statistics"
_EXAMPLES = 12  # images in the report


def _folder(out: Path, name: str) -> Path:
    """Return the run folder of a row of the table."""
    return out / name.replace(" ", "-")


def _train(config: str, folder: Path, seed: int, *overrides: str) -> None:
    """Start or resume a run; do nothing if it is finished."""
    location = {"save_dir": str(folder.parent), "name": "", "version": folder.name}
    logger = [word for option, value in location.items() for word in (f"--trainer.logger.init_args.{option}", value)]
    train_in(folder, ["--config", str(configs_folder() / config), "--seed_everything", str(seed), *logger, *overrides])


def _check_overrides(overrides: Sequence[str]) -> None:
    """Parse the options that are passed on to the runs, for each of them, before the first one starts.

    Raises:
        UserError: a run does not accept an option or its value.
    """
    for config in ("demo_start.yaml", *_METHODS.values()) if overrides else ():
        with suppress(SystemExit), redirect_stdout(StringIO()):  # --print_config exits
            run(["fit", "--config", str(configs_folder() / config), *overrides, "--print_config"])


def _record_request(out: Path, overrides: Sequence[str]) -> None:
    """Check and record the options of the runs in a folder, or check that they equal the recorded ones.

    Raises:
        UserError: an option is invalid, or the folder contains runs with other options.
    """
    options: list[str] = []  # one string per option with its values
    for word in overrides:
        if word.startswith("--") or not options:
            options.append(word)
        else:
            options[-1] += f" {word}"
    if has_checkpoints(out):
        check_same_request(out, options, "--out")
    else:
        _check_overrides(overrides)
        out.mkdir(parents=True, exist_ok=True)
        write_request(out, options)


def _open_test_set(run_folder: Path) -> tuple[KeypointDataset, int]:
    """Return the test set of a run and the side of its crops, from the config in its folder."""
    data = yaml.safe_load((run_folder / "config.yaml").read_text())["data"]
    return SyntheticPeople(**data["test"]["photo"]["init_args"]), data["image_size"]


@torch.no_grad()
def _predict(checkpoint: Path, dataset: KeypointDataset, size: int, count: int) -> Float[np.ndarray, "image joint 2"]:
    """Return the keypoints of the first images of a set, in pixels of their crops."""
    model = load(checkpoint, device="cpu")
    samples = [dataset[i] for i in range(count)]
    crops = crop_images([s.image for s in samples], [crop_matrix(s.box_px, size) for s in samples], size)
    return model.locate(crops)[0].numpy()


def _draw_examples(
    dataset: KeypointDataset, size: int, predictions: dict[str, Float[np.ndarray, "image joint 2"]]
) -> np.ndarray:
    """Draw one row per image: the ground truth, then the prediction of each network, enlarged."""
    zoom = max(1, 192 // size)
    skeleton: Skeleton = dataset.skeleton
    tiles = []
    for i in range(len(next(iter(predictions.values())))):
        sample = dataset[i]
        matrix = crop_matrix(sample.box_px, size * zoom)
        image = warp_crop(sample.image, matrix, size * zoom)
        truth, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size * zoom)
        tiles.append(draw_label(draw_keypoints(image, truth, skeleton, visibility > 0), "ground truth"))
        enlarge = np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])
        for name, points in predictions.items():
            enlarged = apply_points(enlarge, points[i]).astype(np.float32)
            tiles.append(draw_label(draw_keypoints(image, enlarged, skeleton, visibility > 0), name))
    return make_grid(tiles, columns=2 * (1 + len(predictions)))


def _is_finished(folder: Path) -> bool:
    return (folder / "scores.json").exists()


def _read_table(out: Path) -> dict[str, dict[str, float]]:
    """Return the rows of all finished runs; target statistics are a second network of the source-only run."""
    table = {}
    for name in _METHODS:
        if _is_finished(_folder(out, name)):
            table[name] = _read_scores(_folder(out, name))
            if name == "source only":
                table[_STATISTICS] = _read_scores(_folder(out, name), TARGET_STATISTICS)
    return table


def _read_scores(folder: Path, network: str = "") -> dict[str, float]:
    """Return the last scores of a network on the test set, in percent; default: the one that is saved for use."""
    scores = read_record(folder / "scores.json", "scores")["scores"]
    network = network or (
        "teacher" if str(ScoreName("test/photo", "teacher", PCK_METRIC.key(0.1))) in scores else "student"
    )

    def score(threshold: float, group: str = "all") -> float:
        return 100 * scores[str(ScoreName("test/photo", network, PCK_METRIC.key(threshold), group))]

    groups = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    by_group = {f"PCK@0.1/{group}": score(0.1, group) for group in groups}
    return {"PCK@0.05": score(0.05), "PCK@0.1": score(0.1), **by_group}


def _write_report(
    out: Path, table: dict[str, dict[str, float]], dataset: KeypointDataset, size: int, command: str
) -> Path:
    page = HtmlPage("Adaptation from plain to photo-like synthetic people, without target labels")
    page.add_text(
        "A network was trained on people of the plain style, then adapted to the photo style from unlabeled images. "
        "The table shows scores on people of the photo style that were not used for training; their labels selected "
        "nothing. All rows have the same number of source steps and show the last epoch."
    )
    page.add_text(
        f'"{_STATISTICS}" is the network of "source only" whose BatchNorm means and variances were estimated on '
        "unlabeled photo-style people; no weight was adapted. The gain of an adaptation over that row was learned; the "
        "rest is due to the statistics. On real photos such statistics reduced accuracy, so they are not the default."
    )
    columns = list(next(iter(table.values())))
    page.add_table(["", *columns], [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in table.items()])
    page.add_heading("The first twelve test images")
    predictions = {
        name: _predict(_folder(out, name) / "checkpoints/last.ckpt", dataset, size, min(_EXAMPLES, len(dataset)))
        for name in ("source only", "HamiPose")
    }
    page.add_image(
        _draw_examples(dataset, size, predictions),
        "Ground truth, source only, HamiPose. Left limbs orange, right limbs blue.",
    )
    page.add_heading("Training")
    metrics = {name: read_columns(_folder(out, name)) for name in table if name != _STATISTICS}

    def lines(key: str) -> dict[str, tuple[list[int], list[float]]]:
        return {name: columns[key] for name, columns in metrics.items() if key in columns}

    statistics = metrics["source only"].get(
        str(ScoreName("test/photo", TARGET_STATISTICS, PCK_METRIC.keys[0])), ([], [])
    )
    page.add_png(
        plot_curves(
            {
                "PCK@0.05, target test set": {**lines(PCK_METRIC.headline("test/photo")), _STATISTICS: statistics},
                "source loss": lines("train/source_loss"),
                "conflict ratio": lines("train/conflict"),
            },
            log_scale=["source loss"],
        ),
        "The conflict ratio is the fraction of keypoints whose two gradients have a negative dot product.",
    )
    ours = metrics["HamiPose"]
    page.add_png(
        plot_curves(
            {
                "energy": {
                    n: ours[f"train/{n}"] for n in ("kinetic", "potential", "hamiltonian") if f"train/{n}" in ours
                },
                "source weight w, mean over keypoints": {"HamiPose": ours["train/weight"]},
                "gate φ, mean over keypoints": {"HamiPose": ours["train/openness"]},
            }
        ),
        "H = T + V of the Hamiltonian optimizer, and the values of the gate.",
    )
    page.add_heading("Command")
    page.add_code(command)
    path = out / "report.html"
    page.write(path)
    return path


def run_demo(out: Path, seed: int = 0, minutes: float = 12.0, overrides: Sequence[str] = ()) -> None:
    """Train all rows of the table and write the report; the same call resumes an interrupted demo.

    Args:
        out: output folder for the runs and the report, which get a subfolder per seed.
        seed: seed of training; the people stay the same.
        minutes: skip the mean teacher if it would finish later than this.
        overrides: options passed to every run, as words of a command line.

    Raises:
        UserError: an option is invalid, or the folder contains runs with other options.
    """
    folder = out / f"seed{seed}"
    begin = time.monotonic()

    def log(line: str) -> None:
        elapsed, seconds = divmod(int(time.monotonic() - begin), 60)
        Console().print(f"[bold]{elapsed:2d}:{seconds:02d}  {line}[/bold]")

    _record_request(folder, overrides)
    log("Training on synthetic people of the plain style (missing images are rendered first)")
    _train("demo_start.yaml", folder / "start", seed, *overrides)
    start = folder / "start/checkpoints/last.ckpt"
    duration = 0.0
    for name in ("source only", "HamiPose", "mean teacher"):
        run_folder = _folder(folder, name)
        run_begin = time.monotonic()
        late = run_begin - begin + duration > 60 * minutes
        if name == "mean teacher" and late and not _is_finished(run_folder):
            log(f"Mean teacher skipped, it would finish after {minutes:g} minutes: the same command again adds it")
            continue
        log(
            {"source only": "Training longer on the source: source only"}.get(
                name, f"Adapting to the photo style: {name}"
            )
        )
        _train(_METHODS[name], run_folder, seed, "--model.init_args.training.init_from", str(start), *overrides)
        duration = time.monotonic() - run_begin
    table = _read_table(folder)
    dataset, size = _open_test_set(folder / "HamiPose")
    command = " ".join(("python -m hamipose demo", "--out", str(out), "--seed", str(seed), *overrides))
    report = _write_report(folder, table, dataset, size, command)
    _print_table(table)
    ours, bare, statistics = (table[name]["PCK@0.1"] for name in ("HamiPose", "source only", _STATISTICS))
    log(
        f"HamiPose compared with source only: {ours - bare:+.1f} points of PCK@0.1. Target statistics alone: "
        f"{statistics - bare:+.1f}. Images and curves: {report}"
    )


def _print_table(table: dict[str, dict[str, float]]) -> None:
    shown = Table(title="Test people of the photo style, PCK in % (joints: @0.1), last epoch", padding=0)
    shown.add_column("", no_wrap=True)
    for column in next(iter(table.values())):
        shown.add_column(column.removeprefix("PCK@0.1/").removeprefix("PCK"), justify="right", no_wrap=True)
    for name, row in table.items():
        shown.add_row(name, *(f"{value:.1f}" for value in row.values()))
    Console().print(shown)
