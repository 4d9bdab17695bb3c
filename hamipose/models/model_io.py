"""A model to hand on: a folder with ``model.safetensors`` and a ``config.yaml`` that says what is in it. No pickles."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from safetensors.torch import save_file
from torch import nn

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path, write_text
from hamipose.io.tensor_file import check_finite, read_tensor_file
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

#: What a model's maps are: its network's own; densities made of the network's logarithms (RegDA); or what a refinement
#: makes of all of the network's scales (MDAM).
Maps = Literal["heatmaps", "log-densities", "refined"]

#: What a model's network is; "simple-baseline" where a file does not say. Model folders hold the first three alone.
Architecture = Literal["simple-baseline", "blazepose", "top-down", "onnx", "vitpose"]

_IN_FOLDERS = get_args(Architecture)[:3]

#: Of config.yaml. Raised when a file of today could no longer be read as it stands; `_upgrade` then carries it over.
FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """What is needed to use a network's weights.

    Attributes:
        skeleton: name of the keypoints' order.
        backbone: timm's name.
        deconv_channels: widths of the deconvolutions.
        image_size: side in pixels of the square crops that it was trained on.
        method: how it was trained, for whoever reads the file.
        maps: what is made of the network's maps.
        refinement_width: of the refinement, where there is one.
        quantized: whether its targets were centered on whole cells (``training.quantize``); decoding undoes it.
        statistics: which images' means and variances its BatchNorm layers have. "source and target" for a teacher with
            ``batchnorm: copy`` or ``average``; "unknown" in files of earlier versions, and for
            pretrained networks, which keep their own.
        architecture: "simple-baseline", a :class:`hamipose.models.network.PoseNetwork`; "blazepose", whose operations
            are in the folder too; "top-down", :class:`hamipose.models.pretrained.topdown.TopDown`; or "onnx" or
            "vitpose", networks that are used from files of their own and cannot be written as a model folder.
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
        """The skeleton itself."""
        return SKELETONS[self.skeleton]

    def network(self, program: Program | None = None) -> nn.Module:
        """A model of this kind, not trained: normalized images → heatmaps, as its method evaluates them.

        Args:
            program: operations of a network that consists of a list of them.
        """
        if self.architecture == "blazepose":
            assert program is not None, "a folder of this architecture has its operations"
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
    """Write a model folder; both files appear whole or not at all.

    Args:
        folder: created where it does not exist.
        network: its weights are written.
        info: describes it.
        half: write floating-point numbers in half precision: half the size. The model is read in single precision.

    Returns:
        The folder.

    Raises:
        UserError: the network is used from a file of its own, or has a weight too large for half precision.
    """
    folder = Path(folder)
    if info.architecture not in _IN_FOLDERS:
        raise UserError(f"{info.backbone} is used from its own file and cannot be written as a model folder")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
        large = [name for name, tensor in weights.items() if tensor.isinf().any()]
        if large:
            raise UserError(f"{large[0]} has values too large for half precision; write single precision")
    with atomic_path(folder / "model.safetensors") as beside:
        save_file(weights, beside, metadata={"format": "pt"})
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
    """The content of a config of any format up to today's, as today's."""
    found = content.get("hamipose_model")
    if not isinstance(found, int):
        raise UserError(f"{path} is no config of a model folder: it lacks hamipose_model; expected {FORMAT}")
    if found > FORMAT:
        raise UserError(
            f"{path} has format {found}, this hamipose ({__version__}) reads up to {FORMAT}; install the version that "
            f"wrote it ({content.get('written_by', 'not said')}) or a newer one"
        )
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
    """The model of a model folder in eval mode, and what it is.

    Raises:
        UserError: a file is missing or damaged, was written by a newer version, or the weights fit no such network.
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
            f"{path} does not hold the weights of a {info.backbone} with deconvolutions {list(info.deconv_channels)} "
            f"that config.yaml names ({str(error).splitlines()[-1].strip()})"
        ) from None
    check_finite(network.state_dict(), f"model {path}")
    return network.eval(), info
