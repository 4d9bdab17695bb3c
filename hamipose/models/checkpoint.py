"""Read checkpoints of all methods and build the networks that they contain."""

from pathlib import Path
from typing import Any, get_args

from torch import nn

from hamipose.errors import UserError
from hamipose.io.tensor_file import check_finite, read_checkpoint_file
from hamipose.models.model_io import Architecture, Maps, ModelInfo, is_model_folder, read_model_folder
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.catalog import cached_folder
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.mediapipe import BlazePose
from hamipose.models.pretrained.operations import Program
from hamipose.skeletons import SKELETONS, Skeleton

__all__ = [
    "build_evaluated",
    "check_skeleton",
    "checkpoint_content",
    "load_network",
    "model_info",
    "network_state",
    "read_checkpoint",
    "read_program",
    "saved_encoding",
]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing in it is executed.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of this package.
    """
    checkpoint = read_checkpoint_file(path)
    hparams = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if isinstance(hparams, dict) and "regressor" in hparams and "skeleton" not in hparams:
        raise UserError(
            f"checkpoint {path} was saved by meshtto and recovers meshes; use python -m meshtto app or python -m "
            "meshtto predict with it"
        )
    known = isinstance(hparams, dict) and {"skeleton", "backbone", "deconv_channels"} <= hparams.keys()
    if not known or not isinstance(checkpoint.get("state_dict"), dict):
        raise UserError(f"checkpoint {path} was not saved by hamipose; give a checkpoint saved by `fit`")
    return checkpoint


def check_skeleton(checkpoint: dict[str, Any], skeleton: Skeleton) -> None:
    """Check that a checkpoint predicts the keypoints of a skeleton.

    Raises:
        UserError: the checkpoint has another skeleton.
    """
    found = checkpoint.get("hyper_parameters", {}).get("skeleton")
    if found != skeleton.name:
        raise UserError(
            f"the checkpoint's network predicts the keypoints of {found}, but this model those of {skeleton.name}; set "
            f"network.skeleton and the data sets' skeletons to {found}, or give another checkpoint"
        )


def _named(quantized: bool) -> str:
    """Return the name of an encoding for messages."""
    return (
        "quantized targets (training.quantize: true)" if quantized else "sub-pixel targets (training.quantize: false)"
    )


def saved_encoding(checkpoint: dict[str, Any], quantized: bool, resuming: bool) -> bool:
    """Return whether a checkpoint's network was trained on quantized targets; decoding must match it.

    Args:
        checkpoint: content of a checkpoint; one of an earlier version does not state the encoding, and `quantized` is
            used.
        quantized: value in the config.
        resuming: whether training resumes, which requires the same encoding.

    Raises:
        UserError: training would resume with another encoding.
    """
    saved = checkpoint.get("hyper_parameters", {}).get("quantized", quantized)
    if resuming and saved != quantized:
        raise UserError(
            f"the checkpoint's network was trained on {_named(saved)}, but this run uses {_named(quantized)}; "
            "give the config it was trained with"
        )
    return bool(saved)


def network_state(checkpoint: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the tensors whose names start with a prefix, without the prefix."""
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if str(k).startswith(prefix)}


def read_program(checkpoint: dict[str, Any]) -> Program | None:
    """Return the operations of a network that consists of a list of operations; None for other networks.

    Raises:
        UserError: the operations are damaged.
    """
    text = checkpoint.get("operations")
    return None if text is None else Program.from_json(text, "the checkpoint's list of operations")


def checkpoint_content(model: Any, info: ModelInfo) -> dict[str, Any]:
    """Return a model as the content of a checkpoint that training can start from.

    Args:
        model: network evaluated by its method.
        info: description of the model.

    Raises:
        UserError: adaptation cannot start from this kind of model.
    """
    if info.maps == "log-densities":
        raise UserError(
            f"{info.method} predicts log-densities, but adaptation must start from heatmaps; give another model"
        )
    network = model if info.maps == "heatmaps" else model.network
    hparams = {
        "method": info.method,
        "skeleton": info.skeleton,
        "backbone": info.backbone,
        "deconv_channels": list(info.deconv_channels),
        "quantized": info.quantized,
        "statistics": info.statistics,
        "architecture": info.architecture,
    }
    state = {f"network.{name}": value.cpu() for name, value in network.state_dict().items()}
    content = {"state_dict": state, "hyper_parameters": hparams, "image_size": info.image_size}
    if isinstance(network, BlazePose):
        content["operations"] = network.program.to_json()
    return content


