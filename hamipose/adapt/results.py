"""Results of an adaptation: compare the model before and after it, write the files and the HTML page."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hamipose.adapt.hardware import Machine
from hamipose.adapt.labeled_score import compute_labeled_pck
from hamipose.adapt.preview import compute_preview, draw_comparison, sample_footage
from hamipose.adapt.self_consistency import SelfConsistency, comparison_rows, find_warnings, measure_self_consistency
from hamipose.adapt.spec import AdaptationSpec
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.engine.metrics_file import read_columns
from hamipose.inference.predictor import Predictor
from hamipose.inference.writers import write_coco
from hamipose.io.atomic_file import write_text
from hamipose.models.batchnorm import batchnorm_layers
from hamipose.models.model_io import save_model_folder
from hamipose.viz.figures import plot_curves
from hamipose.viz.html import HtmlPage

__all__ = ["write_results"]

_PREVIEW_COUNT = 200  # people on which the indicators are measured


def write_results(
    spec: AdaptationSpec,
    machine: Machine,
    before_model: Predictor,
    after_model: Predictor,
    labeled: CocoKeypoints | None,
    elapsed: Callable[[], float],
    log: Callable[[str], None],
) -> list[str]:
    """Write the adapted model, both models' predictions, the indicators and the HTML page; log a summary.

    Args:
        spec: the options.
        machine: the hardware.
        before_model: the model that adaptation started from.
        after_model: the adapted model.
        labeled: labeled images of the footage; None if there are none.
        elapsed: returns the seconds since the start.
        log: receives the summary, one line at a time.

    Returns:
        Warnings that adaptation may have harmed the model.
    """
    models = {"before": before_model, "after": after_model}
    save_model_folder(spec.out, after_model.network, after_model.info)
    people, is_video = sample_footage(spec, _PREVIEW_COUNT)
    preview = compute_preview(people, models)
    for name, predictions in preview.predictions.items():
        write_coco(spec.out / f"{name}.json", predictions, after_model.skeleton)
    # With boxes the crop moves between frames, or shows another person, so jerk would be meaningless.
    consecutive = is_video and spec.boxes is None
    before, after = (
        measure_self_consistency(model, preview.crops, consecutive=consecutive) for model in models.values()
    )
    warnings = find_warnings(before, after)
    seconds = elapsed()
    drawing = draw_comparison(preview, after_model.skeleton)
    page = _write_page(spec, before, after, warnings, drawing, f"{seconds / 60:.1f} minutes on {machine}.")
    scores = {} if labeled is None else {name: compute_labeled_pck(model, labeled) for name, model in models.items()}
    content = {
        "before": asdict(before),
        "after": asdict(after),
        "warnings": warnings,
        "labeled": scores,
        "statistics": {name: model.info.statistics for name, model in models.items()},
    }
    write_text(spec.out / "self_consistency.json", json.dumps(content, indent=1) + "\n")
    for name, old, new in comparison_rows(before, after):
        log(f"  {name:17} {old:>7} → {new}")
    for threshold in scores.get("before", {}):
        old_pck, new_pck = (100 * scores[name][threshold] for name in ("before", "after"))
        log(f"  PCK@{threshold:<4} {old_pck:16.1f} → {new_pck:.1f} % on the labeled images")
    if batchnorm_layers(after_model.network):
        log(f"  BatchNorm statistics: {before_model.info.statistics} → {after_model.info.statistics} images")
    for warning in warnings:
        log(f"Warning: {warning}. Check {page} before you use the model.")
    log(f"Model: {spec.out}. Images and curves: {page}")
    return warnings


def _write_page(
    spec: AdaptationSpec,
    before: SelfConsistency,
    after: SelfConsistency,
    warnings: list[str],
    drawing: np.ndarray,
    duration: str,
) -> Path:
    page = HtmlPage(f"Adapted to {spec.footage.name}")
    page.add_text(
        "Self-consistency indicators need no labels: they compare the predictions for a frame with those for the "
        "mirrored frame, the rotated frame and the neighboring frames. They are not accuracy: a model can agree with "
        "itself and be wrong."
    )
    page.add_table(["indicator", "before", "after"], comparison_rows(before, after))
    page.add_text("Warnings: " + "; ".join(warnings) + "." if warnings else "No warnings.")
    page.add_image(drawing, "Before and after on the same frames. Left limbs orange, right limbs blue.")
    metrics = read_columns(spec.out / "adapted")
    panels = {
        "losses": {n: metrics[f"train/{n}"] for n in ("source_loss", "target_loss") if f"train/{n}" in metrics},
        "teacher's confidence": {"target": metrics["train/confidence"]} if "train/confidence" in metrics else {},
        "conflict ratio": {"HamiPose": metrics["train/conflict"]} if "train/conflict" in metrics else {},
        "energy": {n: metrics[f"train/{n}"] for n in ("kinetic", "hamiltonian") if f"train/{n}" in metrics},
    }
    if panels := {name: lines for name, lines in panels.items() if lines}:
        page.add_png(plot_curves(panels, log_scale=["losses"]), "Training.")
    page.add_text(duration)
    path = spec.out / "report.html"
    page.write(path)
    return path
