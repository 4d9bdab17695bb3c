"""People of the built-in series who face the camera: an easier world for networks that are trained in minutes."""

from pathlib import Path

import numpy as np

from meshtto.data.builtin import BuiltinMeshes

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
        super().__init__("plain", count, seed, size, evidence, cache=True, workers=1, facing=True)
        self.limit = limit

    @property
    def places(self) -> np.ndarray:
        """Their numbers in the series."""
        return super().places[: self.limit]

    def describe(self) -> str:
        """What the set is, in a line."""
        return f"{len(self)} people who face the camera, of {Path(self.root).name}; 2D evidence: {self.evidence}"
