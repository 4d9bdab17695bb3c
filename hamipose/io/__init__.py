"""Readers and writers of file formats, used by both packages: one module per format."""
