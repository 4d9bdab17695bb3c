"""Networks out of checkpoints, whichever method made them."""

from pathlib import Path
from typing import Any

from hamipose.errors import InputError
from hamipose.models.network import PoseNetwork
from hamipose.running.checkpoint_file import read_checkpoint_file
from hamipose.skeletons import SKELETONS, Skeleton

__all__ = ["check_skeleton", "load", "load_network", "read_checkpoint"]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged or not a checkpoint of this package.
    """
    checkpoint = read_checkpoint_file(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint or "hyper_parameters" not in checkpoint:
        raise InputError(f"checkpoint {path} was not saved by hamipose; give a file that `fit` saved")
    return checkpoint


def check_skeleton(checkpoint: dict[str, Any], skeleton: Skeleton) -> None:
    """Refuse a checkpoint of other keypoints.

    Raises:
        InputError: its skeleton is not this one.
    """
    found = checkpoint.get("hyper_parameters", {}).get("skeleton")
    if found != skeleton.name:
        raise InputError(
            f"the checkpoint's network finds the keypoints of {found}, this model those of {skeleton.name}; "
            f"set network.skeleton to {found} (and the data sets' with it) or give another checkpoint"
        )


def _network_state(checkpoint: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}


def load_network(path: str | Path, network: PoseNetwork, skeleton: Skeleton) -> None:
    """Fill a network with a checkpoint's student.

    Raises:
        InputError: the checkpoint cannot be read, or is of another skeleton or network.
    """
    checkpoint = read_checkpoint(path)
    check_skeleton(checkpoint, skeleton)
    try:
        network.load_state_dict(_network_state(checkpoint, "network."))
    except RuntimeError:
        hparams = checkpoint["hyper_parameters"]
        raise InputError(
            f"checkpoint {path} holds a {hparams.get('backbone')} with deconvolutions "
            f"{hparams.get('deconv_channels')}, another network than the one to fill; give "
            "model.init_args.network the same values"
        ) from None


def load(path: str | Path) -> PoseNetwork:
    """The network of a checkpoint, ready to use: the teacher where there is one, in eval mode.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    hparams = checkpoint["hyper_parameters"]
    network = PoseNetwork(
        keypoints=len(SKELETONS[hparams["skeleton"]]),
        backbone=hparams["backbone"],
        deconv_channels=tuple(hparams["deconv_channels"]),
    )
    state = _network_state(checkpoint, "adaptation.teacher.network.") or _network_state(checkpoint, "network.")
    network.load_state_dict(state)
    return network.eval()
