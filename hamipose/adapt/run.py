"""Run an adaptation: find people, label the footage if a teacher is given, train, adapt, write the results."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hamipose.adapt.configs import adapt_config, labeled_set, target_set
from hamipose.adapt.estimate import count_missing_images, count_remaining_steps, estimate_minutes
from hamipose.adapt.hardware import Machine, with_network_of
from hamipose.adapt.labeled_score import check_labels
from hamipose.adapt.preview import sample_footage
from hamipose.adapt.results import write_results
from hamipose.adapt.spec import AdaptationSpec, check_spec
from hamipose.adapt.start import open_start_model, prepare_start_checkpoint, write_aligned_boxes
from hamipose.adapt.teacher import is_prediction_file, predict_with_teacher
from hamipose.config.config_file import instantiate
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.engine.run_record import check_same_request, has_checkpoints, write_request
from hamipose.errors import UserError
from hamipose.inference.box_file import detect_people
from hamipose.inference.detection import NO_DETECTOR, default_detector, open_detector
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from hamipose.io.atomic_file import write_text
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.training import train_in

__all__ = ["adapt"]


def adapt(spec: AdaptationSpec, machine: Machine, log: Callable[[str], None]) -> list[str]:
    """Adapt a model to the footage; the same call resumes an interrupted adaptation.

    Writes ``model.safetensors`` and ``config.yaml`` (the adapted model), ``before.json`` and ``after.json`` (keypoints
    of the same frames), ``self_consistency.json``, ``report.html``, and the run folders ``start`` and ``adapted``.

    Args:
        spec: the options.
        machine: the hardware.
        log: receives progress messages, one line at a time.

    Returns:
        Warnings that adaptation may have harmed the model.

    Raises:
        UserError: the footage, the labels or the starting model cannot be used.
    """
    begin = time.monotonic()
    start_model = None
    if spec.start is not None:
        start_model = open_start_model(spec.start)
        spec = replace(spec, settings=with_network_of(spec.settings, start_model.info))
    options = spec.recorded_options
    if has_checkpoints(spec.out):
        check_same_request(spec.out, options, "--out")
    check_spec(spec, log)
    spec, detector = _find_people(spec, log)
    if start_model is not None:
        spec = write_aligned_boxes(spec, start_model)
    if next(sample_footage(spec, 1)[0], None) is None:
        raise UserError(f"nothing in {spec.footage} could be read; give a folder of images or a video")
    pseudo_labels = spec.teacher
    if pseudo_labels is not None and not is_prediction_file(pseudo_labels):
        pseudo_labels = str(predict_with_teacher(spec, detector, log))
    target = target_set(spec.footage, spec.boxes, spec.frame_stride, pseudo_labels)
    if pseudo_labels is not None:
        instantiate(target).prepare()
    test, labeled = None, None
    if spec.labels is not None:
        test = labeled_set(spec.footage, Path(spec.labels), "image" if spec.boxes is None else "person")
        labeled = CocoKeypoints(**test["init_args"])
        check_labels(labeled)
    trains_start = _log_estimate(spec, machine, start_model, log)
    if not has_checkpoints(spec.out):
        spec.out.mkdir(parents=True, exist_ok=True)
        write_request(spec.out, options)
    if trains_start:
        log("Training on the source (missing built-in people are rendered first)")
    start = prepare_start_checkpoint(spec, start_model, _fit)
    log(f"Adapting to {spec.footage}")
    folder, size = spec.out / "adapted", spec.settings.image_size
    config = adapt_config(
        spec.settings,
        folder,
        spec.cache,
        spec.source,
        spec.seed,
        target=target,
        start=start,
        test=test,
        quantized=load(start, device="cpu", image_size=size).info.quantized,
        pretrained=start_model is not None and isinstance(start_model.network, FinetunableNetwork),
    )
    _fit(config, folder)
    log("Comparing the models before and after adaptation")
    before = load(start, image_size=size)
    after = load(folder / "checkpoints" / "last.ckpt", image_size=size)
    return write_results(spec, machine, before, after, labeled, lambda: time.monotonic() - begin, log)


def _fit(config: dict[str, Any], folder: Path) -> None:
    """Start or resume a run; do nothing if it is finished."""
    path = folder / "run.yaml"
    if not (folder / "scores.json").exists():
        write_text(path, yaml.safe_dump(config, sort_keys=False))
    train_in(folder, ["--config", str(path)])


def _find_people(spec: AdaptationSpec, log: Callable[[str], None]) -> tuple[AdaptationSpec, PersonDetector | None]:
    """Return the options with the boxes of detected people, and the detector; None if there is none."""
    path = spec.out / "boxes.json"
    if spec.boxes is not None or spec.detector == NO_DETECTOR:
        return spec, None
    detector: PersonDetector | None
    if spec.detector is not None:
        detector = open_detector(spec.detector, spec.detector_threshold)
    elif has_checkpoints(spec.out) and not path.exists():  # no detector was installed when the run began
        return spec, None
    else:
        detector, line = default_detector(spec.detector_threshold)
        log(line)
        if detector is None:
            return (replace(spec, boxes=str(path), frame_stride=1) if path.exists() else spec), None
    if not path.exists():
        log(f"Looking for people with {detector.name}")
    required = spec.detector is not None
    found = detect_people(
        str(spec.footage), detector, path, frame_stride=spec.frame_stride, keep_existing=True, required=required
    )
    log(f"{found}: boxes in {path}" if found.people else "no person found: whole images are used")
    if found.unreadable:
        log(f"skipped: {len(found.unreadable)} images that could not be read, such as {found.unreadable[0]}")
    if not found.people:
        return spec, None
    return replace(spec, boxes=str(path), frame_stride=1), detector


def _log_estimate(
    spec: AdaptationSpec, machine: Machine, start_model: Predictor | None, log: Callable[[str], None]
) -> bool:
    """Log how long the remaining work will take; return whether it includes training on the source."""
    settings = spec.settings
    adapt_steps = count_remaining_steps(spec.out / "adapted", settings.adapt_steps)
    start_steps = 0 if spec.start is not None else count_remaining_steps(spec.out / "start", settings.start_steps)
    renders = spec.source is None and start_steps + adapt_steps > 0
    network = None if start_model is None else start_model.network
    if isinstance(network, FinetunableNetwork):
        network.train_only(settings.trained)
    minutes = estimate_minutes(
        settings,
        machine,
        start_steps=start_steps,
        adapt_steps=adapt_steps,
        images=count_missing_images(settings, spec.cache) if renders else 0,
        network=network,
    )
    log(
        f"{settings.backbone} at {settings.image_size} px on {machine}: about {max(1, round(minutes))} minutes "
        "remaining"
    )
    return start_steps > 0
