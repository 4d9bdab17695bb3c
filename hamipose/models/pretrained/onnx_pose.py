"""Pose networks in ONNX files: our exports, and other networks with heatmaps or SimCC profiles (RTMPose).

The input is one batch of images, batch × 3 × height × width. Images of bytes are passed unchanged, as our exports
expect; floating-point images are normalized by ImageNet's mean and standard deviation, as mmdeploy's exports expect.
Outputs:

- heatmaps, batch × keypoint × h × w. Cell u is at pixel stride · u, unless the file's metadata contain ``offset_px``.
- SimCC (Li et al., ECCV 2022), ``simcc_x`` (batch × keypoint × bins along x) and ``simcc_y``: bin b is at pixel b /
  (bins per pixel), and a keypoint is at the highest bins. Its confidence is the lower of the two, as in mmpose.

Metadata that are used: ``keypoints`` (names, separated by commas), ``offset_px``, ``method``. Without names, 17
keypoints are those of COCO.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.models.preprocess import denormalize
from hamipose.models.pretrained.interface import PretrainedNetwork
from hamipose.skeletons import COCO17, SKELETONS, Skeleton

__all__ = ["HeatmapOnnx", "SimccOnnx", "read_onnx"]

_PROFILES = ("simcc_x", "simcc_y")
_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}


class _OnnxNetwork(PretrainedNetwork):
    """Base class of networks with both kinds of outputs.

    Args:
        session: onnxruntime session.
        skeleton: skeleton of the keypoints.
        shape: height and width of the file's input.
    """

    def __init__(self, session: Any, skeleton: Skeleton, shape: tuple[int, int]):
        super().__init__()
        self.session = session
        self.skeleton = skeleton
        self.shape = shape
        self.image_size = shape[0]
        self.aspect = shape[1] / shape[0]
        self._input = session.get_inputs()[0]

    def outputs(self, images: Float[Tensor, "batch 3 height width"]) -> list[np.ndarray]:
        """Run the file on the middle of normalized images, in batches of the file's batch size."""
        margin = (images.shape[-1] - self.shape[1]) // 2
        visible = images.detach().cpu()[..., margin : margin + self.shape[1]]
        dtype = _DTYPES[self._input.type]
        if dtype is np.uint8:
            visible = denormalize(visible)
        pixels = np.ascontiguousarray(visible.numpy().astype(dtype))
        batch = self._input.shape[0]
        step = batch if isinstance(batch, int) else len(pixels)
        parts = []
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            filled = np.concatenate([part, np.zeros((step - len(part), *part.shape[1:]), dtype)])
            parts.append([each[: len(part)] for each in self.session.run(None, {self._input.name: filled})])
        return [np.concatenate(each).astype(np.float32) for each in zip(*parts, strict=True)]


class HeatmapOnnx(_OnnxNetwork):
    """An ONNX file with heatmaps.

    Args:
        session: onnxruntime session.
        skeleton: skeleton of the keypoints.
        shape: height and width of the file's input.
        stride: pixels per cell.
        offset_px: position of cell 0 in pixels of the input.
    """

    def __init__(self, session: Any, skeleton: Skeleton, shape: tuple[int, int], stride: int, offset_px: float):
        super().__init__(session, skeleton, shape)
        margin = (shape[0] - shape[1]) // 2
        self.stride = stride
        self._margin = margin // stride
        self.offset_px = offset_px + margin - self._margin * stride

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map normalized images to heatmaps, with zeros on both sides of the network's input."""
        maps = torch.from_numpy(self.outputs(images)[0])
        return torch.nn.functional.pad(maps, (self._margin, self._margin)).to(images.device)


class SimccOnnx(_OnnxNetwork):
    """An ONNX file with a profile along x and one along y for each keypoint.

    Args:
        session: onnxruntime session.
        skeleton: skeleton of the keypoints.
        shape: height and width of the file's input.
        bins: bins per pixel.
        order: positions of the profiles along x and y among the outputs.
    """

    has_heatmaps = False

    def __init__(
        self, session: Any, skeleton: Skeleton, shape: tuple[int, int], bins: float, order: tuple[int, int] = (0, 1)
    ):
        super().__init__(session, skeleton, shape)
        self._bins = bins
        self._order = order

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Raise an error, because there are no heatmaps.

        Raises:
            UserError: always.
        """
        raise UserError("a network with SimCC outputs has no heatmaps; omit --heatmaps, or give another model")

    @torch.no_grad()
    def locate(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Locate keypoints, see :class:`hamipose.models.pretrained.interface.PretrainedNetwork`."""
        found = self.outputs(images)
        along = [torch.from_numpy(found[place]).max(-1) for place in self._order]
        points = torch.stack([each.indices for each in along], -1).float() / self._bins
        points[..., 0] += (images.shape[-1] - self.shape[1]) // 2
        confidence = torch.minimum(along[0].values, along[1].values).clamp(0, 1)
        return points.to(images.device), confidence.to(images.device)


