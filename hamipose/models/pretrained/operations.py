"""Networks as lists of operations on named tensors: trainable conversions of other frameworks' graphs."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.errors import UserError

__all__ = ["Operation", "OperationNetwork", "Program", "power_of_two_scale", "required_operations"]

#: Kinds of operations and their required options.
_KINDS: dict[str, tuple[str, ...]] = {
    "conv": ("padding", "stride", "dilation", "groups"),
    "pad": ("padding",),
    "max_pool": ("kernel", "stride"),
    "resize": ("factor",),
    "add": (),
    "sigmoid": (),
    "relu": (),
    "relu6": (),
    "rows": ("last",),
    "concat": ("axis",),
    "depth_to_space": ("block",),
}


@dataclass(frozen=True)
class Operation:
    """One operation: named input tensors, one output.

    Attributes:
        kind: conv, pad, max_pool, resize, add, sigmoid, relu, relu6, rows, concat or depth_to_space.
        inputs: names of tensors.
        output: name of the result; a conv has the weight ``output.weight`` and the bias ``output.bias``.
        options: options by kind. Spatial pairs are height, width; a pad's ``padding`` is left, right, top, bottom and,
            if there are more numbers, before and after the channels.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise UserError(f"operation {self.output} is a {self.kind!r}; expected one of {', '.join(_KINDS)}")
        if missing := [name for name in _KINDS[self.kind] if name not in self.options]:
            raise UserError(f"operation {self.output} ({self.kind}) lacks {', '.join(missing)}")


