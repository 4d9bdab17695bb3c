"""Configs: reading with inheritance, objects built from them, and what the installation provides."""
