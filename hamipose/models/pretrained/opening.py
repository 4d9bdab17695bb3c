"""Pretrained networks by name, from published files, and from model folders."""

from dataclasses import replace
from pathlib import Path

from hamipose.errors import InputError
from hamipose.models.folder import ModelInfo, open_folder
from hamipose.models.pretrained.catalog import DETECTOR, cached
from hamipose.models.pretrained.fetch import blazepose_info
from hamipose.models.pretrained.mediapipe import read_landmark_network
from hamipose.models.pretrained.start import Start
from hamipose.models.pretrained.topdown import read_topdown
from hamipose.skeletons import SKELETONS

__all__ = ["open_pretrained", "with_skeleton"]


def with_skeleton(network: Start, info: ModelInfo, skeleton: str | None) -> tuple[Start, ModelInfo]:
    """Expose a skeleton's keypoints in a network's last layer.

    Raises:
        InputError: there is no such skeleton, or the network lacks joints of its headline number.
    """
    native = network.native or network.skeleton
    name = skeleton or "coco17"
    fitting = [known.name for known in SKELETONS.values() if set(known.all) <= set(native.keypoints)]
    if name not in fitting:
        raise InputError(f"skeleton is {name!r}; expected {', '.join(fitting[:-1])} or {fitting[-1]}")
    network.select(SKELETONS[name])
    return network, replace(info, skeleton=name)


def open_pretrained(path: str | Path, skeleton: str | None = None) -> tuple[Start, ModelInfo] | None:
    """Open a pretrained network that gives the keypoints asked for; None if `path` is something else.

    Args:
        path: a name that ``python -m hamipose models list`` has, a pose landmark network of MediaPipe (.tflite), or a
            Simple Baseline or HRNet of Microsoft or mmpose (.pth).
        skeleton: keypoints to give; coco17 if None.

    Raises:
        InputError: it was not fetched, is damaged, or knows no such skeleton.
    """
    given = Path(path)
    if given.suffix == ".pth" and given.is_file():
        top_down, backbone, widths = read_topdown(given)
        info = ModelInfo("coco17", backbone, widths, top_down.image_size, architecture="top-down")
        return with_skeleton(top_down, info, skeleton)
    if given.suffix == ".tflite":
        return with_skeleton(read_landmark_network(given), blazepose_info(given.stem), skeleton)
    if given.exists() or (folder := cached(str(path))) is None:
        return None
    if str(path) == DETECTOR:
        raise InputError(f"{path} finds people and no keypoints; give it as --detector")
    network, info = open_folder(folder)
    assert isinstance(network, Start), "the catalog has no others"
    return with_skeleton(network, info, skeleton)
