"""The network of a method: made from options, or pretrained."""

from pathlib import Path
from typing import Any

from hamipose.data.base import get_skeleton
from hamipose.errors import UserError
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.models.checkpoint import model_info, network_state, read_checkpoint, read_program
from hamipose.models.model_io import ModelInfo, is_model_folder, read_model_folder
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.loading import open_pretrained, with_skeleton

__all__ = ["build_network", "open_start"]


def open_start(init_from: str | Path, skeleton: str) -> tuple[FinetunableNetwork, ModelInfo] | None:
    """Open a pretrained network to train, whose layers no options describe.

    Args:
        init_from: what :func:`hamipose.models.pretrained.loading.open_pretrained` takes, or a model folder or a
            checkpoint (its student) of a run that started from one.
        skeleton: keypoints of the data; they become the rows of its last layer.

    Returns:
        The network and what it is; None for a checkpoint of a :class:`PoseNetwork`, and for what does not exist.

    Raises:
        UserError: it was not fetched, is damaged, knows no such skeleton, or cannot be trained.
    """
    network: Any
    if (found := open_pretrained(init_from, skeleton)) is not None:
        network, info = found
        if isinstance(network, PoseNetwork):
            return None
        if not isinstance(network, FinetunableNetwork):
            raise UserError(f"training.init_from is {init_from}, which can predict but not be trained further")
    elif is_model_folder(init_from):
        network, info = read_model_folder(init_from)
    elif Path(init_from).is_file():
        checkpoint = read_checkpoint(init_from)
        info = model_info(checkpoint, int(checkpoint.get("image_size") or 0))
        if info.architecture == "simple-baseline":
            return None
        network = info.network(read_program(checkpoint))
        network.load_state_dict(network_state(checkpoint, "network."))
        network.eval()
    else:
        return None
    return with_skeleton(network, info, skeleton) if isinstance(network, FinetunableNetwork) else None


def build_network(
    options: NetworkOptions, training: TrainingOptions
) -> tuple[PoseNetwork | FinetunableNetwork, dict[str, Any], str | None]:
    """Build a network.

    Args:
        options: of the network.
        training: ``init_from`` may name a pretrained network, which then replaces what `options` describe.

    Returns:
        The network; what a checkpoint must say of it, so that it can be built again; and its name if it is pretrained.

    Raises:
        UserError: it cannot be built, or options contradict each other.
    """
    skeleton = get_skeleton(options.skeleton)
    opened = open_start(training.init_from, options.skeleton) if training.init_from else None
    if opened is None:
        if options.trained != "all":
            raise UserError(
                f"network.trained is {options.trained}, which is for pretrained networks; name one in "
                "training.init_from, such as blazepose-full, or leave the option out"
            )
        weights = None if options.weights == "none" else options.weights
        made = PoseNetwork(len(skeleton), options.backbone, weights, tuple(options.deconv_channels))
        about = {"backbone": options.backbone, "deconv_channels": list(options.deconv_channels)}
        return made, about, None
    network, info = opened
    if options.weights != "none":
        raise UserError(
            f"network.weights is {options.weights} and training.init_from is {training.init_from}, a whole pretrained "
            "network; leave network.weights out"
        )
    network.train_only(options.trained)
    about = {
        "backbone": info.backbone,
        "deconv_channels": list(info.deconv_channels),
        "architecture": info.architecture,
    }
    return network, about, info.backbone
