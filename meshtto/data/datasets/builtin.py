"""Rendered images of the built-in body: exact mesh, camera and joints, and a simulated 2D detector."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from meshtto.data.datasets.builtin_people import BuiltinPeople
from meshtto.data.datasets.render_cache import render_images
from meshtto.data.simulated_detector import Detector
from meshtto.types import MeshSample

__all__ = ["BuiltinMeshes"]


class BuiltinMeshes(BuiltinPeople):
    """The first `count` people of a series; `prepare` renders missing images.

    Args:
        style: "plain" (flat colors, hard light) or "photo" (textures, soft light, occlusions, camera effects).
        count: number of people, before `facing` filters them.
        seed: seed of the series; use different seeds for training and test data.
        size: side of the square images in pixels.
        evidence: 2D joints for use at test time: "detector" (simulated), "truth" or "none".
        root: folder of all series; each has a subfolder.
        poses: pose families of `hamipose.synthetic.people.pose_distributions.FAMILIES`; default: all.
        detector: errors of the simulated detector.
        occluders: whether training adds occluders to these people.
        workers: rendering processes; default: one per CPU.
        cache: keep decoded images in memory.
        facing: only people who face the camera within 60° and whose trunk leans at most 45° (two in five): an easier
            task for networks that are trained in minutes.
    """

    def __init__(
        self,
        style: str = "plain",
        count: int = 2000,
        seed: int = 0,
        size: int = 256,
        evidence: str = "detector",
        root: str = "cache/meshes",
        poses: list[str] | None = None,
        detector: Detector | None = None,
        occluders: bool = False,
        workers: int | None = None,
        cache: bool = False,
        facing: bool = False,
    ):
        suffix = "" if poses is None else "-" + "-".join(sorted(poses))
        self.root = Path(root) / f"{style}-{size}-{seed}{suffix}"
        super().__init__(count, seed, size, evidence, detector, self.root, self.root / "labels.npz")
        self.facing, self.style = facing, style
        self.poses, self.workers, self.cache, self.occluders = poses, workers, cache, occluders
        self._indices: np.ndarray | None = None

    def prepare(self) -> None:
        """Render missing images."""
        render_images(self.root, self.style, self.count, self.size, self.seed, self.poses, self.workers)

    @property
    def indices(self) -> np.ndarray:
        """Return the indices in the series of the people of this set."""
        if self._indices is None:
            root = self.labels["rotations"][: self.count, 0]
            towards, upright = -root[:, 2, 2] > np.cos(np.pi / 3), -root[:, 1, 1] > np.cos(np.pi / 4)
            self._indices = np.flatnonzero(towards & upright) if self.facing else np.arange(self.count)
        return self._indices

    def __len__(self) -> int:
        return len(self.indices) if self.facing else self.count

    def __getitem__(self, index: int) -> MeshSample:
        return self.person(int(self.indices[index]))

    def read_image(
        self, index: int, box_px: Float[np.ndarray, "4"]
    ) -> tuple[str, UInt8[np.ndarray, "height width 3"], int]:
        """Return the rendered image."""
        path = self.root / str(self.labels["imgname"][index])
        return str(path), *self.decode(path, box_px)
