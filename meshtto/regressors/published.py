"""State dicts of published regressors: HMR as saved by SPIN, CLIFF as saved by its authors.

Both store the head's layers beside the backbone's. SPIN's backbone has no prefix, CLIFF's has the prefix ``encoder``;
both use the tensor names of torchvision's ResNet and timm's HRNet.
"""

from pathlib import Path

from torch import Tensor

from hamipose.errors import UserError
from hamipose.models.weights import read_state_dict
from meshtto.regressors.network import Regressor

__all__ = ["from_published", "load_published", "to_published"]

_HEAD = ("fc1.", "fc2.", "decpose.", "decshape.", "deccam.", "init_pose", "init_shape", "init_cam")
_CLASSIFIER = ("fc.", "classifier.", "encoder.fc.", "encoder.classifier.")


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert names of SPIN or CLIFF to names of :class:`Regressor`; classifiers are dropped."""
    return {
        f"head.{name}" if name.startswith(_HEAD) else f"backbone.{name.removeprefix('encoder.')}": tensor
        for name, tensor in state.items()
        if not name.startswith(_CLASSIFIER)
    }


def to_published(state: dict[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Invert :func:`from_published`; `encoder` is the backbone's prefix: "" for SPIN, "encoder." for CLIFF."""
    return {
        name.removeprefix("head.") if name.startswith("head.") else encoder + name.removeprefix("backbone."): tensor
        for name, tensor in state.items()
    }


def load_published(regressor: Regressor, path: str | Path) -> None:
    """Fill a regressor with a published checkpoint (.pt, .pth, .safetensors; nothing in it is executed).

    Raises:
        UserError: the file cannot be read, or belongs to another regressor or backbone.
    """
    loaded = from_published(read_state_dict(path))
    expected = regressor.state_dict()
    kind = type(regressor).__name__
    fc1, own = loaded.get("head.fc1.weight"), expected["head.fc1.weight"]
    if fc1 is None:
        raise UserError(f"weights: {path} has no fc1.weight; expected a checkpoint of HMR (SPIN) or CLIFF")
    if fc1.shape != own.shape:
        raise UserError(
            f"weights: {path} has a head that reads {fc1.shape[1]} numbers, this {kind} reads {own.shape[1]} (with "
            "ResNet-50: HMR 2205, CLIFF 2208); choose the regressor and backbone it was made with"
        )
    missing = [k for k in expected if k not in loaded and not k.endswith("num_batches_tracked")]
    unknown = [k for k in loaded if k not in expected]
    misshapen = [k for k in loaded if k in expected and loaded[k].shape != expected[k].shape]
    for what, names in (
        ("lacks", missing),
        ("has, unknown to the network,", unknown),
        ("has in another shape", misshapen),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"weights: {path} {what} {names[0]}{more}; check regressor.backbone")
    regressor.load_state_dict({**expected, **loaded})
