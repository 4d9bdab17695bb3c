"""Export a model to an ONNX file that maps images to heatmaps for any batch size, and compare it with the model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.heatmaps import offset_px
from hamipose.inference.predictor import Predictor
from hamipose.io.atomic_file import atomic_path
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import PretrainedNetwork

__all__ = ["ExportedNetwork", "export_onnx", "max_relative_difference"]


class ExportedNetwork(nn.Module):
    """The function in the ONNX file: bytes of square crops → heatmaps, including normalization.

    Args:
        network: network in eval mode, including its method's conversion of the maps.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map RGB crops to one heatmap per keypoint."""
        return self.network(normalize(image))


def _runtime() -> Any:
    require_packages("export", "onnx", "onnxruntime", "onnxscript")
    import onnxruntime

    return onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and the exporter's logs of failed attempts; the result is checked."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _noise_crops(model: Predictor, batch: int) -> UInt8[Tensor, "batch 3 size size"]:
    generator = torch.Generator().manual_seed(batch)
    size = model.info.image_size
    return torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8)


def max_relative_difference(model: Predictor, path: Path, batch: int) -> float:
    """Compare the file's heatmaps with the model's on noise.

    Args:
        model: the original model.
        path: the ONNX file.
        batch: batch size.

    Returns:
        The largest absolute difference divided by the model's largest absolute value.
    """
    session = _runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    crops = _noise_crops(model, batch)
    ours = model.heatmaps(crops).cpu().numpy()
    (theirs,) = session.run(None, {"image": crops.numpy()})
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-12))


def export_onnx(model: Predictor, path: Path, *, opset: int = 20, tolerance: float = 1e-3) -> float:
    """Write an ONNX file and compare it with the model at batch sizes 1 and 3.

    The input is ``image`` (uint8, batch × 3 × size × size, RGB crops), the output ``heatmaps``. The metadata contain
    the keypoint names, the size, and ``stride`` and ``offset_px``: a cell lies at stride · cell + offset_px in pixels
    of the crop. ``crop`` describes the required crop, ``targets`` the encoding of the training targets (sub-pixel or
    quantized), and ``statistics`` the images of the BatchNorm statistics.

    Args:
        model: model to export.
        path: output file.
        opset: version of the ONNX operators.
        tolerance: largest allowed relative difference.

    Returns:
        The larger of the two relative differences.

    Raises:
        UserError: a package is missing, torch cannot write this opset, or the file's results differ from the model's;
            then no file is written, and an existing file remains unchanged.
    """
    _runtime()
    if model.info.architecture in ("onnx", "vitpose"):
        raise UserError(f"{model.info.backbone} is used from its own file and cannot be exported; use that file")
    network = ExportedNetwork(model.network.cpu().eval())
    model.device = torch.device("cpu")
    with atomic_path(path) as temporary:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                network,
                (_noise_crops(model, 2),),
                str(temporary),
                input_names=["image"],
                output_names=["heatmaps"],
                dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
                opset_version=opset,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        return _add_metadata_and_compare(model, temporary, opset, tolerance)


def _add_metadata_and_compare(model: Predictor, path: Path, opset: int, tolerance: float) -> float:
    """Add metadata to an exported file and compare it with the model; see :func:`export_onnx`."""
    import onnx

    written = onnx.load(str(path))
    version = next(each.version for each in written.opset_import if each.domain in ("", "ai.onnx"))
    if version != opset:
        raise UserError(
            f"opset is {opset}, but torch cannot write the network's operators in this version; use opset {version}"
        )
    stride, offset = PoseNetwork.stride, offset_px(PoseNetwork.stride, model.info.quantized)
    crop = "square around the box of a person"
    if isinstance(model.network, PretrainedNetwork):
        stride, offset = model.network.stride, model.network.offset_px
        if model.needs_upright_crops:
            crop = "square, rotated so that the person is upright"
        elif model.network.aspect < 1:
            crop = f"square; the network reads its middle, {model.network.aspect:g} times as wide as high"
    metadata = {
        "keypoints": ",".join(model.skeleton.keypoints),
        "image_size": str(model.info.image_size),
        "stride": str(stride),
        "offset_px": str(offset),
        "input": "uint8 RGB; normalization is included",
        "crop": crop,
        "targets": "quantized" if model.info.quantized else "sub-pixel",
        "statistics": model.info.statistics,
        "backbone": model.info.backbone,
        "method": model.info.method,
    }
    onnx.helper.set_model_props(written, metadata)
    onnx.save(written, str(path))
    difference = max(max_relative_difference(model, path, batch) for batch in (1, 3))
    if not difference <= tolerance:
        raise UserError(
            f"the exported network differs from the model by {difference:.2g} of its largest heatmap value, more than "
            f"{tolerance:g}; no file was written"
        )
    return difference
