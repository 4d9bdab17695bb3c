"""People of the built-in series who face the camera: an easier world for networks that are trained in minutes."""

from pathlib import Path

import numpy as np

from meshtto.data.builtin import BuiltinMeshes
from meshtto.types import MeshSample

__all__ = ["Facing"]


class Facing(BuiltinMeshes):
    """Those of `BuiltinMeshes` who look at most 60° away from the camera and whose trunk leans at most 45°.

    Args:
        count: of the series they are taken from.
        limit: at most so many of them.
        seed: of the series.
        size: side of the pictures in pixels.
        evidence: as there.
    """

    def __init__(self, count: int, limit: int, seed: int = 0, size: int = 160, evidence: str = "detector"):
        super().__init__("plain", count, seed, size, evidence, cache=True, workers=1)
        self.limit = limit
        self._places: np.ndarray | None = None

    @property
    def places(self) -> np.ndarray:
        """Their numbers in the series."""
        if self._places is None:
            root = self.labels["rotations"][: self.count, 0]
            facing = (-root[:, 2, 2] > 0.5) & (-root[:, 1, 1] > np.cos(np.pi / 4))
            self._places = np.flatnonzero(facing)[: self.limit]
        return self._places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> MeshSample:
        return super().__getitem__(int(self.places[index]))

    def describe(self) -> str:
        """What the set is, in a line."""
        return f"{len(self)} people who face the camera, of {Path(self.root).name}; 2D evidence: {self.evidence}"
