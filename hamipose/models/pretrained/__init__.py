"""Pretrained pose networks of several formats: catalog, download, conversion, and one interface."""
