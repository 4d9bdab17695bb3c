"""Scores as tables and plots, and the scores of other people's predictions."""
