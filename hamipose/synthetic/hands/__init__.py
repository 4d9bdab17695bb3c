"""Synthetic hands."""
