"""Interface of person detectors, and the detectors of torchvision."""

import re
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from hamipose.errors import UserError
from hamipose.io.tensor_file import read_tensor_file
from hamipose.models.device import move_to_device
from hamipose.models.weights import read_state_dict

__all__ = [
    "TORCHVISION",
    "PersonDetector",
    "TorchvisionDetector",
    "identify_architecture",
]

#: Detectors of torchvision; the first is the default. Of those that need less than a second per image on a CPU, it is
#: the best on COCO (32.8 AP; 22.8 at 320 px, 46.7 with ResNet-50 v2 at 60 times the cost, according to torchvision).
TORCHVISION = (
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
)
_PERSON = 1  # in COCO as torchvision numbers it; 0 is the background


class PersonDetector(ABC):
    """Detects people in an image.

    Attributes:
        name: identifies the detector and its weights; written into box files.
        threshold: lowest score of a detected person.
    """

    name: str
    threshold: float

    @abstractmethod
    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "person 5"]:
        """Return left, top, width, height in pixels (edges included) and score (0 to 1) of each person, best first.

        Args:
            image: RGB.
        """

    def crops(self, image: UInt8[np.ndarray, "height width 3"], margin: float = 1.25) -> Float[np.ndarray, "person 6"]:
        """Return crops for pose networks that accept rotated crops: boxes, scores, and degrees clockwise.

        Args:
            image: RGB.
            margin: crops show this many times a box, for detectors that find boxes without rotations.
        """
        people = self(image)
        sides = people[:, 2:4] * margin
        corner = people[:, :2] + (people[:, 2:4] - sides) / 2
        return np.concatenate([corner, sides, people[:, 4:], 0 * people[:, 4:]], 1).astype(np.float32)


class TorchvisionDetector(PersonDetector):
    """A network with the interface of torchvision's detectors, restricted to people.

    Args:
        network: list of images in [0, 1] → for each a dictionary of ``boxes`` (corners), ``labels``, ``scores``.
        name: see :class:`PersonDetector`.
        threshold: lowest score of a detected person.
        device: torch device name; default: the first GPU, if any.

    Raises:
        UserError: there is no such device.
    """

    def __init__(self, network: nn.Module, name: str, threshold: float = 0.5, device: str | None = None):
        self.network = network
        self.device = move_to_device(network, device)
        self.name = name
        self.threshold = threshold

    @torch.inference_mode()
    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "person 5"]:
        """Detect people, see :class:`PersonDetector`."""
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(self.device).float() / 255
        (found,) = self.network([pixels])
        corners, scores = found["boxes"].float(), found["scores"].float()
        sides = corners[:, 2:] - corners[:, :2]
        kept = (found["labels"] == _PERSON) & (scores >= self.threshold) & (sides > 1).all(1)
        people = torch.cat([corners[:, :2], sides, scores[:, None]], 1)[kept]
        return people[people[:, 4].argsort(descending=True, stable=True)].cpu().numpy()


def identify_architecture(state: dict[str, Tensor], path: Path) -> str:
    """Return torchvision's name of the detector that a state dict belongs to, by tensor names and shapes.

    Args:
        state: tensors by name.
        path: file of the state dict. Two detectors only differ in their input size: "320" in the file name means the
            smaller one.

    Raises:
        UserError: it belongs to no torchvision detector with COCO's classes.
    """
    shapes = {key: value.shape for key, value in state.items()}
    for name in sorted(TORCHVISION, key=lambda name: ("320_fpn" in name) != ("320" in path.name)):
        if _shapes_of(name) == shapes:
            return name
    raise UserError(
        f"detector {path} does not belong to a torchvision detector with COCO's 91 classes (its first tensors are "
        f"{', '.join(list(state)[:2])}); expected a state dict of {', '.join(TORCHVISION)}"
    )


@cache
def _shapes_of(name: str) -> dict[str, torch.Size]:
    """Return the shapes of a torchvision detector's tensors, without memory or initialization."""
    with torch.device("meta"):
        network = get_model(name, weights=None, weights_backbone=None)
    return {key: value.shape for key, value in network.state_dict().items()}


def _load_torchvision(name: str) -> nn.Module:
    """Load a detector with torchvision's weights, which torchvision downloads once.

    Raises:
        UserError: there is no such detector, or its weights cannot be downloaded.
    """
    if name not in TORCHVISION:
        raise UserError(f"detector is torchvision:{name}, expected one of {', '.join(TORCHVISION)} after the colon")
    weights = get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.exists():
        digits = re.search(r"-([0-9a-f]{8,})\.", path.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.url, str(path), digits and digits[1], progress=False)
        except (URLError, OSError, RuntimeError) as error:  # no network, no space, or an unexpected file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"detector: the weights of torchvision's {name} cannot be downloaded ({reason}): download "
                f"{weights.url} on another machine and give the file with --detector, or give --boxes, or omit both"
            ) from None
    state = read_tensor_file(path, "detector", f"delete it to download it again from {weights.url}")
    return _filled(name, state)


def _filled(name: str, state: dict[str, Tensor]) -> nn.Module:
    network = get_model(name, weights=None, weights_backbone=None)
    network.load_state_dict(state)
    return network


def torchvision_detector(given: str, threshold: float, device: str | None = None) -> TorchvisionDetector:
    """Open a detector from ``torchvision``, ``torchvision:NAME`` or the file of a state dict.

    Args:
        given: name or file.
        threshold: lowest score of a detected person.
        device: torch device name; default: the first GPU, if any.

    Raises:
        UserError: see :func:`_load_torchvision` and :func:`identify_architecture`; or the file cannot be read.
    """
    kind, _, name = given.partition(":")
    if kind == "torchvision":
        return TorchvisionDetector(_load_torchvision(name or TORCHVISION[0]), given, threshold, device)
    path = Path(given)
    state = read_state_dict(path)
    return TorchvisionDetector(_filled(identify_architecture(state, path), state), path.name, threshold, device)
