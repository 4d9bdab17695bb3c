"""TensorFlow Lite files, written with the FlatBuffers library by the field numbers of the schema."""

import flatbuffers
import numpy as np

FLOAT32, FLOAT16, INT32 = 0, 1, 2
SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3

#: Number of an operator, number of its options' type, and its options as (field, kind).
OPERATORS = {
    "ADD": (0, 11, {"activation": (0, "Int8")}),
    "CONCATENATION": (2, 10, {"axis": (0, "Int32")}),
    "CONV_2D": (
        3,
        1,
        {
            "padding": (0, "Int8"),
            "stride_w": (1, "Int32"),
            "stride_h": (2, "Int32"),
            "activation": (3, "Int8"),
            "dilation_w": (4, "Int32"),
            "dilation_h": (5, "Int32"),
        },
    ),
    "DEPTHWISE_CONV_2D": (
        4,
        2,
        {
            "padding": (0, "Int8"),
            "stride_w": (1, "Int32"),
            "stride_h": (2, "Int32"),
            "activation": (4, "Int8"),
            "dilation_w": (5, "Int32"),
            "dilation_h": (6, "Int32"),
        },
    ),
    "DEPTH_TO_SPACE": (5, 94, {"block_size": (0, "Int32")}),
    "DEQUANTIZE": (6, 46, {}),
    "LOGISTIC": (14, 0, {}),
    "MAX_POOL_2D": (
        17,
        5,
        {
            "padding": (0, "Int8"),
            "stride_w": (1, "Int32"),
            "stride_h": (2, "Int32"),
            "width": (3, "Int32"),
            "height": (4, "Int32"),
        },
    ),
    "RESHAPE": (22, 17, {}),
    "RESIZE_BILINEAR": (23, 15, {"align_corners": (2, "Bool"), "half_pixel_centers": (3, "Bool")}),
    "PAD": (34, 22, {}),
    "ABS": (101, 78, {}),  # that the reader does not know
    "DENSIFY": (124, 99, {}),
}


