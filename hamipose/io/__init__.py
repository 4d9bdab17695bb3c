"""Readers of file formats: one for each format, used by both packages."""
