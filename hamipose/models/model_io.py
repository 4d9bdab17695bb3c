"""Read and write model folders: ``model.safetensors`` and a ``config.yaml`` that describes the model. No pickles."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from torch import nn

from hamipose.errors import UserError
from hamipose.io.atomic_file import write_text
from hamipose.io.format_version import check_folder_format
from hamipose.io.tensor_file import check_finite, read_tensor_file, write_weights
from hamipose.io.yaml_file import read_yaml
from hamipose.models.batchnorm import StatisticsDomain
from hamipose.models.network import LogDensityNetwork, PoseNetwork
from hamipose.models.pretrained.mediapipe import BlazePose
from hamipose.models.pretrained.operations import Program
from hamipose.models.pretrained.topdown import TopDown
from hamipose.models.refinement import RefinedNetwork, Refinement
from hamipose.skeletons import SKELETONS, Skeleton
from hamipose.version import __version__

__all__ = ["FORMAT", "Maps", "ModelInfo", "is_model_folder", "read_model_folder", "save_model_folder"]

#: Maps of a model: those of its network; densities computed from the network's log-densities (RegDA); or the output of
#: a refinement of all scales of the network (MDAM).
Maps = Literal["heatmaps", "log-densities", "refined"]

#: Architecture of a network; default: "simple-baseline". Only the first three can be written as model folders.
Architecture = Literal["simple-baseline", "blazepose", "top-down", "onnx", "vitpose"]

_IN_FOLDERS = get_args(Architecture)[:3]

#: Format of config.yaml; incremented if the current files can no longer be read unchanged (see `_upgrade`).
FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """Description of a network, needed to use its weights.

    Attributes:
        skeleton: name of the skeleton.
        backbone: name of the timm model.
        deconv_channels: widths of the deconvolutions.
        image_size: side in pixels of the square crops in training.
        method: name of the training method, for information.
        maps: conversion of the network's maps.
        refinement_width: width of the refinement, if there is one.
        quantized: whether the training targets were centered on whole cells (``training.quantize``); decoding corrects
            it.
        statistics: domain of the images whose means and variances the BatchNorm layers contain. "source and target" for
            a teacher with ``batchnorm: copy`` or ``average``; "unknown" in files of earlier versions, and for
            pretrained networks, which keep their own.
        architecture: "simple-baseline", a :class:`hamipose.models.network.PoseNetwork`; "blazepose", whose operations
            are also in the folder; "top-down", :class:`hamipose.models.pretrained.topdown.TopDown`; or "onnx" or
            "vitpose", networks that are used from their own files and cannot be written as model folders.
    """

    skeleton: str
    backbone: str
    deconv_channels: tuple[int, ...]
    image_size: int
    method: str = "unknown"
    maps: Maps = "heatmaps"
    refinement_width: int = 0
    quantized: bool = False
    statistics: StatisticsDomain = "unknown"
    architecture: Architecture = "simple-baseline"

    @property
    def keypoints(self) -> Skeleton:
        """Return the skeleton."""
        return SKELETONS[self.skeleton]

    def network(self, program: Program | None = None) -> nn.Module:
        """Build an untrained network of this kind: normalized images → heatmaps, as evaluated by its method.

        Args:
            program: operations of a network that consists of a list of operations.
        """
        if self.architecture == "blazepose":
            assert program is not None, "a folder of this architecture contains its operations"
            return BlazePose(program, self.keypoints)
        network = PoseNetwork(len(self.keypoints), self.backbone, None, self.deconv_channels)
        if self.architecture == "top-down":
            return TopDown(network, self.keypoints, self.image_size)
        if self.maps == "log-densities":
            return LogDensityNetwork(network)
        if self.maps == "refined":
            refinement = Refinement(network.pyramid_channels, self.refinement_width, len(self.keypoints))
            return RefinedNetwork(network, refinement)
        return network


def save_model_folder(folder: str | Path, network: nn.Module, info: ModelInfo, *, half: bool = False) -> Path:
    """Write a model folder; each file is written atomically.

    Args:
        folder: output folder; created if it does not exist.
        network: network whose weights are written.
        info: description of the network.
        half: write floating-point numbers in half precision, half the size. The model is read in single precision.

    Returns:
        The folder.

    Raises:
        UserError: the network is used from its own file, or has a weight too large for half precision.
    """
    folder = Path(folder)
    if info.architecture not in _IN_FOLDERS:
        raise UserError(f"{info.backbone} is used from its own file and cannot be written as a model folder")
    write_weights(folder / "model.safetensors", network.state_dict(), half=half)
    if isinstance(network, BlazePose):
        write_text(folder / "operations.json", network.program.to_json())
    content = {"hamipose_model": FORMAT, "written_by": f"hamipose {__version__}", **asdict(info)}
    content["deconv_channels"] = list(info.deconv_channels)
    write_text(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False))
    return folder


def is_model_folder(path: str | Path) -> bool:
    """Return whether a path is a model folder."""
    return (Path(path) / "model.safetensors").is_file() and (Path(path) / "config.yaml").is_file()


def _upgrade(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Convert the content of a config of any format to the current format."""
    check_folder_format(content, "hamipose", FORMAT, path)
    return content


