"""MediaPipe's person detector (BlazePose, Bazarevsky et al., 2020) with the weights contained in its wheels.

It detects faces and torsos and predicts, for each, the middle of the hips and a point on the circle around it that
encloses the whole body. Therefore it finds people in poses that detectors of whole bodies miss, if they are close to
the camera; it predicts a circle instead of a tight box.

:mod:`hamipose.models.pretrained.tflite` reads its file; this module contains anchors, decoding and circles.
"""

import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.ops import nms

from hamipose.errors import UserError
from hamipose.geometry.affine import upright_box
from hamipose.io.file_type import explain
from hamipose.io.tensor_file import read_tensor_file
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.convert import convert_graph
from hamipose.models.pretrained.operations import OperationNetwork, Program
from hamipose.models.pretrained.tflite import TFLiteGraph

__all__ = [
    "BlazePoseDetector",
    "DetectionNetwork",
    "anchor_centers",
    "blazepose_detector",
    "decode_people",
    "detection_network",
    "save_detector",
]

_SIDE = 224  # side of the network's input in pixels
_GRID = ((8, 2), (16, 2), (32, 6))  # strides, and anchors per cell
_IN_WHEEL = "mediapipe/modules/pose_detection/pose_detection.tflite"

# A crop shows 1.25 times a box. A crop of 1.1 times the circle contains 97 to 98 % of the joints of LSP and
# LSP-Extended, the circle itself 95 to 97 % (docs/adapt.md).
_BOX_OF_CIRCLE = 1.1 / 1.25

# MediaPipe's landmark networks read 1.25 times the circle, rotated so that the person is upright.
_CROP_OF_CIRCLE = 1.25


def anchor_centers() -> Float[np.ndarray, "anchor 2"]:
    """Return the anchors: centers of cells, row by row, relative to the input's side.

    >>> anchor_centers().shape
    (2254, 2)
    """
    centers = []
    for stride, repeats in _GRID:
        cells = _SIDE // stride
        middle = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(middle, middle)
        centers.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(centers).astype(np.float32)


