"""Training of a tiny network on the data sets of colored dots, without output."""

from pathlib import Path

import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.methods.options import NetworkOptions

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    """Return plain gradient descent."""
    return torch.optim.SGD(parameters, lr=0.1)


def make_data(dots: Path, **options: object) -> DomainAdaptation:
    """Return a data module with the light dots as source and the dark dots as target domain."""
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


def make_trainer(folder: Path, **options: object) -> Trainer:
    """Return a trainer for one epoch on the CPU."""
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
    """Train a model on the dots and return the trainer."""
    trainer = make_trainer(folder, **options)
    trainer.fit(model, make_data(dots, **(data or {})))
    return trainer


def have_equal_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Return whether the weights of two modules are bitwise equal."""
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in mine)
