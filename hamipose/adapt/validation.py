"""Checks of all that a request names, made before anything is looked for, rendered or trained."""

from collections.abc import Callable
from pathlib import Path

from hamipose.adapt.configs import labeled_set
from hamipose.adapt.spec import Request
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.errors import UserError
from hamipose.inference.footage import open_footage
from hamipose.io.atomic_file import check_folder
from hamipose.models.network import PoseNetwork
from hamipose.skeletons import BODY16

__all__ = ["check_request"]


def check_request(request: Request, say: Callable[[str], None]) -> None:
    """Read every file that a request names, as far as that takes seconds; report what the footage leaves out.

    Args:
        request: what is asked for.
        say: receives a line for each kind of picture that is left out.

    Raises:
        UserError: a file is missing or cannot be used, no picture can be read, or the network cannot be built.
        OSError: a folder cannot be written.
    """
    footage = open_footage(str(request.footage), boxes=request.boxes, frame_stride=request.frame_stride)
    if next(footage.samples, None) is None:
        first = f": {footage.unreadable[0]}" if footage.unreadable else ""
        raise UserError(f"nothing in {request.footage} could be read{first}")
    for line in footage.unreadable:
        say(f"left out: {line}")
    if request.labels is not None:
        CocoKeypoints(**labeled_set(request.footage, Path(request.labels), "image")["init_args"]).prepare()
    if request.source is not None:
        CocoKeypoints(**request.source["init_args"]).prepare()
    if request.start is None and not (request.out / "start" / "scores.json").exists():
        _check_network(request)
    check_folder(request.out)
    if request.source is None:
        check_folder(request.cache)


def _check_network(request: Request) -> None:
    """Build the network that is to be trained: its name, its weights and the size of the crops must fit."""
    plan = request.plan
    weights = None if plan.weights == "none" else plan.weights
    network = PoseNetwork(len(BODY16), plan.backbone, weights, tuple(plan.deconv_channels))
    if plan.image_size % network.backbone_stride:
        stride = f"{network.backbone_stride}, the stride of {plan.backbone}"
        raise UserError(f"--size is {plan.image_size}, expected a multiple of {stride}")
