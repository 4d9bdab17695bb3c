"""The built-in body in random poses, without images: labels and 2D evidence for networks that read keypoints."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from roma import rotmat_to_rotvec

from hamipose.command_line.progress import CommandProgress
from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path
from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import draw_poses
from hamipose.synthetic.people.scene_setup import fit_camera
from meshtto.body import Body, load_body
from meshtto.body.builtin import VERSION
from meshtto.body.retarget import SMPL_FROM_ANNY, joint_rotations
from meshtto.data.datasets.builtin_people import BuiltinPeople
from meshtto.data.datasets.render_cache import read_labels
from meshtto.data.simulated_detector import Detector
from meshtto.joints import JOINTS49
from meshtto.types import MeshSample

__all__ = ["FORMAT", "BuiltinPoses", "draw_people", "hidden_joints"]

#: Version of the series; increase when the same seed gives other labels.
FORMAT = 1

_SERIES = 2  # part of every seed; rendered people have 1
_CHUNK = 500  # people drawn together; part of the series, since sums over a batch round differently
_SIZE = 256  # side of the imagined images in pixels
_MAX_SHAPE = 2.5  # shapes are clipped at this many standard deviations

_TRUNK_M, _HEAD_M = 0.12, 0.09
_PELVIS = JOINTS49.index("pelvis")
#: Parts of the body that can hide joints: two joints and a radius in meters.
_PARTS = [
    ("pelvis", "thorax", _TRUNK_M),
    ("left_shoulder", "right_hip", _TRUNK_M),
    ("right_shoulder", "left_hip", _TRUNK_M),
    ("neck", "head_top", _HEAD_M),
    *((f"{side}_hip", f"{side}_knee", 0.07) for side in ("left", "right")),
    *((f"{side}_knee", f"{side}_ankle", 0.05) for side in ("left", "right")),
    *((f"{side}_shoulder", f"{side}_elbow", 0.045) for side in ("left", "right")),
    *((f"{side}_elbow", f"{side}_wrist", 0.035) for side in ("left", "right")),
]
_STEPS = np.linspace(0.0, 1.0, 7)


def hidden_joints(joints_m: Float[np.ndarray, "person 49 3"]) -> Float[np.ndarray, "person 49"]:
    """Return by how much a part of the body covers each joint, in meters; above 0 the joint is hidden.

    Parts are rows of spheres. A sphere covers a joint if the ray from the camera passes through it, and if the sphere
    ends in front of the joint; the spheres around the joint itself do not.

    Args:
        joints_m: joints relative to the camera: x right, y down, z forward.
    """
    start, end = (joints_m[:, [JOINTS49.index(part[i]) for part in _PARTS]] for i in (0, 1))
    centers = start[:, :, None] + _STEPS[:, None] * (end - start)[:, :, None]
    centers = centers.reshape(len(joints_m), -1, 3)
    radius = np.repeat([part[2] for part in _PARTS], len(_STEPS))
    depth = np.linalg.norm(joints_m, axis=-1, keepdims=True)
    along = np.einsum("njc,npc->njp", joints_m / depth, centers)
    aside = np.sqrt(np.maximum((centers**2).sum(-1)[:, None] - along**2, 0.0))
    in_front = along + radius < depth - 0.05
    return np.where(in_front, radius - aside, -1.0).max(-1)


@lru_cache(maxsize=1)
def _body() -> Body:
    return load_body()


def draw_people(indices: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Draw people of a series: shape, pose and camera, and the labels that follow from them.

    Poses, shapes and cameras have the distributions of the rendered people (`BuiltinMeshes`).

    Args:
        indices: indices in the series.
        seed: seed of the series.

    Returns:
        ``pose`` [n, 72] and ``shape`` [n, 10] in camera axes, ``focal_length`` [n], ``keypoints`` [n, 49, 2] in pixels
        of an image of 256 × 256, ``visibility`` [n, 49] (2 visible, 1 hidden by the body itself, 0 outside), ``joints``
        [n, 49, 3] relative to the pelvis.
    """
    surface, model = body_model(), _body()
    rngs = [np.random.default_rng([seed, index, _SERIES]) for index in indices]
    shape = np.stack([rng.standard_normal(10) for rng in rngs]).clip(-_MAX_SHAPE, _MAX_SHAPE)
    poses = draw_poses(rngs, surface.articulation, [None] * len(rngs))
    headings = [float(rng.uniform(-180, 180)) if abs(p.pitch) > 45 else 0.0 for rng, p in zip(rngs, poses, strict=True)]
    rotations = joint_rotations(surface.articulation, poses, headings)
    with torch.inference_mode():
        made = model.joints(torch.from_numpy(rotations).float(), torch.from_numpy(shape).float())
    world = (made.numpy().astype(np.float64) - made.numpy()[:, [_PELVIS]]) @ SMPL_FROM_ANNY
    cameras = [fit_camera(rng, p, (_SIZE, _SIZE), p[:, 2].min()) for rng, p in zip(rngs, world, strict=True)]
    pixels = np.stack([camera.project(points) for camera, points in zip(cameras, world, strict=True)])
    in_camera = np.stack([camera.to_camera(points) for camera, points in zip(cameras, world, strict=True)])
    turns = np.stack([camera.rotation for camera in cameras]) @ SMPL_FROM_ANNY.T
    rotations[:, 0] = turns @ rotations[:, 0]
    inside = ((pixels >= -0.5) & (pixels <= _SIZE - 0.5)).all(-1)
    return {
        "pose": rotmat_to_rotvec(torch.from_numpy(rotations)).numpy().reshape(len(rngs), -1).astype(np.float32),
        "shape": shape.astype(np.float32),
        "focal_length": np.array([camera.focal_px for camera in cameras], np.float32),
        "keypoints": pixels.astype(np.float32),
        "visibility": np.where(inside, np.where(hidden_joints(in_camera) > 0, 1, 2), 0).astype(np.int8),
        "joints": (in_camera - in_camera[:, [_PELVIS]]).astype(np.float32),
    }


