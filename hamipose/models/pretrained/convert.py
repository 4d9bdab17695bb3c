"""Convert TensorFlow Lite graphs to torch operations, with channels before height and width."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hamipose.errors import UserError
from hamipose.models.pretrained.operations import Operation
from hamipose.models.pretrained.tflite import Operator, TFLiteGraph

__all__ = ["convert_graph"]

_ACTIVATIONS = {1: "relu", 3: "relu6"}
_SAME = 0


def convert_graph(graph: TFLiteGraph) -> tuple[list[Operation], dict[str, Tensor]]:
    """Return the operations of a graph and the weights of its convolutions.

    The input is named ``image``, the tensor with index n is named ``tn``.

    Raises:
        UserError: an operator is used in an unsupported way.
    """
    return _Conversion(graph).result()


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return TensorFlow's SAME padding before and after; an odd pixel is added after.

    >>> same_padding(256, 3, 2)
    (0, 1)
    """
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _symmetric(padding: list[int]) -> list[int] | None:
    """Return height and width of a padding that is equal on opposite sides without channels; None for others."""
    left, right, top, bottom, *channels = padding
    return [top, left] if left == right and top == bottom and not any(channels) else None


class _Conversion:
    def __init__(self, graph: TFLiteGraph):
        self.graph = graph
        self.operations: list[Operation] = []
        self.weights: dict[str, Tensor] = {}
        (first,) = graph.inputs
        self.names = {first: "image"}

    def result(self) -> tuple[list[Operation], dict[str, Tensor]]:
        for operator in self.graph.operators:
            if operator.kind in ("DEQUANTIZE", "DENSIFY"):
                if self.graph.constant(operator.outputs[0]) is None:
                    raise UserError(f"{operator.kind} of a tensor that depends on the input is not supported")
                continue
            name = f"t{operator.outputs[0]}"
            self.names[operator.outputs[0]] = name
            steps = list(self._steps(operator, name))
            if activation := operator.options.get("activation", 0):
                if activation not in _ACTIVATIONS:
                    raise UserError(f"{operator.kind} has activation {activation}; expected none, ReLU or ReLU6")
                # The activation gets the operator's name; its input is renamed to name.raw.
                raw = f"{name}.raw"
                last = steps.pop()
                steps.append(Operation(last.kind, last.inputs, raw, last.options))
                steps.append(Operation(_ACTIVATIONS[activation], (raw,), name))
                for part in ("weight", "bias"):
                    if f"{name}.{part}" in self.weights:
                        self.weights[f"{raw}.{part}"] = self.weights.pop(f"{name}.{part}")
            self.operations += steps
        return self.operations, self.weights

    def _variables(self, operator: Operator) -> list[int]:
        """Return the inputs that depend on the image."""
        return [i for i in operator.inputs if i in self.names]

    def _constant(self, operator: Operator, position: int) -> np.ndarray:
        given = operator.inputs[position] if position < len(operator.inputs) else -1
        value = self.graph.constant(given) if given >= 0 else None
        if value is None:
            raise UserError(f"{operator.kind} has no constant as input {position}")
        return value

    def _padded(self, operator: Operator, name: str, kernel: tuple[int, int], pool: bool) -> Iterator[Operation]:
        """Yield SAME padding as a separate operation, if there is any."""
        if operator.options["padding"] != _SAME:
            return
        _, height, width, _ = self.graph.shape(operator.inputs[0])
        o = operator.options
        left, right = same_padding(width, kernel[1], o["stride_w"], o.get("dilation_w", 1))
        top, bottom = same_padding(height, kernel[0], o["stride_h"], o.get("dilation_h", 1))
        if not any((left, right, top, bottom)):
            return
        if pool:
            raise UserError("MAX_POOL_2D with padding is not supported")
        yield Operation(
            "pad", (self.names[operator.inputs[0]],), f"{name}.padded", {"padding": [left, right, top, bottom]}
        )

    def _steps(self, operator: Operator, name: str) -> Iterator[Operation]:
        options = operator.options
        read = tuple(self.names[i] for i in self._variables(operator))
        shape = self.graph.shape(operator.inputs[0])
        match operator.kind:
            case "CONV_2D" | "DEPTHWISE_CONV_2D":
                yield from self._convolution(operator, name, shape)
            case "MAX_POOL_2D":
                kernel = (options["height"], options["width"])
                yield from self._padded(operator, name, kernel, pool=True)
                stride = [options["stride_h"], options["stride_w"]]
                yield Operation("max_pool", read, name, {"kernel": list(kernel), "stride": stride})
            case "PAD":
                _, rows, columns, channels = self._constant(operator, 1).tolist()
                yield Operation("pad", read, name, {"padding": [*columns, *rows, *channels]})
            case "RESIZE_BILINEAR":
                if options["align_corners"] or not options["half_pixel_centers"]:
                    raise UserError("RESIZE_BILINEAR is only supported with half-pixel centers")
                height, width = self._constant(operator, 1).tolist()
                yield Operation("resize", read, name, {"factor": [height / shape[1], width / shape[2]]})
            case "ADD":
                if len(read) != 2:
                    raise UserError("ADD of a constant is not supported")
                yield Operation("add", read, name)
            case "LOGISTIC":
                yield Operation("sigmoid", read, name)
            case "RESHAPE":
                output_shape = self.graph.shape(operator.outputs[0])
                if len(shape) != 4 or len(output_shape) not in (2, 3):
                    raise UserError(f"RESHAPE from {shape} to {output_shape} is not supported")
                yield Operation("rows", read, name, {"last": output_shape[-1]})
            case "CONCATENATION":
                if len(shape) != 3:
                    raise UserError("CONCATENATION is only supported for tables")
                yield Operation("concat", read, name, {"axis": options["axis"]})
            case "DEPTH_TO_SPACE":
                yield Operation("depth_to_space", read, name, {"block": options["block_size"]})

    def _convolution(self, operator: Operator, name: str, shape: tuple[int, ...]) -> Iterator[Operation]:
        weight = torch.from_numpy(self._constant(operator, 1).astype(np.float32))
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        # (1, height, width, channel · multiplier) or (out, height, width, in) → (out, in / groups, height, width)
        weight = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
        self.weights[f"{name}.weight"] = weight.contiguous()
        self.weights[f"{name}.bias"] = torch.from_numpy(self._constant(operator, 2).astype(np.float32))
        read = self.names[operator.inputs[0]]
        kernel = (int(weight.shape[2]), int(weight.shape[3]))
        padding = [0, 0]
        # The convolution applies a symmetric padding itself, without a copy, for every origin of the padding.
        before = [*self._padded(operator, name, kernel, pool=False), *(p for p in self.operations if p.output == read)]
        for step in before[:1]:
            if step.kind == "pad" and (even := _symmetric(step.options["padding"])):
                read, padding = step.inputs[0], even
            elif step.output != read:
                yield step
                read = step.output
        o = operator.options
        about = {
            "padding": padding,
            "stride": [o["stride_h"], o["stride_w"]],
            "dilation": [o["dilation_h"], o["dilation_w"]],
            "groups": shape[3] if depthwise else 1,
            "weight_shape": list(weight.shape),
        }
        yield Operation("conv", (read,), name, about)
