"""Scenes: camera, lights, objects and backgrounds."""
