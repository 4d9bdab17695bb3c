"""A run's folder as one HTML page: scores, losses, conflicts by keypoint, gate, energy, pictures. No network needed."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from hamipose.engine.metrics_file import read_columns
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage, read_image
from hamipose.io.json_file import read_record
from hamipose.io.yaml_file import read_yaml
from hamipose.viz.html import HtmlPage, plot_curves

__all__ = ["keypoint_maps", "write_run_page"]

Column = tuple[Sequence[int | float], Sequence[int | float]]
_PER_KEYPOINT = {"conflict": "conflict ratio", "weight": "source weight w", "openness": "gate φ"}


def keypoint_maps(columns: Mapping[str, Column]) -> bytes | None:
    """Conflict ratio, source weight and gate of each keypoint over the run, as a PNG; None where none was logged.

    Args:
        columns: of a CSV logger, see `read_columns`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {}
    for quantity, title in _PER_KEYPOINT.items():
        prefix = f"train/{quantity}/"
        rows = {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}
        if rows:
            found[title] = rows
    if not found:
        return None
    count = max(len(rows) for rows in found.values())
    figure = Figure(figsize=(5 * len(found), 1.2 + 0.2 * count), layout="constrained")
    for position, (title, rows) in enumerate(found.items(), 1):
        axes = figure.add_subplot(1, len(found), position)
        names = sorted(rows, key=lambda name: (name.removeprefix("left_").removeprefix("right_"), name))
        steps = rows[names[0]][0]
        values = np.array([rows[name][1] for name in names])
        weights = title == _PER_KEYPOINT["weight"]  # around 1; the others are shares
        bounds = (min(0.0, float(values.min())), max(2.0, float(values.max()))) if weights else (0.0, 1.0)
        image = axes.imshow(
            values,
            aspect="auto",
            interpolation="nearest",
            cmap="viridis" if not weights else "coolwarm",
            vmin=bounds[0],
            vmax=bounds[1],
            extent=(float(steps[0]), float(max(steps[-1], steps[0] + 1)), len(names) - 0.5, -0.5),
        )
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=7)
        axes.set_xlabel("step")
        axes.set_title(title)
        figure.colorbar(image, ax=axes)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _lines(columns: Mapping[str, Column], names: Mapping[str, str]) -> dict[str, Column]:
    return {shown: columns[name] for shown, name in names.items() if name in columns}


def _score_rows(scores: Mapping[str, float]) -> tuple[list[str], list[list[str]]]:
    """A row for each set, network and threshold; a column for each group of joints."""
    table: dict[str, dict[str, float]] = {}
    for key, value in scores.items():
        name, found, rest = key.partition("/pck@")
        if found and "/" in name:
            threshold, _, group = rest.partition("/")
            table.setdefault(f"{name} @{threshold}", {})[group or "all"] = 100 * value
    groups = list(dict.fromkeys(["all", *(group for row in table.values() for group in row)]))
    return ["PCK, %", *groups], [[n, *(f"{r[g]:.1f}" if g in r else "" for g in groups)] for n, r in table.items()]


def _energy_words(columns: Mapping[str, Column]) -> str:
    steps, energy = columns["train/hamiltonian"]
    change = energy[-1] - energy[0]
    return (
        f"H = T + V, kinetic energy of the optimizer and the loss it descends on: {energy[0]:.4g} at step {steps[0]}, "
        f"{energy[-1]:.4g} at step {steps[-1]} ({change:+.3g}). With friction it falls."
    )


def write_run_page(folder: Path) -> Path:
    """Writes ``report.html`` into a run's folder.

    Args:
        folder: with the ``metrics.csv`` of a CSV logger; ``scores.json``, ``config.yaml`` and ``images/`` are shown
            where they are.

    Returns:
        The page.

    Raises:
        UserError: there is no metrics.csv, or nothing in it yet.
    """
    if not (folder / "metrics.csv").is_file():
        raise UserError(f"{folder} holds no metrics.csv; expected the folder of a run with lightning's CSVLogger")
    columns: dict[str, Column] = dict(read_columns(folder))
    if not columns:
        raise UserError(f"{folder / 'metrics.csv'} holds no numbers; ask again when the run has written some")
    path = folder / "config.yaml"
    config = read_yaml(path, "config", "the options of a run") if path.is_file() else {}
    model = config.get("model")
    method = str(model.get("class_path", "a run") if isinstance(model, dict) else "a run").rpartition(".")[2]
    page = HtmlPage(f"{method}: {folder.name}")
    if (folder / "scores.json").is_file():
        header, rows = _score_rows(read_record(folder / "scores.json", "scores")["scores"])
        page.add_heading("Last epoch")
        page.add_table(header, rows)
        page.add_text("val is the source's validation set; test/… are held-out target sets, whose labels chose nothing.")
    page.add_heading("Training")
    pck = {name.removesuffix("/pck"): columns[name] for name in sorted(columns) if name.endswith("/pck")}
    panels = {
        "losses": _lines(columns, {"source": "train/source_loss", "target": "train/target_loss"}),
        "PCK@0.05 of the network a user gets": pck,
        "learning rate": _lines(columns, {"lr": "train/lr"}),
    }
    page.add_png(plot_curves({t: lines for t, lines in panels.items() if lines}, log_scale=["losses"]), "Losses and scores.")
    gate = {
        "conflict ratio, mean": _lines(columns, {"keypoints with ρ < 0": "train/conflict"}),
        "gate": _lines(columns, {"φ": "train/openness", "c": "train/confidence", "ρ": "train/cosine"}),
        "source weight w": _lines(columns, {"mean": "train/weight", "share below 0": "train/weight_negative"}),
    }
    if any(gate.values()):
        page.add_heading("Source against target")
        page.add_png(plot_curves({t: lines for t, lines in gate.items() if lines}), "Means over keypoints.")
    maps = keypoint_maps(columns)
    if maps is not None:
        page.add_png(maps, "By keypoint. The conflict ratio is the share of steps whose two gradients point apart.")
    groups: dict[str, dict[str, Column]] = {}
    for name in sorted(columns):
        network, found, group = name.partition("/pck@0.05/")
        if found and name.startswith("test/"):
            groups.setdefault(network.removeprefix("test/"), {})[group] = columns[name]
    if groups:
        page.add_png(plot_curves(groups), "PCK@0.05 on held-out target sets by joint group.")
    energy = _lines(columns, {"H": "train/hamiltonian", "T": "train/kinetic", "V": "train/potential"})
    if energy:
        page.add_heading("Energy")
        motion = {"energy": energy}
        motion["gradient norm"] = _lines(columns, {"": "train/gradient_norm"})
        motion["step of the last layer, RMS"] = _lines(columns, {"": "train/head_step_rms"})
        page.add_png(plot_curves({t: lines for t, lines in motion.items() if lines}), "What the optimizer does.")
        if "train/hamiltonian" in columns:
            page.add_text(_energy_words(columns))
    last: dict[str, Path] = {}
    for path in sorted((folder / "images").glob("*.png")):
        last[path.stem.rpartition("-")[0]] = path
    if last:
        page.add_heading("Predictions")
    for name, path in last.items():
        try:
            page.add_image(read_image(path), f"{name}, {path.stem.rpartition('-')[2]} steps")
        except UnreadableImage as error:  # such as one that a run is about to write
            page.add_text(str(error))
    if config:
        page.add_heading("Config")
        page.add_code(yaml.safe_dump(config, sort_keys=False))
    page.write(folder / "report.html")
    return folder / "report.html"
