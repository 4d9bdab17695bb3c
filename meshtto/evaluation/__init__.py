"""Scores during test-time adaptation, their plots, and scoring of external prediction files."""
