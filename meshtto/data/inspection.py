"""Check a data set's files and draw contact sheets: `data check` and `data show`."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.markup import escape

from hamipose.data.catalog.check import CheckResult, check_files, print_results
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage
from hamipose.viz.drawing import draw_label, make_grid
from meshtto.body import Body
from meshtto.body.painter import paint_mesh
from meshtto.data.augmentation import NO_AUGMENTATION, Augmentation
from meshtto.data.base import MeshDataset
from meshtto.data.catalog import MeshCatalogEntry
from meshtto.data.sampling import crop_sample
from meshtto.joints import JOINTS24, JOINTS49
from meshtto.types import MeshBatch

__all__ = ["check", "contact_sheet", "fit_translation"]

_LEFT, _RIGHT, _MIDDLE = (230, 159, 0), (86, 180, 233), (0, 158, 115)  # color-blind safe (Okabe and Ito)
_LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"))
)


def check(entry: MeshCatalogEntry, root: str, datasets: dict[str, MeshDataset], console: Console | None = None) -> bool:
    """Print what is present, what is missing, where to get it, and the resulting splits.

    Args:
        entry: the data set.
        root: its folder.
        datasets: its splits.
        console: output console.

    Returns:
        Whether the data set is complete.
    """
    console = console or Console()
    console.print(f"[bold]{escape(entry.title)}[/bold]")
    for title, text in (("terms ", entry.terms), ("labels", entry.labels), ("folder", root)):
        console.print(f"{title}  {escape(text)}", soft_wrap=True)
    files = check_files(Path(root), entry.files)
    splits = []
    if files and all(f.found == "none" for f in files):
        splits.append(CheckResult("all", "none until there are files", True))
    else:
        splits = [_check_split(name, dataset) for name, dataset in datasets.items()]
    return print_results(console, files, splits, entry.site, entry.obtain)


def _check_split(name: str, dataset: MeshDataset) -> CheckResult:
    try:
        dataset.prepare()
        count = len(dataset)
        some = [dataset[k] for k in sorted({0, count // 2, count - 1})]
    except UserError as error:
        return CheckResult(name, f"not usable: {error}", True)
    meshes = sum(sample.has_mesh for sample in some)
    solid = sum(bool(sample.joints_confidence.any()) for sample in some)
    flat = sum(bool(sample.keypoints_confidence.any()) for sample in some)
    return CheckResult(
        name,
        f"{count} people; of {len(some)} sampled, {meshes} have a mesh, {solid} 3D joints, {flat} 2D joints",
        False,
    )


def fit_translation(
    joints_m: Float[np.ndarray, "joint 3"],
    pixels: Float[np.ndarray, "joint 2"],
    weights: Float[np.ndarray, " joint"],
    focal_px: float,
    principal_px: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "3"]:
    r"""Fit a body's translation, in meters, to the projections of its joints.

    :math:`(u - c)(Z + t_z) = f (X + t_x)` is linear in t: weighted least squares.
    """
    offset = pixels - principal_px
    rows, targets = [], []
    for axis in range(2):
        left = np.zeros((len(joints_m), 3))
        left[:, axis], left[:, 2] = focal_px, -offset[:, axis]
        rows.append(left * weights[:, None])
        targets.append((offset[:, axis] * joints_m[:, 2] - focal_px * joints_m[:, axis]) * weights)
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]


def _color(name: str) -> tuple[int, int, int]:
    return _LEFT if "left_" in name else _RIGHT if "right_" in name else _MIDDLE


def _with_joints(
    image: UInt8[np.ndarray, "height width 3"],
    keypoints_px: Float[np.ndarray, "49 2"],
    confidence: Float[np.ndarray, "49"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw limbs of the data set's joints if known, else of OpenPose's, and dots for all joints."""
    canvas = np.ascontiguousarray(image).copy()
    for half in ("", "openpose_"):
        if half and confidence[len(JOINTS49) - len(JOINTS24) :].any():
            break
        for a, b in _LIMBS:
            i, j = JOINTS49.index(half + a), JOINTS49.index(half + b)
            if min(confidence[i], confidence[j]) > 0:
                start, end = (tuple(round(float(v) * 16) for v in keypoints_px[k]) for k in (i, j))
                cv2.line(canvas, start, end, _color(a), 2, cv2.LINE_AA, 4)
    for k in np.flatnonzero(confidence > 0):
        at = tuple(round(float(v) * 16) for v in keypoints_px[k])
        cv2.circle(canvas, at, 32, _color(JOINTS49[k]), -1, cv2.LINE_AA, 4)
    return canvas


def _with_mesh(image: UInt8[np.ndarray, "height width 3"], crop: MeshBatch, body: Body) -> np.ndarray:
    """Draw the labeled mesh where its joints project to the labeled joints."""
    with torch.inference_mode():
        out = body(crop.rotations, crop.shape)
    joints, vertices = out.joints_m[0].double().numpy(), out.vertices_m[0].double().numpy()
    zoom = image.shape[0] / float(crop.side_px)
    middle = (np.array(image.shape[1::-1]) - 1) / 2
    center, focal = crop.center_px[0].double().numpy(), float(crop.focal_px)
    virtual = (crop.keypoints_px[0].double().numpy() - middle) / zoom + center
    principal = (crop.image_size[0].double().numpy() - 1) / 2
    weights = crop.keypoints_confidence[0].double().numpy()
    posed = vertices + fit_translation(joints, virtual, weights, focal, principal)
    pixels = posed[:, :2] / np.maximum(posed[:, 2:], 1e-3) * focal + principal
    return paint_mesh(image, (pixels - center) * zoom + middle, posed, body.faces.numpy(), 0.75)


def contact_sheet(
    dataset: MeshDataset,
    count: int,
    size: tuple[int, int] = (256, 192),
    augmentation: Augmentation | None = None,
    bodies: dict[int, Body] | None = None,
    seed: int = 0,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a row per person: labels, 2D evidence, labeled mesh, two augmented views; left is orange, right is blue.

    Args:
        dataset: the data set; people are drawn from all of it.
        count: number of people.
        size: height and width of the crops.
        augmentation: augmentation of the views.
        bodies: gender → body of the labels; without it no mesh is drawn.
        seed: random seed of people and views.
    """
    rng = np.random.default_rng(seed)
    augmentation, bodies = augmentation or Augmentation(), bodies or {}
    images = []
    for index in np.sort(rng.choice(len(dataset), min(count, len(dataset)), replace=False)):
        try:
            sample = dataset[int(index)]
        except UnreadableImage as error:
            images += [draw_label(np.full((*size, 3), 64, np.uint8), str(error)[-30:])] * 5
            continue
        for number, params in enumerate([NO_AUGMENTATION] * 3 + [augmentation.draw(rng) for _ in range(2)]):
            crop = crop_sample(sample, size, params)
            image = crop.image[0].numpy().transpose(1, 2, 0)
            if number == 2:
                body = bodies.get(sample.gender)
                drawn = _with_mesh(image, crop, body) if sample.has_mesh and body is not None else image
                text = "mesh" if sample.has_mesh and body is not None else "no mesh"
            else:
                kind = "evidence" if number == 1 else "keypoints"
                pixels, sure = (getattr(crop, f"{kind}_{what}")[0].numpy() for what in ("px", "confidence"))
                drawn = _with_joints(image, pixels, sure)
                views = (f"{index}: labels", f"evidence: {dataset.evidence}", "", "view 1", "view 2")
                text = views[number] + (", mirrored" if params.mirror else "")
            images.append(draw_label(drawn, text))
    return make_grid(images, 5)
