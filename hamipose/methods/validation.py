"""Checks of options, data and checkpoints before a run starts; each failure is one line."""

import math
import sys
from typing import Any

from hamipose.errors import UserError
from hamipose.gating import OpenGate
from hamipose.models.pretrained.interface import FinetunableNetwork

__all__ = [
    "check_at_least",
    "check_domains",
    "check_fit",
    "check_fraction",
    "check_model",
    "check_precision",
    "check_setup",
]


def check_at_least(least: float | int, **options: float | int) -> None:
    """Check numbers of a method's options against a lower bound.

    Args:
        least: the smallest allowed value.
        options: option → its value.

    Raises:
        ValueError: a value is smaller, or NaN.
    """
    for name, value in options.items():
        if not value >= least:
            raise ValueError(f"{name} is {value}: expected a number of at least {least}")


def check_fraction(**options: float | int) -> None:
    """Check that options are fractions.

    Args:
        options: option → its value.

    Raises:
        ValueError: a value is not in [0, 1].
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: expected a fraction from 0 to 1")


def check_precision(precision: str) -> None:
    """Check that the gate sees unscaled losses, and that weights can hold the small steps of the teacher's average.

    Raises:
        UserError: losses would be scaled, or weights would not be in single precision.
    """
    if precision not in ("32-true", "bf16-mixed"):
        reason = "whose loss scaling hides gradients from the gate; " if precision == "16-mixed" else ""
        raise UserError(f"trainer.precision is {precision}, {reason}expected bf16-mixed or 32-true")


def check_setup(method: Any, data: Any) -> None:
    """Check the data against the network, for training and evaluation.

    Args:
        method: a :class:`~hamipose.methods.base.PoseMethod`.
        data: the data module, or None.

    Raises:
        UserError: their keypoints differ, or a pretrained network needs another image size.
    """
    skeleton = getattr(data, "skeleton", method.skeleton)
    if skeleton != method.skeleton:
        raise UserError(
            f"the data have the keypoints of {skeleton.name}, the network those of {method.skeleton.name}; "
            "set model.init_args.network.skeleton or the data sets' skeleton"
        )
    if isinstance(method.network, FinetunableNetwork):
        size, expected = getattr(data, "image_size", None), method.network.image_size
        if size is not None and size != expected:
            raise UserError(
                f"data.image_size is {size}; {method.pretrained} needs crops of {expected} px: "
                f"set data.image_size: {expected}"
            )


def check_fit(method: Any, data: Any, total: float) -> None:
    """Check that a run of `fit` has what its method needs.

    Args:
        method: a :class:`~hamipose.methods.base.PoseMethod`.
        data: the data module, or None.
        total: length of the run in steps.

    Raises:
        UserError: the target or its predicted keypoints are missing or unused, or the run is too short or endless.
    """
    name, adaptation = type(method).__name__, method.adaptation
    if method.uses_target(sys.maxsize):
        if data is not None and not data.target:
            raise UserError(f"{name} adapts to a target, and data.target is not set")
        _check_predictions(name, data, None if adaptation is None else adaptation.options.labels)
    gated = adaptation is not None and not isinstance(adaptation.gate, OpenGate)
    if gated and adaptation.options.gate_warmup > 0 and math.isinf(total):
        raise UserError(
            "the run has no end (trainer.max_epochs is -1), and adaptation.gate_warmup is a fraction of its length, so "
            "the gate would never open; set trainer.max_epochs or trainer.max_steps, or gate_warmup: 0"
        )
    steps = method.source_only_steps()
    if steps and steps >= total:
        raise UserError(
            f"pretrain_steps is {steps} and the run has {total:.0f} steps in total, so it would never adapt; "
            "expected a longer run (trainer.max_epochs, data.steps_per_epoch), fewer pretrain_steps, or 0 with "
            "training.init_from"
        )


def _check_predictions(method: str, data: Any, labels: str | None) -> None:
    """Check that predicted keypoints of the target are used if and only if the target has them.

    Args:
        method: name of the method.
        data: the data module, or None.
        labels: ``adaptation.labels``; None for a method without the option.

    Raises:
        UserError: predictions are missing, or would not be used.
    """
    present = bool(getattr(data, "target_predictions", False))
    if present and labels != "predictions":
        remedy = "take the sets out of hamipose.data.PredictedKeypoints"
        if labels is None:
            raise UserError(f"data.target has predicted keypoints, which {method} does not learn from; {remedy}")
        raise UserError(
            f"data.target has predicted keypoints and adaptation.labels is {labels}, which does not use them; "
            f"set adaptation.labels: predictions, or {remedy}"
        )
    if data is not None and labels == "predictions" and not present:
        raise UserError(
            "adaptation.labels is predictions and data.target has no predicted keypoints; wrap its sets in "
            "hamipose.data.PredictedKeypoints, or set adaptation.labels: keypoint"
        )


def check_domains(method: str, data: Any, domains: int) -> None:
    """Check that the source has the domains that a method compares.

    Args:
        method: name of the method.
        data: the data module, or None.
        domains: number of domains that the method compares.

    Raises:
        UserError: there are fewer than two, or ``data.source_views`` makes another number.
    """
    views = getattr(data, "source_views", None)
    found = len(views) if isinstance(views, list) else 1
    if domains < 2 or (data is not None and found != domains):
        raise UserError(
            f"{method} compares {domains} domains and data.source_views makes {found}: expected the same number, 2 or "
            "more; give a list, such as data.source_views: [hamipose, strong]"
        )


def check_model(checkpoint: dict[str, Any], module: Any, resumes: bool) -> None:
    """Check that a checkpoint's weights fit a module and, to resume training, that the method is the same.

    Args:
        checkpoint: the checkpoint's content.
        module: the module to fill.
        resumes: whether training resumes.

    Raises:
        UserError: the weights do not fit, or another method saved them.
    """
    saved_by = checkpoint.get("hyper_parameters", {})
    states = checkpoint["state_dict"], module.state_dict()
    saved, own = ({name: getattr(value, "shape", None) for name, value in state.items()} for state in states)
    if saved != own or (resumes and saved_by.get("method") != type(module).__name__):
        differing = next((name for name in own if saved.get(name) != own[name]), None)
        raise UserError(
            f"the checkpoint is of another model ({saved_by.get('method')}, {saved_by.get('backbone')}) than "
            f"{type(module).__name__} with {module.hparams['backbone']}"
            + (f" ({differing} differs)" if differing else "")
            + "; give the config it was made with, or start a new run from its network with training.init_from"
        )
