"""Build the network of a method from options, or open a pretrained one."""

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
    """Open a pretrained network for training.

    Args:
        init_from: argument of :func:`hamipose.models.pretrained.loading.open_pretrained`, or a model folder or a
            checkpoint (of which the student is used) of a run that started from a pretrained network.
        skeleton: keypoints of the data, which become the rows of the last layer.

    Returns:
        The network and its description; None for a checkpoint of a :class:`PoseNetwork`, and for a missing file.

    Raises:
        UserError: it was not fetched, is damaged, does not support the skeleton, or cannot be trained.
    """
    network: Any
    if (found := open_pretrained(init_from, skeleton)) is not None:
        network, info = found
        if isinstance(network, PoseNetwork):
            return None
        if not isinstance(network, FinetunableNetwork):
            raise UserError(f"training.init_from is {init_from}, which can predict but cannot be trained further")
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
    """Build the network of a method.

    Args:
        options: options of the network.
        training: ``init_from`` may name a pretrained network, which then replaces `options`.

    Returns:
        The network, the description that rebuilds it from a checkpoint, and its name if it is pretrained.

    Raises:
        UserError: the network cannot be built, or options contradict each other.
    """
    skeleton = get_skeleton(options.skeleton)
    opened = open_start(training.init_from, options.skeleton) if training.init_from else None
    if opened is None:
        if options.trained != "all":
            raise UserError(
                f"network.trained is {options.trained}, which requires a pretrained network; set one in "
                "training.init_from, such as blazepose-full, or remove the option"
            )
        weights = None if options.weights == "none" else options.weights
        built = PoseNetwork(len(skeleton), options.backbone, weights, tuple(options.deconv_channels))
        about = {"backbone": options.backbone, "deconv_channels": list(options.deconv_channels)}
        return built, about, None
    network, info = opened
    if options.weights != "none":
        raise UserError(
            f"network.weights is {options.weights} and training.init_from is {training.init_from}, a pretrained "
            "network; remove network.weights"
        )
    network.train_only(options.trained)
    about = {
        "backbone": info.backbone,
        "deconv_channels": list(info.deconv_channels),
        "architecture": info.architecture,
    }
    return network, about, info.backbone
