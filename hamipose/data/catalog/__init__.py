"""Catalog of public data sets, and commands to prepare, check and show them."""
