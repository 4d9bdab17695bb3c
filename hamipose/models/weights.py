"""Initial weights of backbones, from timm's collection or from a file: loaded completely or rejected."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.io.tensor_file import read_tensor_file

__all__ = ["create_pretrained", "load_backbone", "read_state_dict"]

_NESTED_UNDER = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.")


def create_pretrained(name: str, **options: Any) -> nn.Module:
    """Create timm's network with timm's weights, which are downloaded once to the Hugging Face cache.

    The cache is tried first, then the network, once: huggingface_hub alone would retry for a minute.

    Args:
        name: timm's name of the network.
        **options: options of ``timm.create_model``.

    Raises:
        UserError: there are no such weights, or they cannot be downloaded.
    """
    try:
        with suppress(Exception), _hub(offline=True):  # if it is not in the cache, the second call reports the error
            return timm.create_model(name, pretrained=True, **options)
        _reach_hub(name)
        with _hub(offline=False):
            return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # any error of timm, huggingface_hub and the HTTP library
        raise UserError(
            f"weights: timm's pretrained weights of {name!r} are not available ({_first_sentence(error)}): connect to "
            "the network once, or give the path of a state dict (.safetensors, .pth), or none"
        ) from error


@contextmanager
def _hub(offline: bool) -> Iterator[None]:
    """Disable network access of huggingface_hub in the block if `offline`, and its logging of retries in any case."""
    logger, before = logging.getLogger("huggingface_hub"), constants.HF_HUB_OFFLINE
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    constants.HF_HUB_OFFLINE = offline or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logger.setLevel(level)


def _reach_hub(name: str) -> None:
    """Send one request to the server of a network's weights.

    Raises:
        Exception: any error of the HTTP library if the server cannot be reached.
    """
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is not None and config.hf_hub_id and not constants.HF_HUB_OFFLINE:
        get_session().head(constants.ENDPOINT, timeout=10)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or PyTorch file; floats in single precision, prefixes of wrappers removed.

    Nothing in the file is executed.

    Raises:
        UserError: the file is missing, unreadable, or contains something other than tensors.
    """
    state: Any = read_tensor_file(path, "weights", "give none, pretrained, or a .safetensors or .pth state dict")
    for key in _NESTED_UNDER:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"weights: {path} contains no state dict: expected a dictionary of names and tensors")
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def load_backbone(backbone: nn.Module, name: str, path: str | Path) -> None:
    """Fill a feature extractor of timm from a file with the tensor names of timm's or torchvision's classifier.

    The file may contain the classifier and other parts that the extractor omits; all other tensors must match.

    Args:
        backbone: network created by ``timm.create_model(name, features_only=True)``.
        name: its name.
        path: as in :func:`read_state_dict`.

    Raises:
        UserError: a tensor is missing, unknown, or has another shape.
    """
    loaded = {_flat(key): (key, value) for key, value in read_state_dict(path).items()}
    expected = {_flat(key): (key, value) for key, value in backbone.state_dict().items()}
    with torch.device("meta"):  # names only: no memory, no initialization
        classifier = dict.fromkeys(_flat(key) for key in timm.create_model(name).state_dict())

    problems = {
        "lacks": [name for key, (name, _) in expected.items() if key not in loaded and not key.endswith("_tracked")],
        "has, unknown to the network,": [name for key, (name, _) in loaded.items() if key not in expected | classifier],
        "has in another shape": [
            n for key, (n, t) in expected.items() if key in loaded and loaded[key][1].shape != t.shape
        ],
    }
    for what, keys in problems.items():
        if keys:
            some = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise UserError(f"weights: {path} {what} {some}: expected the state dict of a {name}; check the backbone")
    for key, (_, tensor) in expected.items():
        if key in loaded:
            tensor.copy_(loaded[key][1])


def _flat(key: str) -> str:
    """Return a name without dots and without the prefix ``model.``.

    timm renames ``stages.0`` to ``stages_0`` in some extractors, and wraps others as ``model``.
    """
    return key.removeprefix("model.").replace(".", "_")


def _first_sentence(error: Exception) -> str:
    """Return the first sentence of an error, without the advice that follows (torch's is to disable safe loading)."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0][:160].rstrip(".")
