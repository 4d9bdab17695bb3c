"""Data sets, views and the data module under the short names that configs use."""

import importlib
from typing import Any

_MODULES = {
    "VideoPersonCrops": "datasets.footage.person_crops",
    "ImagePersonCrops": "datasets.footage.person_crops",
    "CocoKeypoints": "datasets.body.coco",
    "DomainAdaptation": "datamodule",
    "FreiHand": "datasets.hand.freihand",
    "Hand3DStudio": "datasets.hand.h3d",
    "HandPhotos": "datasets.hand.photos",
    "Human36M": "datasets.body.h36m",
    "Human36MOfficial": "datasets.body.h36m_official",
    "ImageFolder": "datasets.footage.images",
    "KeypointDataset": "base",
    "LeedsSports": "datasets.body.lsp",
    "LeedsSportsExtended": "datasets.body.lsp",
    "ConcatKeypoints": "wrappers",
    "PredictedKeypoints": "predicted",
    "Prepared": "datasets.prepared",
    "RenderedHands": "datasets.hand.rhd",
    "Surreal": "datasets.body.surreal",
    "SurrealRaw": "datasets.body.surreal_raw",
    "SyntheticHands": "datasets.synthetic.hands",
    "SyntheticPeople": "datasets.synthetic.people",
    "Unlabeled": "wrappers",
    "UnlabeledDataset": "base",
    "Video": "datasets.footage.video",
    "Views": "views",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first access: lightning, anny and albumentations are slow to load."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__} has no {name}")
