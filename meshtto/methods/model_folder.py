"""Model folders of mesh networks: ``model.safetensors`` and a ``config.yaml`` with the options. No pickles."""

from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path, write_text
from hamipose.io.tensor_file import read_tensor_file
from hamipose.io.yaml_file import read_yaml
from hamipose.version import __version__

__all__ = ["FORMAT", "SHIPPED", "read_model_folder", "save_model_folder"]

#: The model that ships with meshtto.
SHIPPED = Path(__file__).parents[1] / "regressors" / "people"

#: Format of config.yaml; incremented if the current files can no longer be read unchanged.
FORMAT = 1


def save_model_folder(folder: str | Path, checkpoint: dict[str, Any], *, half: bool = False) -> None:
    """Write a model folder; each file is written atomically.

    Args:
        folder: output folder; created if it does not exist.
        checkpoint: content of a checkpoint; only its networks and the options that rebuild them are written.
        half: write floating-point numbers in half precision, half the size. The model is read in single precision.

    Raises:
        UserError: a weight is too large for half precision.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint["state_dict"].items()}
    if half:
        weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
        if large := [name for name, tensor in weights.items() if tensor.isinf().any()]:
            raise UserError(f"{large[0]} has values too large for half precision; write single precision")
    folder = Path(folder)
    with atomic_path(folder / "model.safetensors") as beside:
        save_file(weights, beside, metadata={"format": "pt"})
    content = {"meshtto_model": FORMAT, "written_by": f"meshtto {__version__}", **checkpoint["hyper_parameters"]}
    write_text(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def read_model_folder(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder in the layout of a checkpoint.

    Raises:
        UserError: a file is missing or damaged, or a newer version wrote the folder.
    """
    path = folder / "config.yaml"
    content = read_yaml(path, "model's config", "the config.yaml of a model folder that meshtto wrote")
    found = content.pop("meshtto_model", None)
    if not isinstance(found, int):
        raise UserError(f"{path} is not the config of a mesh model: meshtto_model is missing; expected {FORMAT}")
    if found > FORMAT:
        raise UserError(
            f"{path} has format {found}, but this meshtto ({__version__}) reads formats up to {FORMAT}; install the "
            f"version that wrote it ({content.get('written_by', 'unknown')}) or a newer one"
        )
    state = read_tensor_file(folder / "model.safetensors", "model", "copy the model folder again")
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return {"hyper_parameters": content, "state_dict": state}
