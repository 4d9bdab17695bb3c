"""Starting weights of a backbone, from timm's collection or from a file: all of them or a clear refusal."""

from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hamipose.errors import InputError

__all__ = ["load_backbone", "pretrained", "read_state_dict"]

_NESTED_UNDER = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.")


def pretrained(name: str, **options: object) -> nn.Module:
    """timm's network with timm's weights, fetched once and kept in the Hugging Face cache.

    Raises:
        InputError: there are none, or they cannot be fetched.
    """
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # whatever timm, huggingface_hub and the HTTP library below raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"weights: timm's pretrained weights of {name!r} could not be had ({reason}): connect to the network once, "
            "or give the path of a state dict (.safetensors, .pth), or none"
        ) from error


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` or a PyTorch file, floats in single precision, wrappers' prefixes taken off.

    PyTorch files are read with ``weights_only=True``: nothing in them is executed.

    Raises:
        InputError: the file is missing, unreadable, or holds something other than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights: no file {path}: expected none, pretrained, or a .safetensors or .pth state dict")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own exceptions for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"weights: {path} cannot be read ({reason}): expected a state dict of plain tensors"
        ) from error
    for key in _NESTED_UNDER:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"weights: {path} holds no state dict: expected a dictionary of names and tensors")
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def load_backbone(backbone: nn.Module, name: str, path: str | Path) -> None:
    """Fill a feature extractor of timm from a file that names its tensors as timm's or torchvision's classifier does.

    The classifier, and other parts that the extractor leaves out, may be in the file or not; all else must agree.

    Args:
        backbone: made by ``timm.create_model(name, features_only=True)``.
        name: its name.
        path: as in :func:`read_state_dict`.

    Raises:
        InputError: a tensor is missing, unknown, or of another shape.
    """
    given = {_flat(key): value for key, value in read_state_dict(path).items()}
    wanted = {_flat(key): value for key, value in backbone.state_dict().items()}
    with torch.device("meta"):  # names only: no memory, no initialisation
        classifier = {_flat(key) for key in timm.create_model(name).state_dict()}

    problems = {
        "lacks": [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")],
        "has, unknown to the network,": [key for key in given if key not in wanted and key not in classifier],
        "has in another shape": [key for key in wanted if key in given and given[key].shape != wanted[key].shape],
    }
    for what, keys in problems.items():
        if keys:
            some = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise InputError(f"weights: {path} {what} {some}: expected the state dict of a {name}; check the backbone")
    for key, tensor in wanted.items():
        if key in given:
            tensor.copy_(given[key])


def _flat(key: str) -> str:
    """timm renames ``stages.0`` to ``stages_0`` in some extractors, and wraps others as ``model``."""
    return key.removeprefix("model.").replace(".", "_")
