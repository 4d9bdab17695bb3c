"""Open a pretrained pose network by its name or from a file in its own format."""

import logging
from dataclasses import replace
from pathlib import Path

from torch import nn

from hamipose.errors import UserError
from hamipose.models.model_io import ModelInfo, read_model_folder
from hamipose.models.pretrained.catalog import DETECTOR, cached_folder, required_default
from hamipose.models.pretrained.fetch import blazepose_info
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.mediapipe import read_landmark_network
from hamipose.models.pretrained.onnx_pose import read_onnx
from hamipose.models.pretrained.topdown import read_topdown
from hamipose.models.pretrained.vitpose import is_vitpose, read_vitpose
from hamipose.skeletons import SKELETONS

__all__ = ["open_default", "open_pretrained", "with_skeleton"]


def open_default(skeleton: str | None = None) -> tuple[nn.Module, ModelInfo]:
    """Open the model that is used by default.

    Args:
        skeleton: as for :func:`open_pretrained`.

    Raises:
        UserError: there is none, or it does not have these keypoints.
    """
    name = required_default()
    logging.getLogger(__name__).info("no model is given; using %s", name)
    folder = cached_folder(name)
    assert folder is not None, "the name is in the catalog"
    return _open_named(name, folder, skeleton)


def open_pretrained(path: str | Path, skeleton: str | None = None) -> tuple[nn.Module, ModelInfo] | None:
    """Open a pretrained network with the requested keypoints; return None if `path` is something else.

    Args:
        path: a name listed by `models list`; ``vitpose:NAME``; a folder saved by `transformers`; or a file that ends in
            .onnx, .tflite or .pth.
        skeleton: requested keypoints, for networks that support several skeletons; default: coco17.

    Raises:
        UserError: the file cannot be read, the model was not downloaded, or it has no such keypoints.
    """
    given = Path(path)
    if given.suffix == ".onnx":
        onnx = read_onnx(path)
        _check_skeleton(skeleton, onnx.skeleton.name, path)
        method = onnx.session.get_modelmeta().custom_metadata_map.get("method", "unknown")
        return onnx, ModelInfo(onnx.skeleton.name, given.name, (), onnx.image_size, method, architecture="onnx")
    if is_vitpose(path):
        _check_skeleton(skeleton, "coco17", path)
        vitpose = read_vitpose(path)
        return vitpose, ModelInfo("coco17", given.name, (), vitpose.image_size, "ViTPose", architecture="vitpose")
    if given.suffix == ".pth" and given.is_file():
        top_down, backbone, widths = read_topdown(given)
        info = ModelInfo("coco17", backbone, widths, top_down.image_size, architecture="top-down")
        return with_skeleton(top_down, info, skeleton)
    if given.suffix == ".tflite":
        return with_skeleton(read_landmark_network(given), blazepose_info(given.stem), skeleton)
    if given.exists() or (folder := cached_folder(str(path))) is None:
        return None
    return _open_named(str(path), folder, skeleton)


def _open_named(name: str, folder: Path, skeleton: str | None = None) -> tuple[nn.Module, ModelInfo]:
    """Open a downloaded or included model.

    Args:
        name: name listed by `models list`.
        folder: its folder, see :func:`hamipose.models.pretrained.catalog.cached_folder`.
        skeleton: as for :func:`open_pretrained`.

    Raises:
        UserError: it is not a pose network, is damaged, or does not have these keypoints.
    """
    if name == DETECTOR:
        raise UserError(f"{name} is a person detector without keypoints; give it as --detector")
    network, info = read_model_folder(folder)
    if isinstance(network, FinetunableNetwork):
        return with_skeleton(network, info, skeleton)
    _check_skeleton(skeleton, info.skeleton, name)
    return network, info


def with_skeleton(
    network: FinetunableNetwork, info: ModelInfo, skeleton: str | None
) -> tuple[FinetunableNetwork, ModelInfo]:
    """Select a skeleton in a network's last layer.

    Args:
        network: the network; changed in place.
        info: its description.
        skeleton: name of the skeleton; default: coco17.

    Returns:
        The network and its new description.

    Raises:
        UserError: there is no such skeleton, or the network lacks keypoints that the skeleton's main score needs.
    """
    native = network.native or network.skeleton
    name = skeleton or "coco17"
    fitting = [known.name for known in SKELETONS.values() if set(known.all) <= set(native.keypoints)]
    if name not in fitting:
        raise UserError(f"skeleton is {name!r}; expected {', '.join(fitting[:-1])} or {fitting[-1]}")
    network.select(SKELETONS[name])
    return network, replace(info, skeleton=name)


def _check_skeleton(requested: str | None, own: str, path: str | Path) -> None:
    if requested not in (None, own):
        raise UserError(f"skeleton is {requested!r}, but {path} has the keypoints of {own}")