def _read_info(path: Path) -> ModelInfo:
    content = read_yaml(path, "model's config", "the config.yaml of a model folder that hamipose wrote")
    content = _upgrade(content, path)
    needed = [f.name for f in fields(ModelInfo) if f.default is MISSING]
    if missing := [name for name in needed if name not in content]:
        raise UserError(f"{path} lacks {', '.join(missing)}; write the model folder again")
    widths, size = content["deconv_channels"], content["image_size"]
    sound = isinstance(content["skeleton"], str) and isinstance(content["backbone"], str) and isinstance(widths, list)
    sound = sound and all(isinstance(value, int) and 0 < value <= 2**14 for value in (*widths, size))
    if not sound or len(widths) > 8 or not isinstance(content.get("refinement_width", 0), int):
        raise UserError(
            f"{path}: skeleton and backbone must be names, deconv_channels a list of widths, image_size a number of "
            "pixels; copy the model folder again"
        )
    if content["skeleton"] not in SKELETONS:
        raise UserError(f"{path}: skeleton is {content['skeleton']!r}, expected one of {', '.join(SKELETONS)}")
    if (maps := content.get("maps", "heatmaps")) not in get_args(Maps):
        raise UserError(f"{path}: maps is {maps!r}, expected one of {', '.join(get_args(Maps))}")
    if not isinstance(quantized := content.get("quantized", False), bool):
        raise UserError(f"{path}: quantized is {quantized!r}, expected true or false")
    if (statistics := content.get("statistics", "unknown")) not in get_args(StatisticsDomain):
        raise UserError(
            f"{path}: statistics is {statistics!r}, expected one of {', '.join(get_args(StatisticsDomain))}"
        )
    if (architecture := content.get("architecture", "simple-baseline")) not in _IN_FOLDERS:
        raise UserError(f"{path}: architecture is {architecture!r}, expected one of {', '.join(_IN_FOLDERS)}")
    return ModelInfo(
        skeleton=content["skeleton"],
        backbone=content["backbone"],
        deconv_channels=tuple(content["deconv_channels"]),
        image_size=int(content["image_size"]),
        method=str(content.get("method", "unknown")),
        maps=maps,
        refinement_width=int(content.get("refinement_width", 0)),
        quantized=quantized,
        statistics=statistics,
        architecture=architecture,
    )


def _read_program(folder: Path) -> Program:
    path = folder / "operations.json"
    try:
        return Program.from_json(path.read_text(), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); copy the model folder again") from None


def read_model_folder(folder: str | Path) -> tuple[nn.Module, ModelInfo]:
    """Return the network of a model folder in eval mode, and its description.

    Raises:
        UserError: a file is missing or damaged, was written by a newer version, or the weights do not fit the
            description.
    """
    folder = Path(folder)
    info = _read_info(folder / "config.yaml")
    network = info.network(_read_program(folder) if info.architecture == "blazepose" else None)
    path = folder / "model.safetensors"
    state = read_tensor_file(path, "model", "copy the model folder again")
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not contain the weights of a {info.backbone} with deconvolutions "
            f"{list(info.deconv_channels)} that config.yaml describes ({str(error).splitlines()[-1].strip()})"
        ) from None
    check_finite(network.state_dict(), f"model {path}")
    return network.eval(), info