def _session(path: Path) -> Any:
    require_packages(str(path), "onnxruntime")
    import onnxruntime

    if not path.is_file():
        raise UserError(f"{path} does not exist; expected an ONNX file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each fault, all derived from Exception
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be opened as an ONNX file ({reason}); copy or export it again") from None


def _skeleton(names: str | None, count: int, path: Path) -> Skeleton:
    """Return the skeleton of the keypoint names in the metadata; COCO's if there are none."""
    if names is None:
        if count != len(COCO17):
            raise UserError(
                f"{path} has {count} keypoints, and its metadata do not name them; expected the 17 of COCO, or their "
                "names, separated by commas, as `keypoints` in the metadata"
            )
        return COCO17
    listed = tuple(name.strip() for name in names.split(","))
    if len(listed) != count or len(set(listed)) != count:
        raise UserError(f"{path} has {count} keypoints, but its metadata name {len(set(listed))}; export it again")
    known = [skeleton for skeleton in SKELETONS.values() if skeleton.keypoints == listed]
    return known[0] if known else Skeleton(path.stem, listed, (), {}, listed)


def read_onnx(path: str | Path) -> HeatmapOnnx | SimccOnnx:
    """Open an ONNX file for prediction on the CPU.

    Raises:
        UserError: onnxruntime is missing, the file is missing or damaged, or its input or outputs are not supported.
    """
    path = Path(path)
    session = _session(path)
    inputs, metadata = session.get_inputs(), session.get_modelmeta().custom_metadata_map
    shape = inputs[0].shape if len(inputs) == 1 else []
    sizes = tuple(shape[2:])
    fits = len(shape) == 4 and shape[1] == 3 and all(isinstance(side, int) and side > 0 for side in sizes)
    if not fits or inputs[0].type not in _DTYPES or sizes[0] < sizes[1]:
        found = ", ".join(f"{each.name}: {each.type} of {each.shape}" for each in inputs)
        raise UserError(
            f"{path} has the input {found}; expected one batch of images, batch × 3 × height × width, with a fixed "
            "size, not wider than high, as bytes or floating-point numbers"
        )
    height, width = sizes
    batch = shape[0] if isinstance(shape[0], int) else 1
    names = [output.name for output in session.get_outputs()]
    blank = np.zeros((batch, 3, height, width), _DTYPES[inputs[0].type])
    try:
        results = session.run(None, {inputs[0].name: blank})
    except Exception as error:  # as above
        raise UserError(f"{path} cannot be run on an image ({str(error).splitlines()[0]}); export it again") from None
    shapes = [np.shape(result)[1:] for result in results]
    if len(shapes) == 1 and len(shapes[0]) == 3:
        count, rows, columns = shapes[0]
        stride = height // rows
        if min(rows, columns) >= 3 and (rows * stride, columns * stride) == (height, width):
            skeleton = _skeleton(metadata.get("keypoints"), count, path)
            return HeatmapOnnx(session, skeleton, (height, width), stride, _offset(metadata, path))
    if len(shapes) == 2 and all(len(each) == 2 for each in shapes) and shapes[0][0] == shapes[1][0]:
        order = (names.index("simcc_x"), names.index("simcc_y")) if set(names) == set(_PROFILES) else (0, 1)
        along_x, along_y = (shapes[place][1] for place in order)
        if along_x * height == along_y * width:
            skeleton = _skeleton(metadata.get("keypoints"), shapes[0][0], path)
            return SimccOnnx(session, skeleton, (height, width), along_x / width, order)
    found = ", ".join(f"{name} of {list(each)}" for name, each in zip(names, shapes, strict=True))
    raise UserError(
        f"{path} has the outputs {found} for an image of {height} × {width} px; expected heatmaps (keypoint × h × w) "
        "or SimCC profiles (simcc_x and simcc_y, keypoint × bins)"
    )


def _offset(metadata: dict[str, str], path: Path) -> float:
    try:
        return float(metadata.get("offset_px", "0"))
    except ValueError:
        raise UserError(f"{path} has offset_px {metadata['offset_px']!r} in its metadata, expected a number") from None
