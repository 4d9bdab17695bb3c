"""Open a pretrained pose network by its name or from a file of its own format."""

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

__all__ = ["open_default", "open_named", "open_pretrained", "with_skeleton"]


def open_default(skeleton: str | None = None) -> tuple[nn.Module, ModelInfo]:
    """Open the model that is used if none is given.

    Args:
        skeleton: as for :func:`open_pretrained`.

    Raises:
        UserError: there is none, or it does not have these keypoints.
    """
    name = required_default()
    logging.getLogger(__name__).info("no model is given; %s is used", name)
    folder = cached_folder(name)
    assert folder is not None, "the catalog has it"
    return open_named(name, folder, skeleton)


def open_pretrained(path: str | Path, skeleton: str | None = None) -> tuple[nn.Module, ModelInfo] | None:
    """Open a pretrained network that gives the keypoints asked for; None if `path` is something else.

    Args:
        path: a name of `models list`; ``vitpose:NAME``; a folder that `transformers` saved; or a file that ends in
            .onnx, .tflite or .pth.
        skeleton: keypoints to give, for networks that know more than one order; coco17 if None.

    Raises:
        UserError: the file cannot be read, the model was not fetched, or it has no such keypoints.
    """
    given = Path(path)
    if given.suffix == ".onnx":
        onnx = read_onnx(path)
        _only(skeleton, onnx.skeleton.name, path)
        method = onnx.session.get_modelmeta().custom_metadata_map.get("method", "unknown")
        return onnx, ModelInfo(onnx.skeleton.name, given.name, (), onnx.image_size, method, architecture="onnx")
    if is_vitpose(path):
        _only(skeleton, "coco17", path)
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
    return open_named(str(path), folder, skeleton)


def open_named(name: str, folder: Path, skeleton: str | None = None) -> tuple[nn.Module, ModelInfo]:
    """Open a fetched or shipped model.

    Args:
        name: as `models list` shows it.
        folder: where it is, see :func:`hamipose.models.pretrained.catalog.cached_folder`.
        skeleton: as for :func:`open_pretrained`.

    Raises:
        UserError: it is not a pose network, is damaged, or does not have these keypoints.
    """
    if name == DETECTOR:
        raise UserError(f"{name} finds people and no keypoints; give it as --detector")
    network, info = read_model_folder(folder)
    if isinstance(network, FinetunableNetwork):
        return with_skeleton(network, info, skeleton)
    _only(skeleton, info.skeleton, name)
    return network, info


def with_skeleton(
    network: FinetunableNetwork, info: ModelInfo, skeleton: str | None
) -> tuple[FinetunableNetwork, ModelInfo]:
    """Expose a skeleton's keypoints in a network's last layer.

    Raises:
        UserError: there is no such skeleton, or the network lacks joints of its headline number.
    """
    native = network.native or network.skeleton
    name = skeleton or "coco17"
    fitting = [known.name for known in SKELETONS.values() if set(known.all) <= set(native.keypoints)]
    if name not in fitting:
        raise UserError(f"skeleton is {name!r}; expected {', '.join(fitting[:-1])} or {fitting[-1]}")
    network.select(SKELETONS[name])
    return network, replace(info, skeleton=name)


def _only(asked: str | None, own: str, path: str | Path) -> None:
    if asked not in (None, own):
        raise UserError(f"skeleton is {asked!r}; {path} has the keypoints of {own}")
