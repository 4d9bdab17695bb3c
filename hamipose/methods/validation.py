"""What a run is refused for before it starts, in one line."""

import math
from typing import Any

from lightning.pytorch import LightningModule

from hamipose.errors import UserError
from hamipose.skeletons import Skeleton

__all__ = [
    "check_image_size",
    "check_length",
    "check_model",
    "check_precision",
    "check_predictions",
    "check_pretraining",
    "check_skeletons",
    "check_target",
]


def check_precision(precision: str) -> None:
    """Losses reach the gate as they are, and weights keep the small steps of the teacher's average.

    Raises:
        UserError: losses would be scaled, or weights would not be in single precision.
    """
    if precision not in ("32-true", "bf16-mixed"):
        reason = "whose loss scaling hides gradients from the gate; " if precision == "16-mixed" else ""
        raise UserError(f"trainer.precision is {precision}, {reason}expected bf16-mixed or 32-true")


def check_image_size(data: int | None, network: int, name: str) -> None:
    """Refuse images of another size than a pretrained network was trained on.

    Args:
        data: the data module's size, or None.
        network: the network's.
        name: of the network.

    Raises:
        UserError: they differ.
    """
    if data is not None and data != network:
        raise UserError(
            f"data.image_size is {data}; {name} takes crops of {network} px: set data.image_size: {network}"
        )


def check_length(total: float, gate_warmup: float) -> None:
    """A run whose end is not known has no share over which a gate could open.

    Args:
        total: length of the run in steps.
        gate_warmup: share of it over which the gate opens.

    Raises:
        UserError: the gate would stay shut for ever.
    """
    if gate_warmup > 0 and math.isinf(total):
        raise UserError(
            "the run has no end (trainer.max_epochs is -1), and adaptation.gate_warmup is a share of its length, so "
            "the gate would never open; give trainer.max_epochs or trainer.max_steps, or gate_warmup: 0"
        )


def check_pretraining(pretrain_steps: int, total: float) -> None:
    """Refuse a run of an adapting method that would end before it adapts.

    Args:
        pretrain_steps: steps on the source alone.
        total: length of the run in steps.

    Raises:
        UserError: there is no step after them.
    """
    if pretrain_steps and pretrain_steps >= total:
        raise UserError(
            f"pretrain_steps is {pretrain_steps} and the run has {total:.0f} steps in all, so it would never adapt; "
            "expected a longer run (trainer.max_epochs, data.steps_per_epoch), fewer pretrain_steps, or 0 with "
            "training.init_from"
        )


def check_model(checkpoint: dict[str, Any], module: LightningModule, goes_on: bool) -> None:
    """A checkpoint's weights fit the module, which is of the same method where training goes on.

    Args:
        checkpoint: as Lightning reads it.
        module: to take its weights.
        goes_on: whether training does.

    Raises:
        UserError: they do not, or another method made it.
    """
    made = checkpoint.get("hyper_parameters", {})
    states = checkpoint["state_dict"], module.state_dict()
    saved, own = ({name: getattr(value, "shape", None) for name, value in state.items()} for state in states)
    if saved != own or (goes_on and made.get("method") != type(module).__name__):
        differing = next((name for name in own if saved.get(name) != own[name]), None)
        raise UserError(
            f"the checkpoint is of another model ({made.get('method')}, {made.get('backbone')}) than "
            f"{type(module).__name__} with {module.hparams['backbone']}"
            + (f" ({differing} differs)" if differing else "")
            + "; give the config it was made with, or start a new run from its network with training.init_from"
        )


def check_skeletons(data: Skeleton, network: Skeleton) -> None:
    """Data and network speak of the same keypoints.

    Raises:
        UserError: they do not.
    """
    if data != network:
        raise UserError(
            f"the data have the keypoints of {data.name}, the network those of {network.name}; "
            "set model.init_args.network.skeleton or the data sets' skeleton"
        )


def check_target(method: str, data: Any, adapts: bool) -> None:
    """A method that adapts has something to adapt to.

    Args:
        method: its name.
        data: the data module, or None.
        adapts: whether it will want target images, sooner or later.

    Raises:
        UserError: there is no target.
    """
    if adapts and data is not None and not data.target:
        raise UserError(f"{method} adapts to a target, and data.target is not given")


def check_predictions(method: str, data: Any, labels: str | None) -> None:
    """Check that predicted keypoints of the target are used if and only if it carries them.

    Args:
        method: its name.
        data: the data module, or None.
        labels: ``adaptation.labels``; None for a method without the option.

    Raises:
        UserError: predictions are missing, or would not be used.
    """
    carried = bool(getattr(data, "target_predictions", False))
    if carried and labels != "predictions":
        remedy = "take the sets out of hamipose.data.PredictedKeypoints"
        if labels is None:
            raise UserError(f"data.target carries predicted keypoints, which {method} does not learn from; {remedy}")
        raise UserError(
            f"data.target carries predicted keypoints and adaptation.labels is {labels}, which does not use them; "
            f"set adaptation.labels: predictions, or {remedy}"
        )
    if data is not None and labels == "predictions" and not carried:
        raise UserError(
            "adaptation.labels is predictions and data.target carries none; wrap its sets in "
            "hamipose.data.PredictedKeypoints, or set adaptation.labels: keypoint"
        )
