"""Affine maps and crops."""
