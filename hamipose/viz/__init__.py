"""Drawings, plots, HTML pages, and the server of the apps."""
