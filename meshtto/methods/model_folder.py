"""Model folders of mesh networks: ``model.safetensors`` and a ``config.yaml`` with the options. No pickles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from hamipose.io.atomic_file import write_text
from hamipose.io.format_version import check_folder_format
from hamipose.io.tensor_file import read_tensor_file, write_weights
from hamipose.io.yaml_file import read_yaml
from hamipose.version import __version__

__all__ = ["FORMAT", "SHIPPED", "read_model_folder", "save_model_folder"]

#: The model that ships with meshtto.
SHIPPED = Path(__file__).parents[1] / "regressors" / "people"

#: Format of config.yaml; incremented if the current files can no longer be read unchanged.
FORMAT = 1


def save_model_folder(
    folder: Path, state: Mapping[str, Tensor], options: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write a model folder; each file is written atomically.

    Args:
        folder: output folder; created if it does not exist.
        state: weights of the networks.
        options: options that rebuild the networks, as in a checkpoint.
        half: write floating-point numbers in half precision, half the size. The model is read in single precision.

    Raises:
        UserError: a weight is too large for half precision.
    """
    write_weights(folder / "model.safetensors", state, half=half)
    content = {"meshtto_model": FORMAT, "written_by": f"meshtto {__version__}", **options}
    write_text(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def read_model_folder(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder in the layout of a checkpoint.

    Raises:
        UserError: a file is missing or damaged, or a newer version wrote the folder.
    """
    path = folder / "config.yaml"
    content = read_yaml(path, "model's config", "the config.yaml of a model folder that meshtto wrote")
    check_folder_format(content, "meshtto", FORMAT, path)
    state = read_tensor_file(folder / "model.safetensors", "model", "copy the model folder again")
    return {"hyper_parameters": content, "state_dict": state}
