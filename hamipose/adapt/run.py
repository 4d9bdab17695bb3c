"""An adaptation from beginning to end: start, adaptation, what came of it. The same call goes on where it stopped."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hamipose.adapt.configs import adapt_config, labeled_set, target_set
from hamipose.adapt.hardware import Machine, estimate_minutes
from hamipose.adapt.labeled_score import check_labels, labeled_pck
from hamipose.adapt.preview import frames, look, side_by_side
from hamipose.adapt.progress import pictures_to_make, steps_left
from hamipose.adapt.self_consistency import Signs, read_signs, rows, warnings
from hamipose.adapt.spec import Request
from hamipose.adapt.start import align, open_given, starting_checkpoint
from hamipose.adapt.teacher import is_file_of_predictions, predicted_by
from hamipose.adapt.validation import check_request
from hamipose.config.config_file import instantiate
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.engine.metrics_file import read_columns
from hamipose.engine.run_record import check_same_request, has_checkpoints, write_request
from hamipose.errors import UserError
from hamipose.inference.box_file import detect_people
from hamipose.inference.detection import NO_DETECTOR, default_detector, open_detector
from hamipose.inference.loading import load
from hamipose.inference.writers import write_coco
from hamipose.io.atomic_file import write_text
from hamipose.models.batchnorm import batchnorm_layers
from hamipose.models.model_io import save_model_folder
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.training import train_in
from hamipose.viz.html import HtmlPage, plot_curves

__all__ = ["adapt"]

_LOOKED_AT = 200  # people that signs are read from


def _fit(config: dict[str, Any], folder: Path) -> None:
    """One run: finished, gone on with, or begun."""
    path = folder / "run.yaml"
    if not (folder / "scores.json").exists():
        write_text(path, yaml.safe_dump(config, sort_keys=False))
    train_in(folder, ["--config", str(path)])


def _with_people(request: Request, say: Callable[[str], None]) -> tuple[Request, PersonDetector | None]:
    """Return the request with boxes of the people that a detector finds, looked for once, and the detector."""
    path = request.out / "boxes.json"
    if request.boxes is not None or request.detector == NO_DETECTOR:
        return request, None
    detector: PersonDetector | None
    if request.detector is not None:
        detector = open_detector(request.detector, request.detector_threshold)
    elif has_checkpoints(request.out) and not path.exists():  # no detector was here when the run began
        return request, None
    else:
        detector, line = default_detector(request.detector_threshold)
        say(line)
        if detector is None:
            return (replace(request, boxes=str(path), frame_stride=1) if path.exists() else request), None
    if not path.exists():
        say(f"Looking for people with {detector.name}")
    asked = request.detector is not None
    found = detect_people(
        str(request.footage), detector, path, frame_stride=request.frame_stride, fixed=True, required=asked
    )
    say(f"{found}: boxes in {path}" if found.people else "no person is found: whole pictures are used")
    if found.unreadable:
        say(f"left out: {len(found.unreadable)} that could not be read, such as {found.unreadable[0]}")
    if not found.people:
        return request, None
    return replace(request, boxes=str(path), frame_stride=1), detector


def _page(request: Request, before: Signs, after: Signs, doubts: list[str], picture: np.ndarray, took: str) -> Path:
    page = HtmlPage(f"Adapted to {request.footage.name}")
    page.add_text(
        "Signs that need no labels: what the model says of the same frames when they are mirrored, turned, or follow "
        "each other. They are not accuracy: a model can agree with itself and be wrong."
    )
    page.add_table(["sign", "before", "after"], rows(before, after))
    page.add_text("What speaks against it: " + "; ".join(doubts) + "." if doubts else "Nothing here speaks against it.")
    page.add_image(picture, "Before and after on the same frames. Left limbs orange, right limbs blue.")
    metrics = read_columns(request.out / "adapted")
    panels = {
        "losses": {n: metrics[f"train/{n}"] for n in ("source_loss", "target_loss") if f"train/{n}" in metrics},
        "teacher's confidence": {"target": metrics["train/confidence"]} if "train/confidence" in metrics else {},
        "conflict ratio": {"HamiPose": metrics["train/conflict"]} if "train/conflict" in metrics else {},
        "energy": {n: metrics[f"train/{n}"] for n in ("kinetic", "hamiltonian") if f"train/{n}" in metrics},
    }
    if drawn := {name: lines for name, lines in panels.items() if lines}:
        page.add_png(plot_curves(drawn, log_scale=["losses"]), "Training.")
    page.add_text(took)
    path = request.out / "report.html"
    page.write(path)
    return path


def adapt(request: Request, machine: Machine, say: Callable[[str], None]) -> list[str]:
    """Make a model, adapt it to the footage, and tell what came of it.

    Writes ``model.safetensors`` and ``config.yaml`` (the adapted model), ``before.json`` and ``after.json`` (keypoints
    of the same frames), ``signs.json``, ``report.html``, and the runs ``start`` and ``adapted``.

    Args:
        request: what is asked for.
        machine: where.
        say: is told what happens, a line at a time.

    Returns:
        What speaks for adaptation having hurt.

    Raises:
        UserError: the footage, the labels or the starting model cannot be used.
    """
    began = time.monotonic()
    plan = request.plan
    given = None
    if request.start is not None:
        given = open_given(request.start)
        info = given.info
        plan = replace(plan, backbone=info.backbone, deconv_channels=info.deconv_channels, weights="none")
        plan = replace(plan, image_size=info.image_size)
        request = replace(request, plan=plan)
    decisive = request.decisive
    if has_checkpoints(request.out):
        check_same_request(request.out, decisive, "--out")
    check_request(request, say)
    request, detector = _with_people(request, say)
    if given is not None:
        request = align(request, given)
    if next(frames(request, 1)[0], None) is None:  # before anything is trained
        raise UserError(f"nothing in {request.footage} could be read; give a folder of pictures or a video")
    labels = request.teacher
    if labels is not None and not is_file_of_predictions(labels):
        labels = str(predicted_by(request, detector, say))
    target = target_set(request.footage, request.boxes, request.frame_stride, labels)
    if labels is not None:
        instantiate(target).prepare()
    test, labeled = None, None
    if request.labels is not None:
        test = labeled_set(request.footage, Path(request.labels), "image" if request.boxes is None else "person")
        labeled = CocoKeypoints(**test["init_args"])
        check_labels(labeled)
    adapt_steps = steps_left(request.out / "adapted", plan.adapt_steps)
    start_steps = 0 if request.start is not None else steps_left(request.out / "start", plan.start_steps)
    pictures = pictures_to_make(plan, request.cache) if request.source is None and start_steps + adapt_steps else 0
    network = None if given is None else given.network
    if isinstance(network, FinetunableNetwork):
        network.train_only(plan.trained)
    left = {"start_steps": start_steps, "adapt_steps": adapt_steps, "pictures": pictures}
    minutes = estimate_minutes(plan, machine, **left, network=network)
    say(f"{plan.backbone} at {plan.image_size} px on {machine}: about {max(1, round(minutes))} min to go")
    if not has_checkpoints(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
        write_request(request.out, decisive)
    if start_steps:
        say("Training on the source (what is missing of built-in people is made first)")
    start = starting_checkpoint(request, given, _fit)
    say(f"Adapting to {request.footage}")
    folder = request.out / "adapted"
    config = adapt_config(
        plan,
        folder,
        request.cache,
        request.source,
        request.seed,
        target=target,
        start=start,
        test=test,
        quantized=load(start, device="cpu", image_size=plan.image_size).info.quantized,
        pretrained=given is not None and isinstance(given.network, FinetunableNetwork),
    )
    _fit(config, folder)

    say("Looking at what came of it")
    before_model = load(start, image_size=plan.image_size)
    after_model = load(folder / "checkpoints" / "last.ckpt", image_size=plan.image_size)
    models = {"before": before_model, "after": after_model}
    save_model_folder(request.out, after_model.network, after_model.info)
    people, moving = frames(request, _LOOKED_AT)
    seen = look(people, models)
    for name, found in seen.found.items():
        write_coco(request.out / f"{name}.json", found, after_model.skeleton)
    consecutive = moving and request.boxes is None  # from box to box the crop moves, or the person is another
    before, after = (read_signs(model, seen.crops, consecutive=consecutive) for model in models.values())
    doubts = warnings(before, after)
    seconds = time.monotonic() - began
    picture = side_by_side(seen, after_model.skeleton)
    page = _page(request, before, after, doubts, picture, f"{seconds / 60:.1f} minutes on {machine}.")
    scores = {} if labeled is None else {n: labeled_pck(m, labeled) for n, m in models.items()}
    statistics = {name: model.info.statistics for name, model in models.items()}
    content = {"before": asdict(before), "after": asdict(after), "doubts": doubts, "labeled": scores}
    content["statistics"] = statistics
    write_text(request.out / "signs.json", json.dumps(content, indent=1) + "\n")
    for name, old, new in rows(before, after):
        say(f"  {name:17} {old:>7} → {new}")
    for threshold in scores.get("before", {}):
        was, now = (100 * scores[name][threshold] for name in ("before", "after"))
        say(f"  PCK@{threshold:<4} {was:16.1f} → {now:.1f} % on the labeled pictures")
    if batchnorm_layers(after_model.network):
        say(f"  BatchNorm statistics: {before_model.info.statistics} → {after_model.info.statistics} images'")
    for doubt in doubts:
        say(f"Careful: {doubt}. Look at {page} before you use the model.")
    say(f"The model is in {request.out}, pictures and curves in {page}")
    return doubts
