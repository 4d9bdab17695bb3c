"""An adaptation from beginning to end: start, adaptation, what came of it. The same call goes on where it stopped."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import UInt8

from hamipose.adapt.configs import adapt_config, labelled_set, start_config, target_set
from hamipose.adapt.labelled import labelled_pck
from hamipose.adapt.plan import Machine, Plan, estimate_minutes
from hamipose.adapt.signs import Signs, read_signs, rows, warnings
from hamipose.affine import apply_points, crop_matrix
from hamipose.cli.training import run as run_verb
from hamipose.data.coco import CocoKeypoints
from hamipose.data.views import warp
from hamipose.draw import draw_keypoints, grid, label
from hamipose.errors import InputError
from hamipose.inference.detecting import find_people, open_detector
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import Prediction, Predictor, load
from hamipose.inference.writers import write_coco
from hamipose.models.folder import save_folder
from hamipose.report import Page, curves
from hamipose.running.metrics_file import read_metrics
from hamipose.types import UnlabelledSample

__all__ = ["Request", "adapt"]

_SHOWN, _LOOKED_AT = 8, 200  # frames in the picture, frames that signs are read from


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        footage: a folder of pictures or a video.
        out: folder of the result.
        plan: sizes and lengths.
        seed: of training.
        start: a model to start from; one is trained on the source where None.
        source: a labelled set as class path and arguments; built-in people where None.
        boxes: COCO file with a box for each person.
        detector: finds the people where no boxes are given, as `hamipose.inference.detecting.open_detector` says.
        detector_least: least score of a detected person; its own where None.
        every: use every n-th frame of a video.
        labels: COCO keypoint file of a few of the pictures, for a score; they choose nothing.
        cache: where built-in people are kept.
    """

    footage: Path
    out: Path
    plan: Plan
    seed: int = 0
    start: Path | None = None
    source: dict[str, Any] | None = None
    boxes: str | None = None
    detector: str | None = None
    detector_least: float | None = None
    every: int = 1
    labels: str | None = None
    cache: Path = Path("cache/people")


def _fit(config: dict[str, Any], folder: Path) -> None:
    """One run: finished, gone on with, or begun."""
    if (folder / "scores.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    last = folder / "checkpoints" / "last.ckpt"
    run_verb(["fit", "--config", str(path), *(["--ckpt_path", str(last)] if last.exists() else [])])


def _as_checkpoint(model: Predictor, path: Path) -> Path:
    """A model as the kind of file that training starts from."""
    info = model.info
    if info.maps == "log-densities":
        raise InputError(f"{info.method} finds logarithms of densities; adaptation starts from heatmaps: give another")
    network: Any = model.network if info.maps == "heatmaps" else model.network.network
    state = {f"network.{name}": value.cpu() for name, value in network.state_dict().items()}
    hparams = {
        "method": info.method,
        "skeleton": info.skeleton,
        "backbone": info.backbone,
        "deconv_channels": list(info.deconv_channels),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "hyper_parameters": hparams, "image_size": info.image_size}, path)
    return path


def _start(request: Request) -> Path:
    """The checkpoint that adaptation starts from."""
    if request.start is not None:
        return _as_checkpoint(load(request.start, device="cpu"), request.out / "start" / "given.ckpt")
    folder = request.out / "start"
    _fit(start_config(request.plan, folder, request.cache, request.source, request.seed), folder)
    return folder / "checkpoints" / "last.ckpt"