def decode_people(
    raw: Float[np.ndarray, "anchor 12"], logits: Float[np.ndarray, " anchor"], threshold: float
) -> Float[np.ndarray, "person 5"]:
    """Decode the network's outputs to people: two points and a score, relative to the input's side.

    Args:
        raw: for each anchor, in pixels of the input: center and size of a box around head and torso, then four points.
            The first point is the middle of the hips; the second lies on the circle around it that encloses the body,
            above the hips if the person is upright. All values except the size are relative to the anchor.
        logits: logits of the scores.
        threshold: lowest score of a detected person.

    Returns:
        x and y of the middle of the hips, x and y of the point on the circle, score; best first. Of people whose boxes
        overlap by more than 0.3, only the best is kept.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float32), -50, 50)))
    kept = np.flatnonzero(scores >= threshold)
    pairs = raw[kept].reshape(-1, 6, 2) / _SIDE
    anchors = anchor_centers()[kept]
    middle, size = pairs[:, 0] + anchors, pairs[:, 1]
    boxes = np.concatenate([middle - size / 2, middle + size / 2], 1).astype(np.float32)
    hips, rim = pairs[:, 2] + anchors, pairs[:, 3] + anchors
    best = nms(torch.from_numpy(boxes), torch.from_numpy(scores[kept]), 0.3).numpy()
    return np.concatenate([hips, rim, scores[kept][:, None]], 1)[best].astype(np.float32)


class DetectionNetwork(nn.Module):
    """The network of ``pose_detection.tflite``.

    Args:
        program: operations with the outputs ``raw`` and ``logits``.
        weights: weights of the operations; default: zeros, to be filled by a state dict.
    """

    def __init__(self, program: Program, weights: dict[str, Tensor] | None = None):
        super().__init__()
        self.program = program
        self.body = OperationNetwork(program.operations, weights)
        self.to(memory_format=torch.channels_last).eval()

    def forward(
        self, images: Float[Tensor, "batch 3 224 224"]
    ) -> tuple[Float[Tensor, "batch anchor 12"], Float[Tensor, "batch anchor"]]:
        """Map images in [−1, 1] to the numbers and the score logit of each anchor."""
        raw, logits = self.program.outputs["raw"], self.program.outputs["logits"]
        found = self.body(images.contiguous(memory_format=torch.channels_last), (raw, logits))
        return found[raw], found[logits][..., 0]


class BlazePoseDetector(PersonDetector):
    """Detects people who are close enough for their faces to be visible.

    Args:
        network: images in [−1, 1] → numbers and logits of anchors, see :class:`DetectionNetwork`.
        name: see :class:`hamipose.models.person_detection.PersonDetector`.
        threshold: lowest score of a detected person.
    """

    def __init__(self, network: nn.Module, name: str, threshold: float = 0.5):
        self.network = network
        self.name = name
        self.threshold = threshold

    @torch.inference_mode()
    def _points(self, image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "person 5"]:
        """Return the middle of the hips, a point on the circle, and the score of each person.

        Points are x and y in pixels, measured from the image's corner.
        """
        height, width = image.shape[:2]
        scale = _SIDE / max(height, width)
        shown = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
        offset = (_SIDE - shown) // 2  # the image is centered in a black square
        square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        square[offset[1] : offset[1] + shown[1], offset[0] : offset[0] + shown[0]] = cv2.resize(
            image, shown.tolist(), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        raw, logits = self.network(torch.from_numpy(square).permute(2, 0, 1)[None].float() / 127.5 - 1)
        people = decode_people(raw[0].numpy(), logits[0].numpy(), self.threshold)
        points = (people[:, :4].reshape(-1, 2, 2) * _SIDE - offset) * (np.array([width, height]) / shown)
        radius = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
        return np.concatenate([points.reshape(-1, 4), people[:, 4:]], 1).astype(np.float32)[radius > 1]

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "person 5"]:
        """Detect people, see :class:`hamipose.models.person_detection.PersonDetector`; boxes enclose the circles."""
        people = self._points(image)
        radius = np.linalg.norm(people[:, 2:4] - people[:, :2], axis=1, keepdims=True)
        length = 2 * _BOX_OF_CIRCLE * radius
        return np.concatenate([people[:, :2] - length / 2, length, length, people[:, 4:]], 1).astype(np.float32)

    def crops(self, image: UInt8[np.ndarray, "height width 3"], margin: float = 1.25) -> Float[np.ndarray, "person 6"]:
        """Return the crops that MediaPipe uses, see :class:`hamipose.models.person_detection.PersonDetector`."""
        rows = []
        for person in self._points(image):
            box, turn = upright_box(person[:2] - 0.5, person[2:4] - 0.5, _CROP_OF_CIRCLE)
            rows.append([*box, person[4], turn])
        return np.array(rows, np.float32).reshape(-1, 6)


def detection_network(content: bytes) -> DetectionNetwork:
    """Build the network of a ``pose_detection.tflite``.

    Args:
        content: content of the file.

    Raises:
        UserError: it is another network.
    """
    graph = TFLiteGraph(content)
    operations, weights = convert_graph(graph)
    outputs = {graph.shape(tensor)[-1]: f"t{tensor}" for tensor in graph.outputs}
    anchors = {graph.shape(tensor)[1] for tensor in graph.outputs if len(graph.shape(tensor)) == 3}
    if set(outputs) != {1, 12} or anchors != {len(anchor_centers())}:
        raise UserError(f"its outputs have shapes {[graph.shape(tensor) for tensor in graph.outputs]}")
    return DetectionNetwork(Program(operations, {"raw": outputs[12], "logits": outputs[1]}), weights)


def save_detector(folder: Path, network: DetectionNetwork) -> None:
    """Write a detector as a folder that :func:`blazepose_detector` reads; the folder appears atomically.

    Args:
        folder: output folder; must not exist.
        network: network whose operations and weights are written.
    """
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, part / "model.safetensors")
    (part / "operations.json").write_text(network.program.to_json())
    part.rename(folder)


def _read_saved(folder: Path) -> DetectionNetwork:
    path = folder / "operations.json"
    try:
        network = DetectionNetwork(Program.from_json(path.read_text(), str(path)))
        network.load_state_dict(read_tensor_file(folder / "model.safetensors", "detector", "fetch it again"))
    except (OSError, RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f"detector {folder} cannot be read ({str(error).splitlines()[0]}); fetch it again") from None
    return network


def _read_tflite(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"detector {path} does not exist; expected a wheel of mediapipe or its pose_detection.tflite")
    if path.suffix == ".tflite":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(_IN_WHEEL)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise UserError(
            f"detector {path} {explain(path, 'a wheel', 'a zip archive')}; expected a wheel of mediapipe up to 0.10.21"
        ) from None
    except KeyError:
        raise UserError(
            f"detector {path} does not contain {_IN_WHEEL}; mediapipe 0.10.21 is the last version with it"
        ) from None


def blazepose_detector(path: str | Path, threshold: float) -> BlazePoseDetector:
    """Open MediaPipe's detector from a file or folder.

    Args:
        path: a mediapipe wheel up to 0.10.21, which need not be installed; the .tflite file in it; or a folder written
            by :func:`save_detector`.
        threshold: lowest score of a detected person.

    Raises:
        UserError: the file is missing, or is another kind of file.
    """
    path = Path(path)
    if path.is_dir():
        return BlazePoseDetector(_read_saved(path), path.name, threshold)
    content = _read_tflite(path)
    try:
        return BlazePoseDetector(detection_network(content), path.name, threshold)
    except UserError as error:
        raise UserError(f"detector {path} is not MediaPipe's pose_detection.tflite ({error})") from None