def _start_content(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint, or a model folder's network as such a content."""
    folder = Path(path) if is_model_folder(path) else None if Path(path).exists() else cached_folder(str(path))
    return read_checkpoint(path) if folder is None else checkpoint_content(*read_model_folder(folder))


def load_network(
    path: str | Path, network: PoseNetwork | FinetunableNetwork, skeleton: Skeleton, quantized: bool
) -> dict[str, Any]:
    """Fill a network with the student of a checkpoint; return the checkpoint's whole state.

    Args:
        path: a checkpoint, a model folder, or the name of a model in this package.
        network: network to fill.
        skeleton: skeleton of the network.
        quantized: whether the network will be trained on quantized targets.

    Raises:
        UserError: the checkpoint cannot be read, or has another skeleton, network or encoding.
    """
    checkpoint = _start_content(path)
    check_skeleton(checkpoint, skeleton)
    learned = checkpoint["hyper_parameters"].get("quantized", quantized)  # absent in checkpoints of earlier versions
    if learned != quantized:
        raise UserError(
            f"checkpoint {path} was trained on {_named(learned)}, but this run uses {_named(quantized)}, which differ "
            f"by up to 1.5 px; set training.quantize to {str(learned).lower()}"
        )
    try:
        network.load_state_dict(network_state(checkpoint, "network."))
    except RuntimeError:
        hparams = checkpoint["hyper_parameters"]
        raise UserError(
            f"checkpoint {path} contains a {hparams.get('backbone')} with deconvolutions "
            f"{hparams.get('deconv_channels')}, which differs from the configured network; give "
            "model.init_args.network the same values"
        ) from None
    return dict(checkpoint["state_dict"])


def model_info(checkpoint: dict[str, Any], image_size: int = 0, quantized: bool = False) -> ModelInfo:
    """Return the description of a checkpoint's model.

    Args:
        checkpoint: content returned by :func:`read_checkpoint`.
        image_size: side of its crops in pixels.
        quantized: whether its targets were quantized; used for checkpoints of earlier versions, which do not state it.

    Raises:
        UserError: the skeleton is unknown, or an option is invalid.
    """
    hparams = checkpoint["hyper_parameters"]
    _check_options(hparams)
    if hparams["skeleton"] not in SKELETONS:
        raise UserError(
            f"the checkpoint's network predicts the keypoints of {hparams['skeleton']}, which is none of "
            f"{', '.join(SKELETONS)}; import the file that adds it first, or add it to hamipose/skeletons.py"
        )
    method = str(hparams.get("method", "unknown"))
    before: dict[str, Maps] = {"RegDA": "log-densities", "MDAM": "refined"}  # for checkpoints that do not state it
    width = checkpoint["state_dict"].get("refinement.scales.0.0.weight")
    return ModelInfo(
        skeleton=hparams["skeleton"],
        backbone=hparams["backbone"],
        deconv_channels=tuple(hparams["deconv_channels"]),
        image_size=image_size,
        method=method,
        maps=hparams.get("maps", before.get(method, "heatmaps")),
        refinement_width=0 if width is None else len(width),
        quantized=bool(hparams.get("quantized", quantized)),
        statistics=hparams.get("statistics", "unknown"),
        architecture=hparams.get("architecture", "simple-baseline"),
    )


def _check_options(hparams: dict[str, Any]) -> None:
    """Check the types of a checkpoint's options.

    Raises:
        UserError: an option has an invalid value.
    """
    widths = hparams["deconv_channels"]
    sound = {
        "skeleton": isinstance(hparams["skeleton"], str),
        "backbone": isinstance(hparams["backbone"], str),
        "deconv_channels": isinstance(widths, (list, tuple))
        and all(isinstance(width, int) and 0 < width <= 2**14 for width in widths)
        and len(widths) <= 8,
        "maps": hparams.get("maps", "heatmaps") in get_args(Maps),
        "architecture": hparams.get("architecture", "simple-baseline") in get_args(Architecture),
    }
    for name, fits in sound.items():
        if not fits:
            raise UserError(
                f"the checkpoint has {name} {str(hparams.get(name))[:60]!r}, which is not valid; it is damaged, or was "
                "not saved by hamipose"
            )


def build_evaluated(checkpoint: dict[str, Any], info: ModelInfo) -> nn.Module:
    """Build the network that a checkpoint's method evaluates, in eval mode: the teacher, if there is one.

    Args:
        checkpoint: content returned by :func:`read_checkpoint`.
        info: description returned by :func:`model_info`.

    Raises:
        UserError: the weights do not fit the described network.
    """
    state = network_state(checkpoint, "adaptation.teacher.network.") or network_state(checkpoint, "network.")
    if info.maps != "heatmaps":
        state = {f"network.{name}": value for name, value in state.items()}
    if info.maps == "refined":
        refinement = network_state(checkpoint, "refinement_teacher.network.")
        state |= {f"refinement.{name}": value for name, value in refinement.items()}
    program = read_program(checkpoint)
    if info.architecture == "blazepose" and program is None:
        raise UserError(f"the checkpoint lacks the operations of its network, a {info.backbone}; it is damaged")
    network = info.network(program)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"the checkpoint does not contain the weights of a {info.backbone} with deconvolutions "
            f"{list(info.deconv_channels)} that it describes ({str(error).splitlines()[-1].strip()})"
        ) from None
    check_finite(network.state_dict(), "the checkpoint")
    return network.eval()
