r"""The person detector of MediaPipe (BlazePose, Bazarevsky et al., 2020) with the weights that its wheels carry.

It looks for faces and torsos and says, for each, where the middle of the hips is and a point on the circle about it
that holds the whole body. So it finds people in poses that detectors of whole bodies miss, if they are close; its
answer is a circle and not a tight box.

The network is run by LiteRT (extra ``detector``); anchors, decoding and circles are here.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torchvision.ops import nms

from hamipose.errors import InputError
from hamipose.io.foreign import explain
from hamipose.models.detection import PersonDetector

__all__ = ["BlazePoseDetector", "anchor_centres", "blazepose_detector", "people_of"]

_SIDE = 224  # of the network's input
_GRID = ((8, 2), (16, 2), (32, 6))  # stride, and anchors in each of its cells
_IN_WHEEL = "mediapipe/modules/pose_detection/pose_detection.tflite"

# A crop shows 1.25 times a box. With 1.1 times the circle in it, 97 to 98 % of the joints of LSP and LSP-Extended are
# inside; with the circle itself 95 to 97 % (docs/adapt.md).
_BOX_OF_CIRCLE = 1.1 / 1.25


def anchor_centres() -> Float[np.ndarray, "anchor 2"]:
    """Where the network's answers count from, as shares of the input's side: centres of cells, row by row.

    >>> anchor_centres().shape
    (2254, 2)
    """
    centres = []
    for stride, repeats in _GRID:
        cells = _SIDE // stride
        middle = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(middle, middle)
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(centres).astype(np.float32)


def people_of(
    raw: Float[np.ndarray, "anchor 12"], logits: Float[np.ndarray, " anchor"], least: float
) -> Float[np.ndarray, "person 4"]:
    """The network's answers as people: centre and radius of the circle, in shares of the input's side, and score.

    Args:
        raw: for each anchor, in pixels of the input: centre and size of a box about head and torso, then four points,
            of which the first is the middle of the hips and the second on the circle; all but the size from its anchor.
        logits: of the scores.
        least: the lowest score of a person.

    Returns:
        x, y, radius, score; best first. Of people whose boxes overlap by more than 0.3, the best.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float32), -50, 50)))
    kept = np.flatnonzero(scores >= least)
    pairs = raw[kept].reshape(-1, 6, 2) / _SIDE
    anchors = anchor_centres()[kept]
    middle, size = pairs[:, 0] + anchors, pairs[:, 1]
    boxes = np.concatenate([middle - size / 2, middle + size / 2], 1).astype(np.float32)
    hips, rim = pairs[:, 2] + anchors, pairs[:, 3] + anchors
    radius = np.linalg.norm(rim - hips, axis=1)
    best = nms(torch.from_numpy(boxes), torch.from_numpy(scores[kept]), 0.3).numpy()
    return np.concatenate([hips, radius[:, None], scores[kept][:, None]], 1)[best].astype(np.float32)


class BlazePoseDetector(PersonDetector):
    """People close enough for their faces to be seen.

    Args:
        interpreter: of LiteRT, or what answers as it does.
        name: as :class:`hamipose.models.detection.PersonDetector` says.
        least: the lowest score of a person.
    """

    def __init__(self, interpreter: Any, name: str, least: float = 0.5):
        self.interpreter = interpreter
        self.name = name
        self.least = least
        interpreter.allocate_tensors()
        (self._input,) = (found["index"] for found in interpreter.get_input_details())
        outputs = {int(found["shape"][-1]): found["index"] for found in interpreter.get_output_details()}
        self._raw, self._logits = outputs[12], outputs[1]

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "person 5"]:
        """See :class:`hamipose.models.detection.PersonDetector`; boxes are squares about the circles."""
        height, width = image.shape[:2]
        scale = _SIDE / max(height, width)
        shown = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
        offset = (_SIDE - shown) // 2  # the picture is in the middle of a black square
        square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        square[offset[1] : offset[1] + shown[1], offset[0] : offset[0] + shown[0]] = cv2.resize(
            image, shown.tolist(), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        self.interpreter.set_tensor(self._input, square[None].astype(np.float32) / 127.5 - 1)
        self.interpreter.invoke()
        raw = self.interpreter.get_tensor(self._raw)[0]
        people = people_of(raw, self.interpreter.get_tensor(self._logits)[0, :, 0], self.least)
        centre = (people[:, :2] * _SIDE - offset) * (np.array([width, height]) / shown)
        length = 2 * _BOX_OF_CIRCLE * people[:, 2:3] * max(height, width)
        boxes = np.concatenate([centre - length / 2, length, length, people[:, 3:]], 1).astype(np.float32)
        return boxes[boxes[:, 2] > 1]


def _weights(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"detector {path} does not exist; expected a wheel of mediapipe or its pose_detection.tflite")
    if path.suffix == ".tflite":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(_IN_WHEEL)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise InputError(
            f"detector {path} {explain(path, 'a wheel', 'a zip archive')}; expected a wheel of mediapipe up to 0.10.21"
        ) from None
    except KeyError:
        raise InputError(f"detector {path} holds no {_IN_WHEEL}; mediapipe 0.10.21 is the last to have it") from None


def blazepose_detector(path: str | Path, least: float) -> BlazePoseDetector:
    """From a wheel of mediapipe up to 0.10.21, which need not be installed, or the .tflite file in it.

    Args:
        path: the file.
        least: the lowest score of a person.

    Raises:
        InputError: the file is missing, or is something else, or LiteRT is not installed.
    """
    path = Path(path)
    content = _weights(path)
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise InputError(
            f"detector {path} wants LiteRT, which is not installed: pip install 'hamipose[detector]'"
        ) from None
    try:
        return BlazePoseDetector(Interpreter(model_content=content), path.name, least)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"detector {path} is not MediaPipe's pose_detection.tflite ({reason})") from None
