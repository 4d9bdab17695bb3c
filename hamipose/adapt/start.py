"""The model that adaptation starts from: open it, save it as a checkpoint, and compute the crops that it expects."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hamipose.adapt.configs import start_config
from hamipose.adapt.spec import AdaptationSpec
from hamipose.data.datasets.footage.person_crops import coco_box_content
from hamipose.engine.checkpoints import AtomicCheckpoints
from hamipose.errors import UserError
from hamipose.inference.footage import open_footage
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_record
from hamipose.methods.network_factory import open_start
from hamipose.models.checkpoint import checkpoint_content
from hamipose.models.pretrained.interface import FinetunableNetwork

__all__ = ["open_start_model", "prepare_start_checkpoint", "write_aligned_boxes"]

_MARGIN = 1.25  # ratio of crop to box, as in the data sets that read boxes


def open_start_model(start: str | Path) -> Predictor:
    """Open a model to start from, with the keypoints of built-in people.

    Raises:
        UserError: it cannot be opened, or has other keypoints.
    """
    pretrained = open_start(start, "body16")
    if pretrained is not None:
        return Predictor(*pretrained, device="cpu")
    model = load(start, device="cpu")
    if model.info.skeleton != "body16":
        raise UserError(f"--start {start} predicts the keypoints of {model.info.skeleton}; expected body16")
    return model


def prepare_start_checkpoint(
    spec: AdaptationSpec, model: Predictor | None, fit: Callable[[dict[str, Any], Path], None]
) -> Path:
    """Return the checkpoint that adaptation starts from, after training or saving it if necessary.

    Args:
        spec: the options.
        model: the model to start from; None to train one.
        fit: function that trains with a config in a folder.
    """
    if model is not None:
        path = spec.out / "start" / "given.ckpt"
        if path.exists() and (spec.out / "adapted" / "checkpoints" / "last.ckpt").exists():
            return path
        AtomicCheckpoints().save_checkpoint(checkpoint_content(model.network, model.info), path)
        return path
    folder = spec.out / "start"
    fit(start_config(spec.settings, folder, spec.cache, spec.source, spec.seed), folder)
    return folder / "checkpoints" / "last.ckpt"


def write_aligned_boxes(spec: AdaptationSpec, model: Predictor) -> AdaptationSpec:
    """Write the crops that a pretrained network would use in `predict` to a box file, once.

    The network's alignment points rotate and scale the crops, so that it is adapted to the crops it will predict on.

    Args:
        spec: the options, with or without boxes.
        model: the model that adaptation starts from.

    Returns:
        The options with ``people.json`` as boxes; the same options for other networks.
    """
    if not isinstance(model.network, FinetunableNetwork):
        return spec
    path = spec.out / "people.json"
    info = {"upright": True, "boxes": spec.boxes, "frame_stride": spec.frame_stride, "start": str(spec.start)}
    if not path.exists() or read_record(path, "info").get("info") != info:
        sizes: dict[str, tuple[int, int]] = {}
        boxes: dict[str, list[list[float]]] = {}
        rotations: dict[str, list[float]] = {}
        footage = open_footage(str(spec.footage), boxes=spec.boxes, frame_stride=spec.frame_stride)
        for sample in model.align(footage.samples):
            image = sample.name.rpartition("#")[0] if spec.boxes is not None else sample.name
            video = not spec.footage.is_dir()
            name = Path(image).name if video else Path(image).relative_to(spec.footage).as_posix()
            height, width = sample.image.shape[:2]
            left, top, side, _ = (float(v) for v in sample.box_px)
            inner, margin = side / _MARGIN, side * (1 - 1 / _MARGIN) / 2
            sizes[name] = width, height
            boxes.setdefault(name, []).append([left + margin, top + margin, inner, inner, 1.0])
            rotations.setdefault(name, []).append(round(sample.rotation_deg, 2))
        content = coco_box_content(sizes, boxes, info)
        in_order = [rotation for name in sizes for rotation in rotations[name]]
        for annotation, rotation in zip(content["annotations"], in_order, strict=True):
            annotation["rotation_deg"] = rotation
        write_text(path, json.dumps(content) + "\n")
    return replace(spec, boxes=str(path), frame_stride=1)
