"""Data sets, by kind."""
