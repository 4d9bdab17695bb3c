"""``python -m hamipose demo``: a pose model adapted from synthetic to photo-like people, before and after."""

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

from hamipose.command_line.arguments import Arguments
from hamipose.config.environment import configs_folder
from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.synthetic.people import SyntheticPeople
from hamipose.engine.metrics_file import read_columns
from hamipose.engine.run_record import check_same_request, has_checkpoints, write_request
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import crop_images, labels_in_view, warp_crop
from hamipose.inference.loading import load
from hamipose.io.json_file import read_record
from hamipose.methods.source_only import TARGET_STATISTICS
from hamipose.skeletons import Skeleton
from hamipose.training import run, train_in
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid
from hamipose.viz.html import HtmlPage, plot_curves

__all__ = ["main"]

#: Name in the table → config of the run from the common start.
_METHODS = {
    "source only": "demo_source_only.yaml",
    "mean teacher": "demo_mean_teacher.yaml",
    "HamiPose": "demo.yaml",
}
_STATISTICS = "source only, target statistics"
_EXAMPLES = 12


def _folder(out: Path, name: str) -> Path:
    """Where the run of a row of the table is kept."""
    return out / name.replace(" ", "-")


def _train(config: str, folder: Path, seed: int, *overrides: str) -> None:
    """One run, or what is left of it, so that an interrupted demo goes on."""
    where = {"save_dir": str(folder.parent), "name": "", "version": folder.name}
    logger = [word for option, value in where.items() for word in (f"--trainer.logger.init_args.{option}", value)]
    train_in(folder, ["--config", str(configs_folder() / config), "--seed_everything", str(seed), *logger, *overrides])


def _check(overrides: Sequence[str]) -> None:
    """Have the options that are handed on parsed for every run: one may be wrong for the last of them alone.

    Raises:
        UserError: a run does not know an option or its value.
    """
    for config in ("demo_start.yaml", *_METHODS.values()) if overrides else ():
        with suppress(SystemExit), redirect_stdout(StringIO()):  # printing a config ends the process
            run(["fit", "--config", str(configs_folder() / config), *overrides, "--print_config"])


def _agree(out: Path, overrides: Sequence[str]) -> None:
    """Refuses runs with other options in this folder, and writes these down where there are none."""
    options: list[str] = []  # a word of each option with its values
    for word in overrides:
        if word.startswith("--") or not options:
            options.append(word)
        else:
            options[-1] += f" {word}"
    if has_checkpoints(out):
        check_same_request(out, options, "--out")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_request(out, options)


def _held_out(run_folder: Path) -> tuple[KeypointDataset, int]:
    """The test set of a run and the side of its crops, from the config that the run wrote down."""
    data = yaml.safe_load((run_folder / "config.yaml").read_text())["data"]
    return SyntheticPeople(**data["test"]["photo"]["init_args"]), data["image_size"]


@torch.no_grad()
def _predict(checkpoint: Path, dataset: KeypointDataset, size: int, count: int) -> Float[np.ndarray, "image joint 2"]:
    """Keypoints in pixels of the crops of the first images of a set."""
    model = load(checkpoint, device="cpu")
    samples = [dataset[i] for i in range(count)]
    crops = crop_images([s.image for s in samples], [crop_matrix(s.box_px, size) for s in samples], size)
    return model.locate(crops)[0].numpy()


def _panels(dataset: KeypointDataset, size: int, found: dict[str, Float[np.ndarray, "image joint 2"]]) -> np.ndarray:
    """A row per image: what is true, then what each network says. Images are magnified to be looked at."""
    zoom = max(1, 192 // size)
    skeleton: Skeleton = dataset.skeleton
    tiles = []
    for i in range(len(next(iter(found.values())))):
        sample = dataset[i]
        matrix = crop_matrix(sample.box_px, size * zoom)
        image = warp_crop(sample.image, matrix, size * zoom)
        truth, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size * zoom)
        tiles.append(draw_label(draw_keypoints(image, truth, skeleton, visibility > 0), "truth"))
        enlarge = np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])
        for name, points in found.items():
            drawn = draw_keypoints(image, apply_points(enlarge, points[i]).astype(np.float32), skeleton, visibility > 0)
            tiles.append(draw_label(drawn, name))
    return make_grid(tiles, columns=2 * (1 + len(found)))


def _scored(folder: Path) -> bool:
    return (folder / "scores.json").exists()


def _table(out: Path) -> dict[str, dict[str, float]]:
    """Return the rows whose runs are finished; that of target statistics is another network of source only's run."""
    table = {}
    for name in _METHODS:
        if _scored(_folder(out, name)):
            table[name] = _scores(_folder(out, name))
            if name == "source only":
                table[_STATISTICS] = _scores(_folder(out, name), TARGET_STATISTICS)
    return table


def _scores(folder: Path, network: str = "") -> dict[str, float]:
    """Last epoch's scores on held-out target people, in per cent, of one network, by default the one a user gets."""
    scores = read_record(folder / "scores.json", "scores")["scores"]
    network = network or ("teacher" if "test/photo/teacher/pck@0.1" in scores else "student")
    groups = ("", "/shoulder", "/elbow", "/wrist", "/hip", "/knee", "/ankle")
    found = {f"PCK@0.1{group}": 100 * scores[f"test/photo/{network}/pck@0.1{group}"] for group in groups}
    return {"PCK@0.05": 100 * scores[f"test/photo/{network}/pck@0.05"], **found}


