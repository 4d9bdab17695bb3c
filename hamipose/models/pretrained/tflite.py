"""Read TensorFlow Lite files (.tflite) without TensorFlow: a FlatBuffers reader for the required part of the schema.

A FlatBuffers table starts with the distance to its vtable, which lists the position of each field by its number in the
schema (tensorflow/lite/schema/schema.fbs); an absent field has its default value. Numbers of fields and operations are
never reused, so the numbers below stay valid for every file of version 3.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hamipose.errors import UserError

__all__ = ["Operator", "TFLiteGraph", "read_tflite"]

_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 9: np.int8}

_INT, _BYTE, _BOOL = "<i", "<b", "<?"

#: Name of each operator, and field number, type and default of each of its options.
_OPERATORS: dict[int, tuple[str, dict[str, tuple[int, str, int]]]] = {
    0: ("ADD", {"activation": (0, _BYTE, 0)}),
    2: ("CONCATENATION", {"axis": (0, _INT, 0), "activation": (1, _BYTE, 0)}),
    3: (
        "CONV_2D",
        {
            "padding": (0, _BYTE, 0),
            "stride_w": (1, _INT, 0),
            "stride_h": (2, _INT, 0),
            "activation": (3, _BYTE, 0),
            "dilation_w": (4, _INT, 1),
            "dilation_h": (5, _INT, 1),
        },
    ),
    4: (
        "DEPTHWISE_CONV_2D",
        {
            "padding": (0, _BYTE, 0),
            "stride_w": (1, _INT, 0),
            "stride_h": (2, _INT, 0),
            "activation": (4, _BYTE, 0),
            "dilation_w": (5, _INT, 1),
            "dilation_h": (6, _INT, 1),
        },
    ),
    5: ("DEPTH_TO_SPACE", {"block_size": (0, _INT, 0)}),
    6: ("DEQUANTIZE", {}),
    14: ("LOGISTIC", {}),
    17: (
        "MAX_POOL_2D",
        {
            "padding": (0, _BYTE, 0),
            "stride_w": (1, _INT, 0),
            "stride_h": (2, _INT, 0),
            "width": (3, _INT, 0),
            "height": (4, _INT, 0),
            "activation": (5, _BYTE, 0),
        },
    ),
    22: ("RESHAPE", {}),
    23: ("RESIZE_BILINEAR", {"align_corners": (2, _BOOL, 0), "half_pixel_centers": (3, _BOOL, 0)}),
    34: ("PAD", {}),
    124: ("DENSIFY", {}),
}


@dataclass(frozen=True)
class Operator:
    """One operator of the graph.

    Attributes:
        kind: its name in the schema.
        inputs: indices of tensors; −1 for an absent optional one.
        outputs: indices of tensors.
        options: numbers as in the schema.
    """

    kind: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, int]


class _Table:
    """A FlatBuffers table at a position of the file."""

    def __init__(self, data: bytes, position: int):
        self.data = data
        self.position = position
        self.vtable = position - self._read(_INT, position)
        self.length = self._read("<H", self.vtable)

    def _read(self, kind: str, position: int) -> Any:
        return struct.unpack_from(kind, self.data, position)[0]

    def _at(self, field: int) -> int | None:
        slot = 4 + 2 * field
        offset = self._read("<H", self.vtable + slot) if slot < self.length else 0
        return self.position + offset if offset else None

    def number(self, field: int, kind: str = _INT, default: int = 0) -> int:
        at = self._at(field)
        return default if at is None else int(self._read(kind, at))

    def table(self, field: int) -> "_Table | None":
        at = self._at(field)
        return None if at is None else _Table(self.data, at + self._read("<I", at))

    def vector(self, field: int, dtype: Any = np.int32) -> np.ndarray:
        at = self._at(field)
        if at is None:
            return np.zeros(0, dtype)
        start = at + self._read("<I", at)
        return np.frombuffer(self.data, dtype, self._read("<I", start), start + 4)

    def tables(self, field: int) -> list["_Table"]:
        at = self._at(field)
        if at is None:
            return []
        start = at + self._read("<I", at)
        slots = range(start + 4, start + 4 + 4 * self._read("<I", start), 4)
        return [_Table(self.data, slot + self._read("<I", slot)) for slot in slots]


class TFLiteGraph:
    """The only subgraph of a file, with its constant tensors.

    Args:
        content: content of the file.

    Raises:
        UserError: it is not a TensorFlow Lite file of version 3, or has several subgraphs or unknown operators.
    """

    def __init__(self, content: bytes):
        if len(content) < 8 or content[4:8] != b"TFL3":
            raise UserError("not a TensorFlow Lite file (its identifier is not TFL3)")
        try:
            self._parse(content)
        except (struct.error, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"damaged TensorFlow Lite file ({error})") from None

    def _parse(self, content: bytes) -> None:
        model = _Table(content, struct.unpack_from("<I", content)[0])
        graphs = model.tables(2)
        if model.number(0) != 3 or len(graphs) != 1:
            raise UserError(f"version {model.number(0)} with {len(graphs)} subgraphs; expected version 3 with one")
        (graph,) = graphs
        self._buffers = model.tables(4)
        self._tensors = graph.tables(0)
        self.inputs: list[int] = graph.vector(1).tolist()
        self.outputs: list[int] = graph.vector(2).tolist()
        # Files written before there were more than 127 operators store the number only in the first field.
        codes = [max(code.number(0, _BYTE), code.number(3)) for code in model.tables(1)]
        self.operators: list[Operator] = []
        for operator in graph.tables(3):
            code = codes[operator.number(0, "<I")]
            if code not in _OPERATORS:
                raise UserError(f"operator {code} of the TensorFlow Lite schema is not supported")
            kind, fields = _OPERATORS[code]
            given = operator.table(4)
            options = {
                name: default if given is None else given.number(field, form, default)
                for name, (field, form, default) in fields.items()
            }
            self.operators.append(Operator(kind, operator.vector(1).tolist(), operator.vector(2).tolist(), options))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor, as stated in the file."""
        return tuple(self._tensors[tensor].vector(0).tolist())

    @cached_property
    def _made_by(self) -> dict[int, Operator]:
        return {operator.outputs[0]: operator for operator in self.operators}

    def constant(self, tensor: int) -> Shaped[np.ndarray, "..."] | None:
        """Return the value of a constant tensor as a dense array; None if it depends on the input.

        Half precision and sparse weights are expanded: DEQUANTIZE and DENSIFY of a constant are constants.
        """
        maker = self._made_by.get(tensor)
        if maker is not None and maker.kind in ("DEQUANTIZE", "DENSIFY"):
            value = self.constant(maker.inputs[0])
            return value.astype(np.float32) if maker.kind == "DEQUANTIZE" and value is not None else value
        described = self._tensors[tensor]
        code = described.number(1, _BYTE)
        raw = self._buffers[described.number(2, "<I")].vector(0, np.uint8)
        if not raw.size:
            return None
        if code not in _DTYPES:
            raise UserError(f"tensor {tensor} has type {code} of the TensorFlow Lite schema, which is not supported")
        values: np.ndarray = raw.view(_DTYPES[code])
        sparsity = described.table(6)
        shape = self.shape(tensor)
        return values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity, tensor)


