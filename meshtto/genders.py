"""Genders of bodies; `meshtto.types` has the same tuple, and imports torch."""

__all__ = ["GENDERS"]

#: Index by `MeshBatch.gender`.
GENDERS = ("neutral", "male", "female")
