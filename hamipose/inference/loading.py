"""Load a model for prediction: a model folder, a checkpoint, or a pretrained network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hamipose.errors import UserError
from hamipose.inference.predictor import Predictor
from hamipose.io.yaml_file import read_yaml
from hamipose.models.checkpoint import build_evaluated, model_info, read_checkpoint
from hamipose.models.model_io import read_model_folder
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.loading import open_default, open_pretrained, with_skeleton

__all__ = ["load"]


def load(
    path: str | Path | None = None,
    *,
    device: str | None = None,
    image_size: int | None = None,
    skeleton: str | None = None,
    passes: int | None = None,
) -> Predictor:
    """Load a model: a model folder, a checkpoint saved by `fit`, or a pretrained network by its name or file.

    Args:
        path: a model folder (``model.safetensors`` and ``config.yaml``), a checkpoint, a run directory (its last
            checkpoint is used), an ONNX file with heatmaps or SimCC profiles, a pose landmark network of MediaPipe
            (.tflite), a Simple Baseline or HRNet of Microsoft or mmpose (.pth), ``vitpose:NAME`` or a folder of
            `transformers`, or a name listed by ``python -m hamipose models list``. Default: the best pretrained model
            that is installed; its name is logged.
        device: torch device name; default: the first GPU, if any.
        image_size: side of the crops in pixels; default: as in training.
        skeleton: keypoints to predict, for pretrained networks that support several skeletons; default: coco17.
        passes: see :class:`hamipose.inference.predictor.Predictor`.

    Raises:
        UserError: the model is missing or damaged, does not state what it was trained on, or does not accept crops of
            this size.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size is {image_size}, expected a side in pixels, at least 1")
    pretrained = open_default(skeleton) if path is None else open_pretrained(path, skeleton)
    if pretrained is not None:
        network, info = pretrained
        model = Predictor(network, replace(info, image_size=image_size or info.image_size), device, passes)
    else:
        assert path is not None
        model = _load_trained(Path(path), device, image_size, passes)
        if skeleton is not None and isinstance(model.network, FinetunableNetwork):
            model.network, model.info = with_skeleton(model.network, model.info, skeleton)
        elif skeleton is not None:
            raise UserError(
                f"skeleton is given for {path}; a model trained by `fit` or `adapt` only predicts the skeleton that it "
                "was trained with"
            )
    if image_size is not None:
        model.heatmaps(torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8))
    return model


def _load_trained(path: Path, device: str | None, image_size: int | None, passes: int | None = None) -> Predictor:
    """Load a model folder, a checkpoint, or the last checkpoint of a run directory."""
    last = path / "checkpoints" / "last.ckpt"
    if path.is_dir() and last.is_file() and not (path / "model.safetensors").exists():
        path = last
    if path.is_dir():
        network, info = read_model_folder(path)
        return Predictor(network, replace(info, image_size=image_size or info.image_size), device, passes)
    checkpoint = read_checkpoint(path)
    size = image_size or checkpoint.get("image_size") or _run_option(path, "data", "image_size")
    if not isinstance(size, int) or not 0 < size <= 2**14:
        raise UserError(f"checkpoint {path} does not state the size of its images; give image_size (--image-size)")
    # Checkpoints of earlier versions do not state the encoding of their targets: use the run's config or the default.
    quantized = _run_option(path, "model", "init_args", "training", "quantize") is True
    info = model_info(checkpoint, int(size), quantized)
    return Predictor(build_evaluated(checkpoint, info), info, device, passes)


def _run_option(checkpoint: Path, *keys: str) -> Any:
    """Return an option of the checkpoint's run from its config.yaml; None if there is none."""
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        config = folder / "config.yaml"
        if config.is_file():
            content: Any = read_yaml(config, "config", "the options of a run")
            for key in keys:
                content = content.get(key) if isinstance(content, dict) else None
            return content
    return None
