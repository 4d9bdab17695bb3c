"""Scores, diagnostics, run reports, and scoring of prediction files."""
