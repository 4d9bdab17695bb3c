"""Networks out of checkpoints, whichever method made them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hamipose.errors import InputError
from hamipose.running.checkpoint_file import read_checkpoint_file

__all__ = ["load", "load_networks", "read_checkpoint"]

_NETWORKS = ("regressor", "auxiliary")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged or not a checkpoint of this package.
    """
    checkpoint = read_checkpoint_file(path)
    hparams = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "regressor" not in hparams or "state_dict" not in checkpoint:
        raise InputError(f"checkpoint {path} was not saved by meshtto; give a file that its `fit` saved")
    return checkpoint


def _of(state: dict[str, Any], network: str) -> dict[str, Any]:
    return {k.removeprefix(f"{network}."): v for k, v in state.items() if k.startswith(f"{network}.")}


def load_networks(path: str | Path, method: nn.Module) -> None:
    """Fill a method's networks from another's checkpoint; an auxiliary network from the regressor where it has none.

    Raises:
        InputError: the checkpoint cannot be read or is of another network.
    """
    checkpoint = read_checkpoint(path)
    for name in _NETWORKS:
        network = getattr(method, name, None)
        if network is None:
            continue
        state = _of(checkpoint["state_dict"], name) or _of(checkpoint["state_dict"], "regressor")
        try:
            network.load_state_dict(state)
        except RuntimeError:
            raise InputError(
                f"checkpoint {path} holds {checkpoint['hyper_parameters']['regressor']}, another network than the "
                f"{name} to fill; give model.init_args.regressor the same values"
            ) from None


def load(path: str | Path, body: str | None = None) -> Any:
    """The method of a checkpoint, ready to recover meshes: networks in eval mode, phases as in its training's config.

    Args:
        path: the file.
        body: file of the body model, where it is elsewhere than it was in training.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    from meshtto import methods
    from meshtto.losses import LossWeights
    from meshtto.methods.options import RegressorOptions, from_plain

    checkpoint = read_checkpoint(path)
    hparams = checkpoint["hyper_parameters"]
    given = {**hparams["regressor"], **({} if body is None else {"body": body})}
    kind = getattr(methods, hparams["method"])
    method = kind(
        optimizer=torch.optim.Adam,
        regressor=RegressorOptions(**given),
        loss=LossWeights(**hparams["loss"]),
        test_time=from_plain(hparams["test_time"]),
    )
    method.hparams["crop"] = hparams["crop"]
    method.load_state_dict(checkpoint["state_dict"])
    return method.eval()
