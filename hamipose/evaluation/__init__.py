"""Scores, diagnostics, the report of a run, and scores of prediction files."""
