"""The verbs `fit`, `validate`, `test` and `predict` with a config; see :mod:`meshtto.training`."""

from meshtto.training import MeshCLI, run

__all__ = ["MeshCLI", "run"]