class BuiltinPoses(BuiltinPeople):
    """The first `count` people of a series without images; `prepare` draws them.

    Their images are black, and as the only training set they come in whole batches, with new errors of the detector in
    each draw (:class:`meshtto.data.sampling.PeopleBatches`). Use them to train a network that reads keypoints
    (``regressor.kind: lifter``): a person takes a millisecond instead of the tens of milliseconds of a rendered one.

    Args:
        count: number of people.
        seed: seed of the series; use different seeds for training and test data.
        evidence: 2D joints for use at test time: "detector" (simulated), "truth" or "none".
        root: folder of all series.
        detector: errors of the simulated detector.
    """

    has_images = False

    def __init__(
        self,
        count: int = 20000,
        seed: int = 0,
        evidence: str = "detector",
        root: str = "cache/poses",
        detector: Detector | None = None,
    ):
        if count < 1:
            raise UserError(f"count is {count}, expected at least 1")
        self.path = Path(root) / f"poses-{seed}.npz"
        super().__init__(count, seed, _SIZE, evidence, detector, self.path, self.path)

    def prepare(self) -> None:
        """Draw missing people.

        Raises:
            UserError: the file has other settings, or is damaged.
        """
        settings = {"seed": self.seed, "body": VERSION, "format": FORMAT}
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        if self.path.exists():
            known = read_labels(self.path)
            found = json.loads(str(known.pop("settings")))
            if found != settings:
                raise UserError(
                    f"{self.path} has the settings {found}, expected {settings}; delete it, or give another root"
                )
            done = len(known["pose"])
            parts = [known]
        if done >= self.count:
            return
        with CommandProgress("drawing people", self.count) as progress:
            progress.advance(done)
            while done < self.count:
                parts.append(draw_people(range(done, done + _CHUNK), self.seed))
                done += _CHUNK
                progress.advance(_CHUNK)
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        with atomic_path(self.path) as beside, beside.open("wb") as file:
            np.savez(file, settings=np.array(json.dumps(settings)), **arrays)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> MeshSample:
        return self.person(index)

    def read_image(
        self, index: int, box_px: Float[np.ndarray, "4"]
    ) -> tuple[str, UInt8[np.ndarray, "height width 3"], int]:
        """Return a black image of one pixel."""
        return f"{self.path.stem}#{index}", np.zeros((1, 1, 3), np.uint8), 1