def _dense(values: np.ndarray, shape: tuple[int, ...], sparsity: _Table, tensor: int) -> np.ndarray:
    """Expand a tensor whose last dimension is compressed row by row."""
    dimensions = sparsity.tables(2)
    formats = [dimension.number(0, _BYTE) for dimension in dimensions]
    in_order = sparsity.vector(0).tolist() == list(range(len(shape))) and not sparsity.vector(1).size
    if not in_order or formats != [0] * (len(shape) - 1) + [1]:
        raise UserError(f"tensor {tensor} is sparse in another way than by rows, which is not supported")
    widths = {1: np.int32, 2: np.uint16, 3: np.uint8}  # Int32Vector, Uint16Vector, Uint8Vector
    last = dimensions[-1]
    segments, indices = (
        table.vector(0, widths[last.number(field, "<B")]).astype(np.int64)
        for field, table in ((2, last.table(3)), (4, last.table(5)))
        if table is not None
    )
    rows = np.repeat(np.arange(len(segments) - 1), np.diff(segments))
    dense = np.zeros((len(segments) - 1, shape[-1]), values.dtype)
    dense[rows, indices] = values[: len(indices)]
    return dense.reshape(shape)


def read_tflite(path: Path) -> TFLiteGraph:
    """Read the graph of a .tflite file.

    Raises:
        UserError: the file cannot be read, is another kind of file, or contains an unsupported operator.
    """
    try:
        return TFLiteGraph(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); expected a .tflite file") from None
    except UserError as error:
        raise UserError(f"{path}: {error}; expected a pose network of MediaPipe") from None
