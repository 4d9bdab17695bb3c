"""The HTML report of a run: scores, losses, conflicts per keypoint, gate, energy, images; readable offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from hamipose.engine.metrics_file import read_columns
from hamipose.errors import UserError
from hamipose.evaluation.score_metrics import METRICS, PCK_METRIC
from hamipose.io.image_file import UnreadableImage, read_image
from hamipose.io.json_file import read_record
from hamipose.io.yaml_file import read_yaml
from hamipose.viz.figures import create_panels, encode_figure, estimate_text_width, plot_curves
from hamipose.viz.html import HtmlPage

__all__ = ["plot_keypoint_maps", "write_run_report"]

Column = tuple[Sequence[int | float], Sequence[int | float]]
_PER_KEYPOINT = {"conflict": "conflict ratio", "weight": "source weight w", "openness": "gate φ"}


def plot_keypoint_maps(columns: Mapping[str, Column]) -> bytes | None:
    """Plot conflict ratio, source weight and gate of each keypoint over the run.

    Args:
        columns: logged columns, see :func:`~hamipose.engine.metrics_file.read_columns`.

    Returns:
        A PNG; None if none of them was logged.
    """
    panels = {}
    for quantity, title in _PER_KEYPOINT.items():
        prefix = f"train/{quantity}/"
        rows = {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}
        if rows:
            panels[title] = rows
    if not panels:
        return None
    count = max(len(rows) for rows in panels.values())
    width, height = 3.4, 0.3 + 0.2 * count
    left = 0.2 + max(estimate_text_width(name, 7.0) for rows in panels.values() for name in rows)
    figure, row = create_panels([*panels], "step", width, height, left=left, right=0.75)
    for axes, (title, rows) in zip(row, panels.items(), strict=True):
        names = sorted(rows, key=lambda name: (name.removeprefix("left_").removeprefix("right_"), name))
        steps = rows[names[0]][0]
        values = np.array([rows[name][1] for name in names])
        weights = title == _PER_KEYPOINT["weight"]  # around 1; the others are fractions
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
        axes.locator_params(axis="x", nbins=5)
        place = axes.get_position()
        bar = figure.add_axes((place.x1 + 0.03 * place.width, place.y0, 0.04 * place.width, place.height))
        figure.colorbar(image, cax=bar, ticks=[bounds[0], sum(bounds) / 2, bounds[1]], format="%.3g")
        bar.tick_params(labelsize=8)
    return encode_figure(figure)


def _lines(columns: Mapping[str, Column], names: Mapping[str, str]) -> dict[str, Column]:
    return {shown: columns[name] for shown, name in names.items() if name in columns}


def _describe_energy(columns: Mapping[str, Column]) -> str:
    steps, energy = columns["train/hamiltonian"]
    change = energy[-1] - energy[0]
    return (
        f"H = T + V is the kinetic energy of the optimizer plus the loss that it minimizes: {energy[0]:.4g} at step "
        f"{steps[0]}, {energy[-1]:.4g} at step {steps[-1]} ({change:+.3g}). With friction it decreases."
    )


def write_run_report(folder: Path) -> Path:
    """Write ``report.html`` to the folder of a run, finished or not.

    Args:
        folder: contains the ``metrics.csv`` of a CSV logger, and optionally ``scores.json``, ``config.yaml`` and
            ``images/``.

    Returns:
        Path of the report.

    Raises:
        UserError: there is no metrics.csv, or it is empty.
    """
    if not (folder / "metrics.csv").is_file():
        raise UserError(f"{folder} contains no metrics.csv; expected the folder of a run with Lightning's CSVLogger")
    columns: dict[str, Column] = dict(read_columns(folder))
    if not columns:
        raise UserError(f"{folder / 'metrics.csv'} is empty; try again once the run has logged metrics")
    path = folder / "config.yaml"
    config = read_yaml(path, "config", "the options of a run") if path.is_file() else {}
    model = config.get("model")
    method = str(model.get("class_path", "a run") if isinstance(model, dict) else "a run").rpartition(".")[2]
    page = HtmlPage(f"{method}: {folder.name}")
    if (folder / "scores.json").is_file():
        page.add_heading("Last epoch")
        scores = read_record(folder / "scores.json", "scores")["scores"]
        for metric in METRICS:
            if rows := metric.rows(scores):
                table = metric.table(rows)
                page.add_table(table.header, table.rows)
        page.add_text("val is the source's validation set; test/… are held-out target sets, which select nothing.")
    page.add_heading("Training")
    headline = f"/{PCK_METRIC.name}"
    pck = {name.removesuffix(headline): columns[name] for name in sorted(columns) if name.endswith(headline)}
    panels = {
        "losses": _lines(columns, {"source": "train/source_loss", "target": "train/target_loss"}),
        "PCK@0.05 of the delivered network": pck,
        "learning rate": _lines(columns, {"lr": "train/lr"}),
    }
    page.add_png(
        plot_curves({t: lines for t, lines in panels.items() if lines}, log_scale=["losses"]), "Losses and scores."
    )
    gate = {
        "conflict ratio, mean": _lines(columns, {"keypoints with ρ < 0": "train/conflict"}),
        "gate": _lines(columns, {"φ": "train/openness", "c": "train/confidence", "ρ": "train/cosine"}),
        "source weight w": _lines(columns, {"mean": "train/weight", "fraction below 0": "train/weight_negative"}),
    }
    if any(gate.values()):
        page.add_heading("Source against target")
        page.add_png(plot_curves({t: lines for t, lines in gate.items() if lines}), "Means over keypoints.")
    maps = plot_keypoint_maps(columns)
    if maps is not None:
        page.add_png(maps, "Per keypoint. The conflict ratio is the fraction of steps with conflicting gradients.")
    groups: dict[str, dict[str, Column]] = {}
    for name in sorted(columns):
        score = PCK_METRIC.parse(name)
        if score and score.dataset != "val" and score.key == PCK_METRIC.keys[0] and score.group != "all":
            title = f"{score.dataset.removeprefix('test/')}/{score.network}"
            groups.setdefault(title, {})[score.group] = columns[name]
    if groups:
        page.add_png(plot_curves(groups), "PCK@0.05 on held-out target sets by keypoint group.")
    energy = _lines(columns, {"H": "train/hamiltonian", "T": "train/kinetic", "V": "train/potential"})
    if energy:
        page.add_heading("Energy")
        motion = {"energy": energy}
        motion["gradient norm"] = _lines(columns, {"": "train/gradient_norm"})
        motion["step of the last layer, RMS"] = _lines(columns, {"": "train/head_step_rms"})
        page.add_png(plot_curves({t: lines for t, lines in motion.items() if lines}), "State of the optimizer.")
        if "train/hamiltonian" in columns:
            page.add_text(_describe_energy(columns))
    last: dict[str, Path] = {}
    for path in sorted((folder / "images").glob("*.png")):
        last[path.stem.rpartition("-")[0]] = path
    if last:
        page.add_heading("Predictions")
    for name, path in last.items():
        try:
            page.add_image(read_image(path), f"{name}, {path.stem.rpartition('-')[2]} steps")
        except UnreadableImage as error:  # such as one that a run is writing
            page.add_text(str(error))
    if config:
        page.add_heading("Config")
        page.add_code(yaml.safe_dump(config, sort_keys=False))
    page.write(folder / "report.html")
    return folder / "report.html"
