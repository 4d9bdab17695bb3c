"""Load checkpoints of RegDA's and UniFrame's published code into our network.

Both contain a Simple Baseline on torchvision's ResNet with the names ``backbone.*`` (including the unused classifier
``backbone.fc``), ``upsampling.{0…8}`` and ``head``. They differ in the surrounding structure:

- RegDA, pretraining: ``{"model": …}``, ``head`` is one 1 × 1 layer;
- RegDA, adaptation: ``{"model": …, "optimizer_f": …, "args": …}``, ``head.0, head.1`` are a 3 × 3 layer and its
  BatchNorm, ``head.3`` is the 1 × 1 layer, ``head_adv`` is the adversary, which is dropped. The maps are log-densities;
- UniFrame: ``{"student": …, "teacher": …, "args": …}``, every name has the prefix ``module.``.

Both were trained on quantized targets: decode with ``hamipose.heatmaps.decode(…, quantize=True)``, and save a model
folder with ``ModelInfo(…, quantized=True)``.
"""

import re
from argparse import Namespace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.io.tensor_file import read_tensor_file
from hamipose.models.network import PoseNetwork

__all__ = ["build_reference_network", "identify_resnet", "load_reference_weights"]

#: Numbers of blocks of the four stages, and whether they are bottlenecks → timm's name.
_BACKBONES = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}


def _read(path: Path, role: Literal["teacher", "student"]) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint, names without ``module.``; nothing in the file is executed."""
    give = "give a checkpoint of RegDA's or UniFrame's code"
    content: Any = read_tensor_file(path, "published weights", give, [Namespace])  # options of a run, plain values
    if isinstance(content, dict):
        for key in (role, "model", "state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"published weights {path} contain no {role} or model; give a checkpoint of RegDA or UniFrame")
    return {name.removeprefix("module."): value for name, value in content.items()}


def identify_resnet(state: dict[str, Tensor], prefix: str) -> str | None:
    """Return timm's name of the ResNet in a state dict, by its numbers of blocks; None for other networks.

    Args:
        state: tensors by name.
        prefix: prefix of the ResNet's names.
    """
    blocks = [
        1
        + max(
            (int(m[1]) for k in state if (m := re.match(rf"{re.escape(prefix)}layer{stage}\.(\d+)\.", k))), default=-1
        )
        for stage in (1, 2, 3, 4)
    ]
    return _BACKBONES.get(((blocks[0], blocks[1], blocks[2], blocks[3]), f"{prefix}layer1.0.conv3.weight" in state))


def build_reference_network(state: dict[str, Tensor], name: str = "state dict") -> PoseNetwork:
    """Build a network with published weights, in eval mode.

    Args:
        state: tensors by name of the published ``PoseResNet`` or ``RegDAPoseResNet``.
        name: origin of the weights, for messages.

    Raises:
        UserError: a part is missing, unknown or has another shape.
    """
    backbone = identify_resnet(state, "backbone.")
    final = "head.3" if "head.3.weight" in state else "head"
    if backbone is None or f"{final}.weight" not in state or "upsampling.0.weight" not in state:
        raise UserError(
            f"{name} is not a published PoseResNet: expected backbone.layer1 to layer4 of a ResNet, upsampling.0 to "
            f"upsampling.8 and head, found {', '.join(list(state)[:3]) or 'nothing'} …"
        )
    deconvolutions = (k for k in state if re.fullmatch(r"upsampling\.\d+\.weight", k) and state[k].ndim == 4)
    widths = tuple(state[k].shape[1] for k in deconvolutions)
    network = PoseNetwork(state[f"{final}.weight"].shape[0], backbone, deconv_channels=widths)
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(("backbone.fc.", "head_adv.")):
            continue
        for theirs, ours in (("upsampling.", "deconv."), (f"{final}.", "final.")):
            key = ours + key.removeprefix(theirs) if key.startswith(theirs) else key
        # The layers before RegDA's last layer belong to the features here.
        match = re.match(r"head\.([01])\.(.*)", key)
        renamed[f"deconv.{len(network.deconv) + int(match[1])}.{match[2]}" if match else key] = value
    if final == "head.3":
        width = widths[-1]
        network.deconv.extend([nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
    try:
        network.load_state_dict(renamed)
    except RuntimeError as error:
        first = " ".join(str(error).split("\n\t")[1].split())[:200]
        raise UserError(f"{name} does not fit a Simple Baseline on {backbone}: {first}") from None
    return network.eval()


def load_reference_weights(path: str | Path, role: Literal["teacher", "student"] = "teacher") -> PoseNetwork:
    """Load the network of a checkpoint written by RegDA's or UniFrame's code, in eval mode.

    Args:
        path: the file.
        role: which of UniFrame's two networks; RegDA's files contain one.

    Raises:
        UserError: the file cannot be read, or is another kind of file.
    """
    return build_reference_network(_read(Path(path), role), str(path))
