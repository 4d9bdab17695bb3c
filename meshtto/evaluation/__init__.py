"""Scores during test-time adaptation, their plots, and scoring of external prediction files."""

from hamipose.extras import require_packages

require_packages("meshtto", "roma")
