"""Affine maps, crops, and the CPU kernel for warping heatmaps."""