@dataclass(frozen=True)
class Program:
    """Operations and outputs of a network: its complete description except the weights.

    Attributes:
        operations: operations, sorted so that each one's inputs are computed before it.
        outputs: purpose of a tensor → its name.
        channels: number of channels of some tensors.
    """

    operations: list[Operation]
    outputs: dict[str, str]
    channels: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return text that :meth:`from_json` reads."""
        operations = ",\n".join(json.dumps(asdict(operation)) for operation in self.operations)
        head = json.dumps({"outputs": self.outputs, "channels": self.channels})
        return f'{head[:-1]}, "operations": [\n{operations}\n]}}\n'

    @staticmethod
    def from_json(text: str, source: str) -> "Program":
        """Parse the program of a file.

        Args:
            text: content of the file.
            source: name of the file, for messages.

        Raises:
            UserError: the text is damaged or contains an unknown operation.
        """
        try:
            content = json.loads(text)
            operations = [Operation(**{**row, "inputs": tuple(row["inputs"])}) for row in content["operations"]]
            return Program(operations, dict(content["outputs"]), dict(content["channels"]))
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise UserError(f"{source}: {error}") from None
            raise UserError(f"{source} is damaged ({type(error).__name__}: {error}); fetch it again") from None


def required_operations(operations: Sequence[Operation], outputs: Iterable[str]) -> list[Operation]:
    """Return the operations that some outputs depend on, in order."""
    required = set(outputs)
    chosen = []
    for operation in reversed(operations):
        if operation.output in required:
            chosen.append(operation)
            required.update(operation.inputs)
    return chosen[::-1]


def power_of_two_scale(weight: Tensor) -> float:
    """Return the power of two nearest to the root mean square of a tensor; 1 if all values are zero.

    Division and multiplication by it are exact.

    >>> power_of_two_scale(torch.tensor([3.0, -5.0]))
    4.0
    """
    size = float(weight.double().square().mean().sqrt())
    return 2.0 ** round(math.log2(size)) if size > 0 else 1.0


class OperationNetwork(nn.Module):
    r"""Runs a list of operations in order.

    Networks of other frameworks often have BatchNorm folded into their convolutions, so that weights of different
    layers differ in size by factors of thousands and no single learning rate suits all of them. Therefore, each weight
    is stored as a fixed scale (a power of two) times a parameter whose root mean square is about 1: :math:`w = s
    \theta`. A step of relative size ε on θ is then a step of relative size ε on w in every layer.

    Args:
        operations: operations, sorted so that each one's inputs are computed before it.
        weights: weights of the convolutions by name: ``output.weight`` (out, in / groups, height, width),
            ``output.bias``. Default: zeros with the shapes in the options ``weight_shape``, to be filled by a state
            dict.

    Raises:
        UserError: an input is not computed by an earlier operation, or a weight is missing.
    """

    def __init__(self, operations: Iterable[Operation], weights: Mapping[str, Tensor] | None = None):
        super().__init__()
        self.operations = list(operations)
        self.weights = nn.ParameterDict()
        self.scales = nn.Module()
        self._plans: dict[tuple[str, ...], list[Operation]] = {}
        readers = Counter(name for operation in self.operations for name in operation.inputs)
        self._temporary = {o.output for o in self.operations if o.kind in ("conv", "add") and readers[o.output] == 1}
        known = {"image"}
        for operation in self.operations:
            if unknown := [name for name in operation.inputs if name not in known]:
                raise UserError(f"operation {operation.output} reads {unknown[0]}, which nothing before it computes")
            known.add(operation.output)
            if operation.kind != "conv":
                continue
            for part in ("weight", "bias"):
                name = f"{operation.output}.{part}"
                if weights is None:
                    shape = operation.options["weight_shape"]
                    value = torch.zeros(shape if part == "weight" else shape[:1])
                elif name in weights:
                    value = weights[name].float()
                else:
                    raise UserError(f"weight {name} of a convolution is missing")
                scale = power_of_two_scale(value)
                self.weights[_key(name)] = nn.Parameter(value / scale)
                self.scales.register_buffer(_key(name), torch.tensor(scale))

    def weight(self, name: str) -> Tensor:
        """Return the weight or bias of a convolution, as used by the convolution."""
        key = _key(name)
        return self.weights[key] * getattr(self.scales, key)

    def parameters_of(self, outputs: tuple[str, ...]) -> list[str]:
        """Return the names in `weights` of the parameters that some outputs depend on."""
        convolutions = [operation for operation in self._needed(outputs) if operation.kind == "conv"]
        return [_key(f"{operation.output}.{part}") for operation in convolutions for part in ("weight", "bias")]

    def _needed(self, outputs: tuple[str, ...]) -> list[Operation]:
        if outputs not in self._plans:
            self._plans[outputs] = required_operations(self.operations, outputs)
        return self._plans[outputs]

    def forward(
        self, image: Float[Tensor, "batch channel height width"], outputs: tuple[str, ...]
    ) -> dict[str, Float[Tensor, "..."]]:
        """Compute named tensors, and only what they depend on.

        Args:
            image: input, named ``image`` in the operations.
            outputs: names of tensors.
        """
        values: dict[str, Tensor] = {"image": image}
        for operation in self._needed(outputs):
            inputs = [values[name] for name in operation.inputs]
            # A tensor without other readers may be overwritten.
            overwrite = operation.inputs[0] in self._temporary and operation.inputs[0] not in outputs
            values[operation.output] = self._run(operation, inputs, overwrite)
        return {name: values[name] for name in outputs}

    def _run(self, operation: Operation, inputs: list[Tensor], overwrite: bool) -> Tensor:
        x, options = inputs[0], operation.options
        match operation.kind:
            case "conv":
                weight, bias = (self.weight(f"{operation.output}.{part}") for part in ("weight", "bias"))
                stride, padding, dilation = (tuple(options[name]) for name in ("stride", "padding", "dilation"))
                return F.conv2d(x, weight, bias, stride, padding, dilation, options["groups"])
            case "pad":
                return F.pad(x, tuple(options["padding"]))
            case "max_pool":
                return F.max_pool2d(x, tuple(options["kernel"]), tuple(options["stride"]))
            case "resize":
                size = [round(side * factor) for side, factor in zip(x.shape[-2:], options["factor"], strict=True)]
                return F.interpolate(x, size, mode="bilinear", align_corners=False)
            case "add":
                return inputs[0] + inputs[1]
            case "sigmoid":
                return x.sigmoid()
            case "relu":
                return F.relu(x, inplace=overwrite)
            case "relu6":
                return F.relu6(x, inplace=overwrite)
            case "rows":
                return x.permute(0, 2, 3, 1).reshape(len(x), -1, options["last"])
            case "concat":
                return torch.cat(inputs, options["axis"])
            case _:  # depth_to_space: in TensorFlow, the slower part of the channels is the block's position
                return _depth_to_space(x, options["block"])


def _key(name: str) -> str:
    """Return the name of a weight as an attribute name, which must not contain dots."""
    return name.replace(".", "_")


def _depth_to_space(x: Tensor, block: int) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.reshape(batch, block, block, channels // block**2, height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // block**2, height * block, width * block)
