"""Recover meshes from a user's images and write them as files and overlays."""

from hamipose.extras import require_packages

require_packages("meshtto", "roma", "trimesh")
