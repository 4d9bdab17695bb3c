"""Networks out of checkpoints, whichever method made them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hamipose.errors import InputError
from hamipose.io.tensor_file import check_finite
from hamipose.running.checkpoint_file import read_checkpoint_file

__all__ = ["check_same_networks", "load", "load_networks", "read_checkpoint"]

_NETWORKS = ("regressor", "auxiliary")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged or not a checkpoint of this package.
    """
    checkpoint = read_checkpoint_file(path)
    hparams = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    known = isinstance(hparams, dict) and isinstance(hparams.get("regressor"), dict)
    if not known or not isinstance(checkpoint.get("state_dict"), dict):
        raise InputError(f"checkpoint {path} was not saved by meshtto; give a file that its `fit` saved")
    return checkpoint


def _of(state: dict[str, Any], network: str) -> dict[str, Any]:
    return {k.removeprefix(f"{network}."): v for k, v in state.items() if k.startswith(f"{network}.")}


def check_same_networks(checkpoint: dict[str, Any], method: Any) -> None:
    """Whether a run may go on from a checkpoint: shapes tell networks apart, options the loops, which have no shape.

    Args:
        checkpoint: its content. One that does not name an auxiliary network is judged by shapes alone.
        method: a method as the config describes it.

    Raises:
        InputError: the checkpoint is of another method or of other networks.
    """
    theirs, ours = checkpoint.get("hyper_parameters", {}), method.hparams
    shapes, own = ({k: v.shape for k, v in state.items()} for state in (checkpoint["state_dict"], method.state_dict()))
    both = [name for name in _NETWORKS if name in theirs and name in ours]
    if shapes == own and all(theirs[name]["iterations"] == ours[name]["iterations"] for name in both):
        return
    told, wanted = (", ".join(f"{n} {found[n]}" for n in _NETWORKS if n in found) for found in (theirs, ours))
    raise InputError(
        f"the checkpoint is of another model ({theirs.get('method')}, {told}) than {type(method).__name__} with "
        f"{wanted}; give the config it was made with, or start a new run from its networks with training.init_from"
    )


def _fill(network: nn.Module, name: str, checkpoint: dict[str, Any], source: str, path: str | Path) -> None:
    """Fill a network from one of a checkpoint's."""
    try:
        network.load_state_dict(_of(checkpoint["state_dict"], source))
    except RuntimeError:
        held = checkpoint["hyper_parameters"].get(source, f"another {source}")
        raise InputError(
            f"checkpoint {path} holds {held}, another network than the {name} to fill; give "
            f"model.init_args.{name} the same values"
        ) from None


def load_networks(method: Any) -> None:
    """Fill a new run's networks from the checkpoints that its options name, and no network from two things.

    ``training.init_from`` fills the regressor from the checkpoint's, and an auxiliary network from the checkpoint's
    auxiliary network unless the options of `auxiliary` say what it starts from; ``auxiliary.init_from`` fills the
    auxiliary network alone.

    Args:
        method: with networks as its options made them.

    Raises:
        InputError: a checkpoint cannot be read or is of another network, or an option names another start.
    """
    path, own = method.training_options.init_from, method.auxiliary_options
    if path is not None:
        if method.options.published is not None:
            raise InputError(
                f"the regressor starts from training.init_from ({path}) and regressor.published "
                f"({method.options.published}); expected one of them"
            )
        checkpoint = read_checkpoint(path)
        _fill(method.regressor, "regressor", checkpoint, "regressor", path)
        if own is not None and not own.starts and _of(checkpoint["state_dict"], "auxiliary"):
            _fill(method.auxiliary, "auxiliary", checkpoint, "auxiliary", path)
    if own is not None and own.init_from is not None:
        checkpoint = read_checkpoint(own.init_from)
        source = "auxiliary" if _of(checkpoint["state_dict"], "auxiliary") else "regressor"
        _fill(method.auxiliary, "auxiliary", checkpoint, source, own.init_from)


def load(path: str | Path, body: str | None = None) -> Any:
    """The method of a checkpoint, ready to recover meshes: networks in eval mode, phases as in its training's config.

    Args:
        path: the file.
        body: file of the body model, where it is elsewhere than it was in training.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    try:
        method = _method(checkpoint, body)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"checkpoint {path} lacks {error}, which `fit` saves; give a file that it saved") from None
    except Exception:  # options of another version or program, or damaged ones
        raise InputError(
            f"checkpoint {path} describes no model that this version knows; give a file that its `fit` saved"
        ) from None
    try:
        method.load_state_dict(checkpoint["state_dict"])
    except Exception as error:  # a tensor is missing, unknown, of another shape, or is no tensor
        told = " ".join(str(error).split())[-200:]
        raise InputError(
            f"checkpoint {path} does not hold the weights of the model that it describes ({told}); give a file that "
            "`fit` saved"
        ) from None
    check_finite(method.state_dict(), f"checkpoint {path}")
    return method.eval()


def _method(checkpoint: dict[str, Any], body: str | None) -> Any:
    """Return the method that a checkpoint describes, with weights as its options made them."""
    from meshtto import methods
    from meshtto.losses import LossWeights
    from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, from_plain

    hparams = checkpoint["hyper_parameters"]
    elsewhere = {} if body is None else {"body": body}
    # Without an auxiliary network's options it was as the regressor, which is what a method makes of none.
    kinds = {"regressor": RegressorOptions, "auxiliary": AuxiliaryOptions}
    networks = {name: kinds[name](**{**hparams[name], **elsewhere}) for name in _NETWORKS if name in hparams}
    kind = getattr(methods, hparams["method"])
    method = kind(
        optimizer=torch.optim.Adam,
        **networks,
        loss=LossWeights(**hparams["loss"]),
        test_time=from_plain(hparams["test_time"]),
    )
    height, width = hparams["crop"]
    if not all(isinstance(side, int) and 0 < side <= 2**14 for side in (height, width)):
        raise ValueError("crop")
    method.hparams["crop"] = [height, width]
    return method