class TFLiteFile:
    """A graph under construction. Tensors are numbered as they are added.

    Args:
        shape: of the input: 1, height, width, channels.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.tensors: list[tuple[tuple[int, ...], int, np.ndarray | None, bool]] = []
        self.operators: list[tuple[str, list[int], int, dict[str, int]]] = []
        self.input = self.tensor(shape)

    def tensor(self, shape: tuple[int, ...], kind: int = FLOAT32) -> int:
        """Add a computed tensor and return its number."""
        self.tensors.append((shape, kind, None, False))
        return len(self.tensors) - 1

    def constant(self, value: np.ndarray, sparse: bool = False) -> int:
        """Add a constant tensor with the precision of the array and return its number."""
        kind = {"float32": FLOAT32, "float16": FLOAT16, "int32": INT32}[value.dtype.name]
        self.tensors.append((value.shape, kind, value, sparse))
        return len(self.tensors) - 1

    def add(self, kind: str, inputs: list[int], shape: tuple[int, ...], **options: int) -> int:
        """Add an operator and return the tensor that it computes."""
        output = self.tensor(shape)
        self.operators.append((kind, inputs, output, options))
        return output

    def conv(self, x: int, weight: np.ndarray, bias: np.ndarray, shape: tuple[int, ...], **options: int) -> int:
        """Add a convolution with the options that TensorFlow always writes."""
        kind = "DEPTHWISE_CONV_2D" if options.pop("depthwise", 0) else "CONV_2D"
        defaults = {"padding": SAME, "stride_w": 1, "stride_h": 1, "activation": NONE, "dilation_w": 1, "dilation_h": 1}
        return self.add(kind, [x, self.constant(weight), self.constant(bias)], shape, **(defaults | options))

    def content(self, outputs: list[int], version: int = 3) -> bytes:
        """Return the content of the file."""
        b = flatbuffers.Builder(1024)
        used = sorted({kind for kind, *_ in self.operators})
        buffers = [_bytes(b, b"")] + [
            _bytes(b, _values(value, sparse)) for _, _, value, sparse in self.tensors if value is not None
        ]
        tensors, number = [], 0
        for shape, kind, value, sparse in self.tensors:
            number += value is not None
            tensors.append(_tensor(b, shape, kind, number if value is not None else 0, value if sparse else None))
        codes = []
        for kind in used:
            code = OPERATORS[kind][0]
            b.StartObject(4)
            b.PrependInt8Slot(0, min(code, 127), 0)
            b.PrependInt32Slot(3, code, 0)
            codes.append(b.EndObject())
        operators = [_operator(b, used.index(kind), kind, *rest) for kind, *rest in self.operators]
        parts = [_offsets(b, tensors), _ints(b, [self.input]), _ints(b, outputs), _offsets(b, operators)]
        b.StartObject(5)
        for slot, part in enumerate(parts):
            b.PrependUOffsetTRelativeSlot(slot, part, 0)
        graphs = _offsets(b, [b.EndObject()])
        parts = [_offsets(b, codes), graphs, None, _offsets(b, buffers)]
        b.StartObject(5)
        b.PrependUint32Slot(0, version, 0)
        for slot, part in enumerate(parts, 1):
            if part is not None:
                b.PrependUOffsetTRelativeSlot(slot, part, 0)
        b.Finish(b.EndObject(), file_identifier=b"TFL3")
        return bytes(b.Output())


def _values(value: np.ndarray, sparse: bool) -> bytes:
    return (value[value != 0] if sparse else value).tobytes()


def _ints(b: flatbuffers.Builder, values: list[int]) -> int:
    return b.CreateNumpyVector(np.asarray(values, np.int32))


def _offsets(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _bytes(b: flatbuffers.Builder, data: bytes) -> int:
    vector = b.CreateByteVector(data) if data else None
    b.StartObject(3)
    if vector is not None:
        b.PrependUOffsetTRelativeSlot(0, vector, 0)
    return b.EndObject()


def _tensor(b: flatbuffers.Builder, shape: tuple[int, ...], kind: int, buffer: int, sparse: np.ndarray | None) -> int:
    sides = _ints(b, list(shape))
    name = b.CreateString(f"tensor of {shape}")
    sparsity = _sparsity(b, sparse) if sparse is not None else None
    b.StartObject(10)
    b.PrependUOffsetTRelativeSlot(0, sides, 0)
    b.PrependInt8Slot(1, kind, 0)
    b.PrependUint32Slot(2, buffer, 0)
    b.PrependUOffsetTRelativeSlot(3, name, 0)
    if sparsity is not None:
        b.PrependUOffsetTRelativeSlot(6, sparsity, 0)
    return b.EndObject()


def _sparsity(b: flatbuffers.Builder, value: np.ndarray) -> int:
    rows = value.reshape(-1, value.shape[-1])
    segments = np.cumsum([0, *(rows != 0).sum(1)])
    columns = np.concatenate([np.flatnonzero(row) for row in rows])
    parts = []
    for kind, values in ((3, segments.astype(np.uint8)), (2, columns.astype(np.uint16))):
        vector = b.CreateNumpyVector(values)
        b.StartObject(1)
        b.PrependUOffsetTRelativeSlot(0, vector, 0)
        parts.append((kind, b.EndObject()))
    dimensions = []
    for side in value.shape[:-1]:
        b.StartObject(6)
        b.PrependInt32Slot(1, side, 0)
        dimensions.append(b.EndObject())
    b.StartObject(6)
    b.PrependInt8Slot(0, 1, 0)
    for slot, (kind, part) in zip((2, 4), parts, strict=True):
        b.PrependUint8Slot(slot, kind, 0)
        b.PrependUOffsetTRelativeSlot(slot + 1, part, 0)
    dimensions.append(b.EndObject())
    order, table = _ints(b, list(range(value.ndim))), _offsets(b, dimensions)
    b.StartObject(3)
    b.PrependUOffsetTRelativeSlot(0, order, 0)
    b.PrependUOffsetTRelativeSlot(2, table, 0)
    return b.EndObject()


def _operator(
    b: flatbuffers.Builder, code: int, kind: str, inputs: list[int], output: int, given: dict[str, int]
) -> int:
    _, option_type, fields = OPERATORS[kind]
    read, written = _ints(b, inputs), _ints(b, [output])
    options = None
    if fields:
        b.StartObject(8)
        for name, value in given.items():
            slot, form = fields[name]
            getattr(b, f"Prepend{form}Slot")(slot, value, 0)
        options = b.EndObject()
    b.StartObject(6)
    b.PrependUint32Slot(0, code, 0)
    b.PrependUOffsetTRelativeSlot(1, read, 0)
    b.PrependUOffsetTRelativeSlot(2, written, 0)
    b.PrependUint8Slot(3, option_type, 0)
    if options is not None:
        b.PrependUOffsetTRelativeSlot(4, options, 0)
    return b.EndObject()


def write_landmark_model(seed: int = 0) -> bytes:
    """Return a file with the inputs and outputs of MediaPipe's landmark networks.

    The input has 256 px; the outputs are 64 × 64 × 39 logits and 195 numbers.
    """
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    file = TFLiteFile((1, 256, 256, 3))
    features = file.conv(
        file.input,
        weights(5, 4, 4, 3),
        weights(5),
        (1, 64, 64, 5),
        padding=VALID,
        stride_w=4,
        stride_h=4,
        activation=RELU6,
    )
    heatmaps = file.conv(features, weights(39, 1, 1, 5), weights(39), (1, 64, 64, 39))
    pool = {"padding": SAME, "stride_w": 64, "stride_h": 64, "width": 64, "height": 64}
    pooled = file.add("MAX_POOL_2D", [features], (1, 1, 1, 5), **pool)
    numbers = file.conv(pooled, 300 * weights(195, 1, 1, 5), 300 * weights(195), (1, 1, 1, 195))
    shape = file.constant(np.array([-1, 195], np.int32))
    landmarks = file.add("RESHAPE", [numbers, shape], (1, 195))
    return file.content([landmarks, heatmaps])


def write_detector() -> bytes:
    """Return a file with the inputs and outputs of MediaPipe's person detector: 224 px, 2254 anchors."""
    rng = np.random.default_rng(0)
    file = TFLiteFile((1, 224, 224, 3))
    found: dict[int, list[int]] = {12: [], 1: []}
    for stride, repeats in ((8, 2), (16, 2), (32, 6)):
        cells = 224 // stride
        for width, outputs in found.items():
            weight = rng.normal(0, 0.1, (repeats * width, stride, stride, 3)).astype(np.float32)
            shape = (1, cells, cells, repeats * width)
            bias = np.zeros(repeats * width, np.float32)
            maps = file.conv(file.input, weight, bias, shape, padding=VALID, stride_w=stride, stride_h=stride)
            rows = file.constant(np.array([1, -1, width], np.int32))
            outputs.append(file.add("RESHAPE", [maps, rows], (1, cells**2 * repeats, width)))
    tables = [file.add("CONCATENATION", rows, (1, 2254, width), axis=1) for width, rows in found.items()]
    return file.content(tables)
