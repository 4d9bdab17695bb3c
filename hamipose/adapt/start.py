"""What an adaptation starts from: any model, as the kind of file that training starts from, and its people's crops."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hamipose.adapt.configs import start_config
from hamipose.adapt.spec import Request
from hamipose.data.datasets.footage.boxes import coco_box_content
from hamipose.engine.checkpoints import AtomicCheckpoints
from hamipose.errors import UserError
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import Predictor, load
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_record
from hamipose.methods.network_factory import open_start
from hamipose.models.checkpoint import checkpoint_content
from hamipose.models.pretrained.interface import Start

__all__ = ["align", "open_given", "starting_checkpoint"]

_MARGIN = 1.25  # of boxes, by which crops are larger: data.people_boxes


def open_given(start: str | Path) -> Predictor:
    """Open a model to start from, with the keypoints of built-in people.

    Raises:
        UserError: it cannot be opened, or has other keypoints.
    """
    pretrained = open_start(start, "body16")
    if pretrained is not None:
        return Predictor(*pretrained, device="cpu")
    model = load(start, device="cpu")
    if model.info.skeleton != "body16":
        raise UserError(f"{start} finds the keypoints of {model.info.skeleton}; built-in people have body16")
    return model


def starting_checkpoint(request: Request, model: Predictor | None, fit: Callable[[dict[str, Any], Path], None]) -> Path:
    """Return the checkpoint that adaptation starts from, or started from; train one if no model is given.

    Args:
        request: what is asked for.
        model: that the request names, opened.
        fit: trains with a config, in a folder.
    """
    if model is not None:
        path = request.out / "start" / "given.ckpt"
        if path.exists() and (request.out / "adapted" / "checkpoints" / "last.ckpt").exists():
            return path
        AtomicCheckpoints().save_checkpoint(checkpoint_content(model.network, model.info), path)
        return path
    folder = request.out / "start"
    fit(start_config(request.plan, folder, request.cache, request.source, request.seed), folder)
    return folder / "checkpoints" / "last.ckpt"


def align(request: Request, model: Predictor) -> Request:
    """Write the crops that a pretrained network reads keypoints from, once, and use them as boxes.

    Its own alignment points turn and scale them, as `predict` does: what is adapted to is what is predicted on.

    Args:
        request: with or without boxes.
        model: what adaptation starts from.

    Returns:
        The request with ``people.json`` as its boxes, or as it was for other networks.
    """
    if not isinstance(model.network, Start):
        return request
    path = request.out / "people.json"
    about = {"upright": True, "boxes": request.boxes, "frame_stride": request.frame_stride, "start": str(request.start)}
    if not path.exists() or read_record(path, "info").get("info") != about:
        pictures: dict[str, tuple[int, int]] = {}
        people: dict[str, list[list[float]]] = {}
        turns: dict[str, list[float]] = {}
        footage = open_footage(str(request.footage), boxes=request.boxes, frame_stride=request.frame_stride)
        for sample in model.aligned(footage.samples):
            picture = sample.name.rpartition("#")[0] if request.boxes is not None else sample.name
            video = not request.footage.is_dir()
            name = Path(picture).name if video else Path(picture).relative_to(request.footage).as_posix()
            height, width = sample.image.shape[:2]
            left, top, side, _ = (float(v) for v in sample.box_px)
            inner, margin = side / _MARGIN, side * (1 - 1 / _MARGIN) / 2
            pictures[name] = width, height
            people.setdefault(name, []).append([left + margin, top + margin, inner, inner, 1.0])
            turns.setdefault(name, []).append(round(sample.rotation_deg, 2))
        content = coco_box_content(pictures, people, about)
        flat = [turn for name in pictures for turn in turns[name]]
        for annotation, turn in zip(content["annotations"], flat, strict=True):
            annotation["rotation_deg"] = turn
        write_text(path, json.dumps(content) + "\n")
    return replace(request, boxes=str(path), frame_stride=1)
