"""A tiny network, the sets of colored dots as its data, and a trainer that is silent."""

from pathlib import Path

import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.methods.options import NetworkOptions

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    """Plain descent."""
    return torch.optim.SGD(parameters, lr=0.1)


def data_of(dots: Path, **options: object) -> DomainAdaptation:
    """From the light dots to the dark ones."""
    light, dark = ({"root": str(dots / look), "box": "image"} for look in ("light", "dark"))
    given = {
        "source": CocoKeypoints(**light),
        "target": [Unlabeled(CocoKeypoints(**dark))],
        "validation": CocoKeypoints(**light, count=6),
        "test": {"dark": CocoKeypoints(**dark, count=7)},
        "image_size": 32,
        "batch_size": 4,
        "steps_per_epoch": 4,
        "num_workers": 0,
        **options,
    }
    return DomainAdaptation(**given)


def trainer_in(folder: Path, **options: object) -> Trainer:
    """One epoch on the processor."""
    given = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "default_root_dir": folder,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 2,
        **options,
    }
    return Trainer(**given)


def train(model, dots: Path, folder: Path, data: dict | None = None, **options: object) -> Trainer:
    """Fits a model to the dots; returns the trainer."""
    trainer = trainer_in(folder, **options)
    trainer.fit(model, data_of(dots, **(data or {})))
    return trainer


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether two modules are equal to the bit."""
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in mine)