def _report(out: Path, table: dict[str, dict[str, float]], dataset: KeypointDataset, size: int, command: str) -> Path:
    page = HtmlPage("From synthetic people to photo-like people, without their labels")
    page.add_text(
        "A network was trained on the plain look, then adapted to the photo look from images alone. The table scores "
        "it on photo-look people that no training step has seen; their labels chose nothing. Every row has had the "
        "same number of source steps and shows the last epoch."
    )
    page.add_text(
        f'"{_STATISTICS}" is the network of "source only" with means and variances in its BatchNorm layers that were '
        "estimated on unlabeled photo-look people; no weight was adapted. What an adaptation gains over that row was "
        "learned, the rest is statistics. On real photos such statistics have cost accuracy, so no model is given them "
        "by default."
    )
    columns = list(next(iter(table.values())))
    page.add_table(["", *columns], [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in table.items()])
    page.add_heading("The first twelve held-out images")
    found = {
        name: _predict(_folder(out, name) / "checkpoints/last.ckpt", dataset, size, min(_EXAMPLES, len(dataset)))
        for name in ("source only", "HamiPose")
    }
    page.add_image(_panels(dataset, size, found), "Truth, source only, HamiPose. Left limbs orange, right limbs blue.")
    page.add_heading("How it went")
    metrics = {name: read_columns(_folder(out, name)) for name in table if name != _STATISTICS}

    def lines(key: str) -> dict[str, tuple[list[int], list[float]]]:
        return {name: columns[key] for name, columns in metrics.items() if key in columns}

    statistics = metrics["source only"].get(f"test/photo/{TARGET_STATISTICS}/pck@0.05", ([], []))
    page.add_png(
        plot_curves(
            {
                "PCK@0.05, held-out target": {**lines("test/photo/pck"), _STATISTICS: statistics},
                "source loss": lines("train/source_loss"),
                "conflict ratio": lines("train/conflict"),
            },
            log_scale=["source loss"],
        ),
        "The conflict ratio is the share of keypoints whose source and target gradients point away from each other.",
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
        "H = T + V of the Hamiltonian optimizer, and what the gate did.",
    )
    page.add_heading("To run it again")
    page.add_code(command)
    path = out / "report.html"
    page.write(path)
    return path


def main(arguments: Sequence[str]) -> None:
    """Run the demonstration.

    Args:
        arguments: command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose demo",
        description=__doc__,
        epilog="Other options are handed to every run, such as --data.batch_size 16.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for data, runs and the report")
    parser.add_argument("--seed", type=int, default=0, help="of training; the people stay the same")
    parser.add_argument(
        "--minutes", type=float, default=12, help="the mean teacher is left out where it would end later than this"
    )
    given, overrides = parser.parse_known_args(arguments)
    out: Path = given.out / f"seed{given.seed}"
    began = time.monotonic()

    def say(words: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        Console().print(f"[bold]{minutes:2d}:{seconds:02d}  {words}[/bold]")

    _check(overrides)
    _agree(out, overrides)
    say("Training on synthetic people of the plain look (what is missing of the data is made first)")
    _train("demo_start.yaml", out / "start", given.seed, *overrides)
    start = out / "start/checkpoints/last.ckpt"
    took = 0.0
    for name in ("source only", "HamiPose", "mean teacher"):
        folder = _folder(out, name)
        begun_at = time.monotonic()
        late = begun_at - began + took > 60 * given.minutes
        if name == "mean teacher" and late and not _scored(folder):
            say(f"Mean teacher left out, it would end after {given.minutes:g} minutes: the same command again adds it")
            continue
        say({"source only": "The same for longer: source only"}.get(name, f"Adapting to the photo look: {name}"))
        _train(_METHODS[name], folder, given.seed, "--model.init_args.training.init_from", str(start), *overrides)
        took = time.monotonic() - begun_at
    table = _table(out)
    dataset, size = _held_out(out / "HamiPose")
    command = " ".join(("python -m hamipose demo", "--out", str(given.out), "--seed", str(given.seed), *overrides))
    path = _report(out, table, dataset, size, command)

    shown = Table(title="Held-out people of the photo look, PCK in % (joints: @0.1), last epoch", padding=0)
    shown.add_column("", no_wrap=True)
    for column in next(iter(table.values())):
        shown.add_column(column.removeprefix("PCK@0.1/").removeprefix("PCK"), justify="right", no_wrap=True)
    for name, row in table.items():
        shown.add_row(name, *(f"{value:.1f}" for value in row.values()))
    Console().print(shown)
    ours, bare, statistics = (table[name]["PCK@0.1"] for name in ("HamiPose", "source only", _STATISTICS))
    say(
        f"HamiPose against source only: {ours - bare:+.1f} points of PCK@0.1. Target statistics alone: "
        f"{statistics - bare:+.1f}. Pictures and curves: {path}"
    )
