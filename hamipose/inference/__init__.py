"""Predict with trained models: read images and videos, predict keypoints, and write tables and images.

This package imports neither Lightning nor albumentations; tests/contracts/test_inference_imports.py checks it.

>>> import hamipose
>>> model = hamipose.load("runs/adapted")  # doctest: +SKIP
>>> model.predict(["photo.jpg"])[0].keypoints_px  # doctest: +SKIP
"""
