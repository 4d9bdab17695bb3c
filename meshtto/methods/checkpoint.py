"""Load networks from checkpoints and model folders of any method."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hamipose.errors import UserError
from hamipose.io.tensor_file import check_finite, read_checkpoint_file
from meshtto.methods.model_folder import read_model_folder

__all__ = ["check_same_networks", "load", "load_networks", "read_checkpoint"]

_NETWORKS = ("regressor", "auxiliary")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint, or a model folder in the same layout, without executing anything in it.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint of this package.
    """
    checkpoint = read_model_folder(Path(path)) if Path(path).is_dir() else read_checkpoint_file(path)
    hparams = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    known = isinstance(hparams, dict) and isinstance(hparams.get("regressor"), dict)
    if not known or not isinstance(checkpoint.get("state_dict"), dict):
        raise UserError(f"checkpoint {path} was not saved by meshtto; give a file that its `fit` saved")
    return checkpoint


def _of(state: dict[str, Any], network: str) -> dict[str, Any]:
    return {k.removeprefix(f"{network}."): v for k, v in state.items() if k.startswith(f"{network}.")}


def check_same_networks(checkpoint: dict[str, Any], method: Any) -> None:
    """Check that a run can resume from a checkpoint: same shapes, and same number of feedback iterations.

    Args:
        checkpoint: its content. If it does not name an auxiliary network, only shapes are compared.
        method: the method that the config describes.

    Raises:
        UserError: the checkpoint belongs to another method or to other networks.
    """
    theirs, ours = checkpoint.get("hyper_parameters", {}), method.hparams
    shapes, own = ({k: v.shape for k, v in state.items()} for state in (checkpoint["state_dict"], method.state_dict()))
    both = [name for name in _NETWORKS if name in theirs and name in ours]
    if shapes == own and all(theirs[name]["iterations"] == ours[name]["iterations"] for name in both):
        return
    saved, wanted = (", ".join(f"{n} {found[n]}" for n in _NETWORKS if n in found) for found in (theirs, ours))
    raise UserError(
        f"the checkpoint is of another model ({theirs.get('method')}, {saved}) than {type(method).__name__} with "
        f"{wanted}; give the config it was made with, or start a new run from its networks with training.init_from"
    )


def _fill(network: nn.Module, name: str, checkpoint: dict[str, Any], source: str, path: str | Path) -> None:
    """Fill a network with one of a checkpoint's networks."""
    try:
        network.load_state_dict(_of(checkpoint["state_dict"], source))
    except RuntimeError:
        held = checkpoint["hyper_parameters"].get(source, f"another {source}")
        raise UserError(
            f"checkpoint {path} contains {held}, which does not match the {name} to fill; give "
            f"model.init_args.{name} the same values"
        ) from None


def load_networks(method: Any) -> None:
    """Fill the networks of a new run from the checkpoints that its options name.

    ``training.init_from`` fills the regressor with the checkpoint's regressor. It also fills an auxiliary network with
    the checkpoint's auxiliary network, unless the `auxiliary` options name another start; ``auxiliary.init_from`` fills
    only the auxiliary network.

    Args:
        method: a method with newly built networks.

    Raises:
        UserError: a checkpoint cannot be read or does not match, or two options name different starts.
    """
    path, own = method.training_options.init_from, method.auxiliary_options
    if path is not None:
        if method.options.published is not None:
            raise UserError(
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
    """Load the method of a checkpoint for inference: networks in eval mode, phases from its training config.

    Args:
        path: a checkpoint saved by `fit`, or a model folder.
        body: file of the body model, if it has moved since training. A network of the built-in body also recovers a
            SMPL file, which then gets the built-in coefficients (:mod:`meshtto.body.shape_transfer`).

    Raises:
        UserError: the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    try:
        method = _method(checkpoint, body)
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"checkpoint {path} lacks {error}, which `fit` saves; give a file that it saved") from None
    except Exception:  # options of another version or program, or damaged ones
        raise UserError(
            f"checkpoint {path} describes a model that this version does not know; give a file that its `fit` saved"
        ) from None
    try:
        method.load_state_dict(checkpoint["state_dict"])
    except Exception as error:  # a tensor is missing, unknown, of another shape, or not a tensor
        detail = " ".join(str(error).split())[-200:]
        raise UserError(
            f"checkpoint {path} does not hold the weights of the model that it describes ({detail}); give a file that "
            "`fit` saved"
        ) from None
    check_finite(method.state_dict(), f"checkpoint {path}")
    return method.eval()


def _method(checkpoint: dict[str, Any], body: str | None) -> Any:
    """Return the method that a checkpoint describes, with newly initialized weights."""
    from meshtto import methods
    from meshtto.body import BODIES
    from meshtto.losses import LossWeights
    from meshtto.methods.body_cache import BodyCache
    from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, test_time_from_dict

    hparams = checkpoint["hyper_parameters"]
    own = hparams["regressor"]["body"]
    elsewhere = {} if body is None else {"body": body}
    # A checkpoint without auxiliary options used the regressor's, which is also the methods' default.
    kinds = {"regressor": RegressorOptions, "auxiliary": AuxiliaryOptions}
    networks = {name: kinds[name](**{**hparams[name], **elsewhere}) for name in _NETWORKS if name in hparams}
    kind = getattr(methods, hparams["method"])
    method = kind(
        optimizer=torch.optim.Adam,
        **networks,
        loss=LossWeights(**hparams["loss"]),
        test_time=test_time_from_dict(hparams["test_time"]),
    )
    height, width = hparams["crop"]
    if not all(isinstance(side, int) and 0 < side <= 2**14 for side in (height, width)):
        raise ValueError("crop")
    method.hparams["crop"] = [height, width]
    if body is not None and (own in BODIES) != (body in BODIES):
        method.bodies = BodyCache(body, shapes_of=own)
    return method
