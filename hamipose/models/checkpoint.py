"""Networks out of checkpoints, whichever method made them."""

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
    "load_evaluated",
    "load_network",
    "model_info",
    "network_state",
    "read_checkpoint",
    "read_program",
    "saved_encoding",
]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint's content; nothing in it is executed.

    Raises:
        UserError: it is missing, damaged or not a checkpoint of this package.
    """
    checkpoint = read_checkpoint_file(path)
    hparams = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if isinstance(hparams, dict) and "regressor" in hparams and "skeleton" not in hparams:
        raise UserError(
            f"checkpoint {path} recovers meshes, it was saved by meshtto; use python -m meshtto app or python -m "
            "meshtto predict with it"
        )
    known = isinstance(hparams, dict) and {"skeleton", "backbone", "deconv_channels"} <= hparams.keys()
    if not known or not isinstance(checkpoint.get("state_dict"), dict):
        raise UserError(f"checkpoint {path} was not saved by hamipose; give a file that `fit` saved")
    return checkpoint


def check_skeleton(checkpoint: dict[str, Any], skeleton: Skeleton) -> None:
    """Refuse a checkpoint of other keypoints.

    Raises:
        UserError: its skeleton is not this one.
    """
    found = checkpoint.get("hyper_parameters", {}).get("skeleton")
    if found != skeleton.name:
        raise UserError(
            f"the checkpoint's network finds the keypoints of {found}, this model those of {skeleton.name}; "
            f"set network.skeleton to {found} (and the data sets' with it) or give another checkpoint"
        )


def _named(quantized: bool) -> str:
    """Name the kind of targets for messages."""
    return (
        "quantized targets (training.quantize: true)" if quantized else "sub-pixel targets (training.quantize: false)"
    )


def saved_encoding(checkpoint: dict[str, Any], quantized: bool, goes_on: bool) -> bool:
    """Return how the targets were encoded that a checkpoint's network learned; decoding follows it.

    Args:
        checkpoint: as Lightning reads it; one of an earlier version does not say, and the config's word stands.
        quantized: what the config says.
        goes_on: whether training does, which must teach as it did.

    Raises:
        UserError: training would go on with another encoding.
    """
    saved = checkpoint.get("hyper_parameters", {}).get("quantized", quantized)
    if goes_on and saved != quantized:
        raise UserError(
            f"the checkpoint's network learned {_named(saved)}, this run would teach it {_named(quantized)}; "
            "give the config it was made with"
        )
    return bool(saved)


def network_state(checkpoint: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if str(k).startswith(prefix)}


def read_program(checkpoint: dict[str, Any]) -> Program | None:
    """Return the operations of a network that consists of a list of them; None for other networks.

    Raises:
        UserError: they are damaged.
    """
    text = checkpoint.get("operations")
    return None if text is None else Program.from_json(text, "the checkpoint's list of operations")


def checkpoint_content(model: Any, info: ModelInfo) -> dict[str, Any]:
    """Return what a checkpoint of a model holds, as far as training starts from it.

    Args:
        model: what its method evaluates.
        info: what it is.

    Raises:
        UserError: adaptation cannot start from such a model.
    """
    if info.maps == "log-densities":
        raise UserError(f"{info.method} finds logarithms of densities; adaptation starts from heatmaps: give another")
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
    """Return a checkpoint's content, or what a checkpoint of a model folder's network would hold."""
    folder = Path(path) if is_model_folder(path) else None if Path(path).exists() else cached_folder(str(path))
    return read_checkpoint(path) if folder is None else checkpoint_content(*read_model_folder(folder))


def load_network(
    path: str | Path, network: PoseNetwork | FinetunableNetwork, skeleton: Skeleton, quantized: bool
) -> dict[str, Any]:
    """Fill a network with a checkpoint's student; return the checkpoint's whole state.

    Args:
        path: of the checkpoint, of a model folder, or the name of a model that is part of this package.
        network: to fill.
        skeleton: of its keypoints.
        quantized: how the targets are encoded that it is going to learn.

    Raises:
        UserError: the checkpoint cannot be read, is of another skeleton or network, or learned other targets.
    """
    checkpoint = _start_content(path)
    check_skeleton(checkpoint, skeleton)
    learned = checkpoint["hyper_parameters"].get("quantized", quantized)  # absent in those of earlier versions
    if learned != quantized:
        raise UserError(
            f"checkpoint {path} learned {_named(learned)}, and this run would teach it "
            f"{_named(quantized)}, which lie up to 1.5 px away; set training.quantize to {str(learned).lower()}"
        )
    try:
        network.load_state_dict(network_state(checkpoint, "network."))
    except RuntimeError:
        hparams = checkpoint["hyper_parameters"]
        raise UserError(
            f"checkpoint {path} holds a {hparams.get('backbone')} with deconvolutions "
            f"{hparams.get('deconv_channels')}, another network than the one to fill; give "
            "model.init_args.network the same values"
        ) from None
    return dict(checkpoint["state_dict"])


def model_info(checkpoint: dict[str, Any], image_size: int = 0, quantized: bool = False) -> ModelInfo:
    """What it takes to build what a checkpoint's method evaluates.

    Args:
        checkpoint: of :func:`read_checkpoint`.
        image_size: side of its crops.
        quantized: how its targets were encoded, for a checkpoint of an earlier version, which does not say.

    Raises:
        UserError: nobody has said what its keypoints are.
    """
    hparams = checkpoint["hyper_parameters"]
    _check_options(hparams)
    if hparams["skeleton"] not in SKELETONS:
        raise UserError(
            f"the checkpoint's network finds the keypoints of {hparams['skeleton']}, which is none of "
            f"{', '.join(SKELETONS)}; import the file that adds it first, or put it into hamipose/skeletons.py"
        )
    method = str(hparams.get("method", "unknown"))
    before: dict[str, Maps] = {"RegDA": "log-densities", "MDAM": "refined"}  # in checkpoints that do not say
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
    """Refuse options of no use: the file is damaged, or another program wrote it.

    Raises:
        UserError: an option is not of its kind.
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
    """What a checkpoint's method evaluates, ready to use: the teacher where there is one, in eval mode.

    Args:
        checkpoint: of :func:`read_checkpoint`.
        info: of :func:`model_info`.

    Raises:
        UserError: its weights are of another network than it says.
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
            f"the checkpoint does not hold the weights of a {info.backbone} with deconvolutions "
            f"{list(info.deconv_channels)} that it names ({str(error).splitlines()[-1].strip()})"
        ) from None
    check_finite(network.state_dict(), "the checkpoint")
    return network.eval()


def load_evaluated(path: str | Path) -> nn.Module:
    """Normalized images → heatmaps, as the method of a checkpoint evaluates them; see :func:`build_evaluated`.

    (``hamipose.load`` gives the network with what it takes to decode its maps.)

    Raises:
        UserError: the checkpoint cannot be read, or is of keypoints or weights that fit nothing.
    """
    checkpoint = read_checkpoint(path)
    return build_evaluated(checkpoint, model_info(checkpoint))