def _frames(request: Request, count: int) -> tuple[list[UnlabelledSample], bool]:
    """People to look at, and whether they are of a video: its first frames, else, or with boxes, some from all over."""
    footage = open_footage(str(request.footage), boxes=request.boxes, every=request.every)
    step = max(1, (footage.count or 0) // count)
    if footage.moving:
        step = 1 if request.boxes is None else step
        return list(islice(footage.samples, 0, count * step, step)), True
    footage = open_footage(str(request.footage), boxes=request.boxes, every=step, limit=count)
    return list(footage.samples), False


def _with_people(request: Request, say: Callable[[str], None]) -> Request:
    """With boxes of the people that the detector finds, looked for once."""
    if request.detector is None:
        return request
    detector = open_detector(request.detector, request.detector_least)
    path = request.out / "boxes.json"
    if not path.exists():
        say(f"Looking for people with {detector.name}")
    found = find_people(str(request.footage), detector, path, every=request.every, fixed=True)
    say(f"{found}: boxes in {path}")
    if found.unreadable:
        say(f"left out: {len(found.unreadable)} that could not be read, such as {found.unreadable[0]}")
    return replace(request, boxes=str(path), every=1)


def _side_by_side(
    frames: list[UnlabelledSample], found: dict[str, list[Prediction]], model: Predictor, side: int = 224
) -> UInt8[np.ndarray, "height width 3"]:
    """A row for each frame: what each model says."""
    tiles = []
    for place in np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round().astype(int):
        matrix = crop_matrix(frames[place].box_px, side)
        image = warp(frames[place].image, matrix, side)
        for name, people in found.items():
            points = apply_points(matrix, people[place].keypoints_px.astype(np.float64)).astype(np.float32)
            tiles.append(label(draw_keypoints(image, points, model.skeleton), name))
    return grid(tiles, columns=2 * len(found))


def _page(request: Request, before: Signs, after: Signs, doubts: list[str], picture: np.ndarray, took: str) -> Path:
    page = Page(f"Adapted to {request.footage.name}")
    page.text(
        "Signs that need no labels: what the model says of the same frames when they are mirrored, turned, or follow "
        "each other. They are not accuracy: a model can agree with itself and be wrong."
    )
    page.table(["sign", "before", "after"], rows(before, after))
    page.text("What speaks against it: " + "; ".join(doubts) + "." if doubts else "Nothing here speaks against it.")
    page.image(picture, "Before and after on the same frames. Left limbs orange, right limbs blue.")
    metrics = read_metrics(request.out / "adapted" / "metrics.csv")
    panels = {
        "losses": {n: metrics[f"train/{n}"] for n in ("source_loss", "target_loss") if f"train/{n}" in metrics},
        "teacher's confidence": {"target": metrics["train/confidence"]} if "train/confidence" in metrics else {},
        "conflict ratio": {"HamiPose": metrics["train/conflict"]} if "train/conflict" in metrics else {},
        "energy": {n: metrics[f"train/{n}"] for n in ("kinetic", "hamiltonian") if f"train/{n}" in metrics},
    }
    page.picture(curves({name: lines for name, lines in panels.items() if lines}, log_scale=["losses"]), "Training.")
    page.text(took)
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
        InputError: the footage, the labels or the starting model cannot be used.
    """
    began = time.monotonic()
    request = _with_people(request, say)
    frames, moving = _frames(request, _LOOKED_AT)  # first of all, so that bad footage costs no training
    if not frames:
        raise InputError(f"nothing in {request.footage} could be read; give a folder of pictures or a video")
    plan = request.plan
    if request.start is not None:
        info = load(request.start, device="cpu").info
        plan = replace(plan, backbone=info.backbone, deconv_channels=info.deconv_channels, weights="none")
        plan = replace(plan, image_size=info.image_size)
        request = replace(request, plan=plan)
        if info.skeleton != "body16":
            raise InputError(f"{request.start} finds the keypoints of {info.skeleton}; built-in people have body16")
    report, labelled = None, None
    if request.labels is not None:
        report = labelled_set(request.footage, Path(request.labels), "image" if request.boxes is None else "person")
        labelled = CocoKeypoints(**report["init_args"])
        labelled.prepare()
    needs_start = request.start is None and not (request.out / "start" / "scores.json").exists()
    minutes = estimate_minutes(plan, machine, start=needs_start)
    say(f"{plan.backbone} at {plan.image_size} px on {machine}: about {max(1, round(minutes))} min to go")
    if needs_start:
        say("Training on the source (what is missing of built-in people is made first)")
    start = _start(request)
    say(f"Adapting to {request.footage}")
    target = target_set(request.footage, request.boxes, request.every)
    folder = request.out / "adapted"
    config = adapt_config(
        plan, folder, request.cache, request.source, request.seed, target=target, start=start, report=report
    )
    _fit(config, folder)

    say("Looking at what came of it")
    before_model = load(start, image_size=plan.image_size)
    after_model = load(folder / "checkpoints" / "last.ckpt", image_size=plan.image_size)
    models = {"before": before_model, "after": after_model}
    save_folder(request.out, after_model.network, after_model.info)
    found = {name: list(model.stream(frames)) for name, model in models.items()}
    for name, people in found.items():
        write_coco(request.out / f"{name}.json", people, after_model.skeleton, frames=moving)
    consecutive = moving and request.boxes is None  # from box to box the crop moves, or the person is another
    before, after = (read_signs(model, frames, consecutive=consecutive) for model in models.values())
    doubts = warnings(before, after)
    seconds = time.monotonic() - began
    picture = _side_by_side(frames, found, after_model)
    page = _page(request, before, after, doubts, picture, f"{seconds / 60:.1f} minutes on {machine}.")
    scores = {} if labelled is None else {n: labelled_pck(m, labelled) for n, m in models.items()}
    content = {"before": asdict(before), "after": asdict(after), "doubts": doubts, "labelled": scores}
    (request.out / "signs.json").write_text(json.dumps(content, indent=1) + "\n")
    for name, old, new in rows(before, after):
        say(f"  {name:17} {old:>7} → {new}")
    for threshold in scores.get("before", {}):
        was, now = (100 * scores[name][threshold] for name in ("before", "after"))
        say(f"  PCK@{threshold:<4} {was:16.1f} → {now:.1f} % on the labelled pictures")
    for doubt in doubts:
        say(f"Careful: {doubt}. Look at {page} before you use the model.")
    say(f"The model is in {request.out}, pictures and curves in {page}")
    return doubts
