"""Recover meshes from a user's images and write them as files and overlays."""
