"""Data sets of synthetic people and hands."""
