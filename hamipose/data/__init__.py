"""Data sets, views and the data module, under the short names that configs use."""

import importlib
from typing import Any

_HOME = {
    "BoxedFrames": "people_boxes",
    "BoxedPeople": "people_boxes",
    "CocoKeypoints": "coco",
    "DomainAdaptation": "datamodule",
    "FreiHand": "freihand",
    "Hand3DStudio": "h3d",
    "HandPhotos": "hand_photos",
    "Human36M": "h36m",
    "Human36MNative": "h36m_native",
    "ImageFolder": "images",
    "KeypointDataset": "base",
    "LeedsSports": "lsp",
    "LeedsSportsExtended": "lsp",
    "MergedKeypoints": "merged",
    "PredictedKeypoints": "predicted",
    "Prepared": "packed",
    "RenderedHands": "rhd",
    "Surreal": "surreal",
    "SurrealRaw": "surreal_raw",
    "SyntheticHands": "synthetic_hands",
    "SyntheticPeople": "synthetic",
    "Unlabelled": "unlabelled",
    "UnlabelledDataset": "base",
    "Video": "video",
    "Views": "views",
}


def __getattr__(name: str) -> Any:
    """Imports a name's module when it is first asked for: lightning, anny and albumentations are slow to load."""
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__} has no {name}")
