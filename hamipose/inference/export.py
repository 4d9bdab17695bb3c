"""A model as an ONNX file: pixels in, heatmaps out, any number of pictures at a time; checked against the original."""

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
from hamipose.models.pretrained.interface import PersonNetwork

__all__ = ["Exported", "export_onnx", "largest_difference"]


class Exported(nn.Module):
    """What the file computes: bytes of square crops → heatmaps. Normalization is part of it.

    Args:
        network: in eval mode; what its method makes of its maps is part of it too.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch keypoint h w"]:
        """RGB crops → one heatmap a keypoint."""
        return self.network(normalize(image))


def _runtime() -> Any:
    require_packages("export", "onnx", "onnxruntime", "onnxscript")
    import onnxruntime

    return onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, and no logs of what the exporter tries in vain: what comes of it is looked at."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _crops(model: Predictor, batch: int) -> UInt8[Tensor, "batch 3 size size"]:
    generator = torch.Generator().manual_seed(batch)
    size = model.info.image_size
    return torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8)


def largest_difference(model: Predictor, path: Path, batch: int) -> float:
    """Between the file's heatmaps and the model's on noise, as a share of the model's largest value.

    Args:
        model: the original.
        path: the file.
        batch: how many pictures at a time.
    """
    session = _runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    crops = _crops(model, batch)
    ours = model.heatmaps(crops).cpu().numpy()
    (theirs,) = session.run(None, {"image": crops.numpy()})
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-12))


def export_onnx(model: Predictor, path: Path, *, opset: int = 20, tolerance: float = 1e-3) -> float:
    """Write the file and compare it with the model at batches of 1 and 3.

    The input is ``image`` (uint8, batch × 3 × size × size, RGB crops), the output ``heatmaps``; the file's metadata
    have the keypoints' names, the size, and ``stride`` and ``offset_px``: a cell lies at stride · cell + offset_px in
    pixels of the crop. ``crop`` says how people are to be shown, ``targets`` how those were encoded that it learned
    (sub-pixel or quantized), ``statistics`` which images' BatchNorm statistics it has.

    Args:
        model: what to export.
        path: the file.
        opset: version of ONNX's operators.
        tolerance: largest difference allowed, as a share of the largest heatmap value.

    Returns:
        The larger of the two differences.

    Raises:
        UserError: a package is missing, torch cannot write operators of that version, or the file does not compute
            what the model does; no file is written then, and an existing one remains as it was.
    """
    _runtime()
    if model.info.architecture in ("onnx", "vitpose"):
        raise UserError(f"{model.info.backbone} is used from its own file and cannot be exported; use that file")
    network = Exported(model.network.cpu().eval())
    model.device = torch.device("cpu")
    with atomic_path(path) as beside:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                network,
                (_crops(model, 2),),
                str(beside),
                input_names=["image"],
                output_names=["heatmaps"],
                dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
                opset_version=opset,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        return _described_and_checked(model, beside, opset, tolerance)


def _described_and_checked(model: Predictor, path: Path, opset: int, tolerance: float) -> float:
    """Add what is needed to use an exported file to it, and compare it with the model; see :func:`export_onnx`."""
    import onnx

    written = onnx.load(str(path))
    version = next(each.version for each in written.opset_import if each.domain in ("", "ai.onnx"))
    if version != opset:
        raise UserError(
            f"opset is {opset}, of which version the network's operators could not be written; {version} can be had"
        )
    stride, offset = PoseNetwork.stride, offset_px(PoseNetwork.stride, model.info.quantized)
    crop = "square about the box of a person"
    if isinstance(model.network, PersonNetwork):
        stride, offset = model.network.stride, model.network.offset_px
        if model.upright:
            crop = "square, turned so that the person is upright"
        elif model.network.aspect < 1:
            crop = f"square; seen is its middle, {model.network.aspect:g} times as wide as high"
    about = {
        "keypoints": ",".join(model.skeleton.keypoints),
        "image_size": str(model.info.image_size),
        "stride": str(stride),
        "offset_px": str(offset),
        "input": "uint8 RGB; the file normalizes",
        "crop": crop,
        "targets": "quantized" if model.info.quantized else "sub-pixel",
        "statistics": model.info.statistics,
        "backbone": model.info.backbone,
        "method": model.info.method,
    }
    onnx.helper.set_model_props(written, about)
    onnx.save(written, str(path))
    difference = max(largest_difference(model, path, batch) for batch in (1, 3))
    if not difference <= tolerance:
        raise UserError(
            f"the exported network differs from the model by {difference:.2g} of its largest heatmap value, more than "
            f"{tolerance:g}; no file was written"
        )
    return difference
