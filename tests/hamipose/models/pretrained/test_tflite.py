"""Files are written with Google's library; expected results follow from TensorFlow's definitions."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.errors import UserError
from hamipose.models.pretrained.convert import convert_graph, same_padding
from hamipose.models.pretrained.operations import OperationNetwork
from hamipose.models.pretrained.tflite import TFLiteGraph, read_tflite
from tests.helpers.tflite_files import NONE, RELU, RELU6, SAME, VALID, TFLiteFile, write_landmark_model

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def run(file: TFLiteFile, output: int, x: np.ndarray) -> np.ndarray:
    """Return the value of a tensor, maps with channels last."""
    graph = TFLiteGraph(file.content([output]))
    network = OperationNetwork(*convert_graph(graph))
    name = f"t{output}"
    found = network(torch.from_numpy(x).permute(0, 3, 1, 2), (name,))[name].detach()
    return (found.permute(0, 2, 3, 1) if found.ndim == 4 else found).numpy()


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """Convolve by definition: weight is (out, height, width, in), the odd pixel of SAME is right and below."""
    _, height, width, _ = x.shape
    kernel = weight.shape[1]
    if same:
        rows, columns = -(-height // stride), -(-width // stride)
        total = [max((n - 1) * stride + kernel - side, 0) for n, side in ((rows, height), (columns, width))]
        x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    else:
        rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    out = np.zeros((1, rows, columns, len(weight)), np.float32)
    for i in range(rows):
        for j in range(columns):
            window = x[0, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            out[0, i, j] = np.tensordot(weight, window, 3) + bias
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(("kernel", "height", "width"), [(3, 8, 6), (3, 7, 9), (2, 4, 4), (5, 10, 8)])
def test_convolution_equals_its_definition(kernel: int, height: int, width: int, padding: int, stride: int):
    x, weight, bias = normal(1, height, width, 3), normal(4, kernel, kernel, 3), normal(4)
    expected = convolved(x, weight, bias, stride, padding == SAME)
    file = TFLiteFile(x.shape)
    out = file.conv(file.input, weight, bias, expected.shape, padding=padding, stride_w=stride, stride_h=stride)
    np.testing.assert_allclose(run(file, out, x), expected, atol=1e-4)


@pytest.mark.parametrize(("activation", "low", "high"), [(NONE, -99, 99), (RELU, 0, 99), (RELU6, 0, 6)])
def test_depthwise_convolution_and_activations_equal_their_definitions(activation: int, low: int, high: int):
    x, weight, bias = 3 * normal(1, 6, 6, 4), normal(1, 3, 3, 4), normal(4)
    each = [convolved(x[..., [c]], weight[..., c][..., None], bias[[c]], 2, True) for c in range(4)]
    file = TFLiteFile(x.shape)
    out = file.conv(file.input, weight, bias, (1, 3, 3, 4), depthwise=1, stride_w=2, stride_h=2, activation=activation)
    expected = np.concatenate(each, -1)
    assert expected.min() < 0
    assert expected.max() > 6
    np.testing.assert_allclose(run(file, out, x), expected.clip(low, high), atol=1e-4)


@pytest.mark.parametrize("rows", [(1, 1), (0, 2)])
def test_padding_before_a_convolution_equals_its_definition(rows: tuple[int, int]):
    """The convolution itself applies a symmetric padding; another padding is a separate operation."""
    x, weight, bias = normal(1, 6, 5, 2), normal(3, 3, 3, 2), normal(3)
    moved = np.pad(x, [(0, 0), rows, (1, 1), (0, 0)])
    file = TFLiteFile(x.shape)
    widths = file.constant(np.array([(0, 0), rows, (1, 1), (0, 0)], np.int32))
    padded = file.add("PAD", [file.input, widths], moved.shape)
    out = file.conv(padded, weight, bias, (1, 6, 5, 3), padding=VALID)
    np.testing.assert_allclose(run(file, out, x), convolved(moved, weight, bias, 1, False), atol=1e-4)


def test_padding_of_channels_and_addition():
    x = normal(1, 4, 4, 2)
    file = TFLiteFile(x.shape)
    widths = file.constant(np.array([(0, 0), (0, 0), (0, 0), (0, 1)], np.int32))
    padded = file.add("PAD", [file.input, widths], (1, 4, 4, 3))
    other = file.conv(file.input, normal(3, 1, 1, 2), normal(3), (1, 4, 4, 3))
    out = file.add("ADD", [padded, other], (1, 4, 4, 3), activation=RELU)
    expected = np.pad(x, [(0, 0)] * 3 + [(0, 1)]) + run(file, other, x)
    np.testing.assert_allclose(run(file, out, x), expected.clip(0), atol=1e-5)


def test_pooling_resizing_sigmoid_and_depth_to_space():
    x = normal(1, 4, 6, 8)
    file = TFLiteFile(x.shape)
    pool = {"padding": VALID, "stride_w": 2, "stride_h": 2, "width": 2, "height": 2}
    pooled = file.add("MAX_POOL_2D", [file.input], (1, 2, 3, 8), **pool)
    np.testing.assert_array_equal(run(file, pooled, x), x.reshape(1, 2, 2, 3, 2, 8).max((2, 4)))

    size = file.constant(np.array([8, 12], np.int32))
    resized = file.add("RESIZE_BILINEAR", [file.input, size], (1, 8, 12, 8), half_pixel_centers=1)
    # Half-pixel centers at twice the size: three quarters of the near pixel, a quarter of the one beyond.
    np.testing.assert_allclose(run(file, resized, x)[0, 0, 1], 0.75 * x[0, 0, 0] + 0.25 * x[0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(run(file, resized, x)[0, 2, 0], 0.25 * x[0, 0, 0] + 0.75 * x[0, 1, 0], atol=1e-5)

    sigmoid = file.add("LOGISTIC", [file.input], x.shape)
    np.testing.assert_allclose(run(file, sigmoid, x), 1 / (1 + np.exp(-x)), atol=1e-6)

    # TensorFlow: channel ((row in block) · block + column in block) · depth + d.
    larger = file.add("DEPTH_TO_SPACE", [file.input], (1, 8, 12, 2), block_size=2)
    found = run(file, larger, x)
    for row, column, d in ((0, 0, 1), (0, 1, 0), (1, 0, 1), (1, 1, 0)):
        np.testing.assert_array_equal(found[0, row::2, column::2, d], x[0, :, :, (2 * row + column) * 2 + d])


def test_tables_keep_channels_last_order():
    x = normal(1, 2, 3, 4)
    file = TFLiteFile(x.shape)
    shape = file.constant(np.array([1, -1, 2], np.int32))
    rows = file.add("RESHAPE", [file.input, shape], (1, 12, 2))
    out = file.add("CONCATENATION", [rows, rows], (1, 24, 2), axis=1)
    expected = x.reshape(1, 12, 2)
    np.testing.assert_array_equal(run(file, out, x), np.concatenate([expected, expected], 1))


@pytest.mark.parametrize("sparse", [False, True])
def test_half_precision_and_sparse_weights_are_expanded(sparse: bool):
    x = normal(1, 3, 3, 5)
    weight = (normal(4, 1, 1, 5) * (RNG.random((4, 1, 1, 5)) < 0.5)).astype(np.float16)
    file = TFLiteFile(x.shape)
    stored = file.constant(weight, sparse)
    if sparse:
        dense = file.tensor(weight.shape)
        file.operators.append(("DENSIFY", [stored], dense, {}))
        stored = dense
    full = file.add("DEQUANTIZE", [stored], weight.shape)
    bias = file.constant(normal(4))
    options = {"padding": SAME, "stride_w": 1, "stride_h": 1, "dilation_w": 1, "dilation_h": 1}
    out = file.add("CONV_2D", [file.input, full, bias], (1, 3, 3, 4), **options)
    expected = x @ weight[:, 0, 0].astype(np.float32).T + file.tensors[bias][2]
    np.testing.assert_allclose(run(file, out, x), expected, atol=1e-5)


def test_same_padding_equals_tensorflow():
    assert same_padding(8, 3, 1) == (1, 1)
    assert same_padding(8, 3, 2) == (0, 1)
    assert same_padding(7, 3, 2) == (1, 1)
    assert same_padding(8, 5, 2) == (1, 2)
    assert same_padding(8, 3, 1, dilation=2) == (2, 2)
    assert same_padding(8, 1, 2) == (0, 0)


def test_other_files_are_rejected_in_one_line(tmp_path: Path):
    x = TFLiteFile((1, 4, 4, 1))
    out = x.add("ABS", [x.input], (1, 4, 4, 1))
    contents = {
        "nothing": (b"", "identifier"),
        "a zip": (b"PK\x03\x04 and more", "identifier"),
        "old": (write_landmark_model()[:8] + b"", "damaged"),
        "cut": (write_landmark_model()[:400], "damaged|version"),
        "version": (x.content([out], version=2), "version 2"),
        "operator": (x.content([out]), "operator 101"),
    }
    for name, (content, message) in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_tflite(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_tflite(tmp_path / "no.tflite")


def test_unsupported_operator_uses_are_rejected():
    file = TFLiteFile((1, 4, 4, 2))
    size = file.constant(np.array([8, 8], np.int32))
    out = file.add("RESIZE_BILINEAR", [file.input, size], (1, 8, 8, 2), align_corners=1)
    with pytest.raises(UserError, match="half-pixel centers"):
        convert_graph(TFLiteGraph(file.content([out])))
    file = TFLiteFile((1, 4, 4, 2))
    out = file.conv(file.input, normal(1, 1, 1, 2), normal(1), (1, 4, 4, 1), activation=4)
    with pytest.raises(UserError, match="activation 4"):
        convert_graph(TFLiteGraph(file.content([out])))


MEDIAPIPE = os.environ.get("HAMIPOSE_MEDIAPIPE_NETWORKS")
NAMES = (
    "pose_landmark_lite.tflite",
    "pose_landmark_full.tflite",
    "pose_landmark_heavy.tflite",
    "pose_detection.tflite",
)


@pytest.mark.skipif(
    MEDIAPIPE is None, reason="HAMIPOSE_MEDIAPIPE_NETWORKS names no folder of MediaPipe's .tflite files"
)
@pytest.mark.parametrize("name", NAMES)
def test_real_networks_equal_litert(name: str):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")
    path = Path(str(MEDIAPIPE)) / name
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    graph = read_tflite(path)
    network = OperationNetwork(*convert_graph(graph))
    names = tuple(f"t{output}" for output in graph.outputs)
    shape = graph.shape(graph.inputs[0])
    litert = interpreter.Interpreter(model_path=str(path))
    litert.allocate_tensors()
    for seed in range(3):
        x = np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)
        litert.set_tensor(litert.get_input_details()[0]["index"], x)
        litert.invoke()
        with torch.inference_mode():
            found = network(torch.from_numpy(x).permute(0, 3, 1, 2), names)
        for output in graph.outputs:
            theirs, ours = litert.get_tensor(output), found[f"t{output}"]
            ours = ours.permute(0, 2, 3, 1) if ours.ndim == 4 else ours
            largest = np.abs(theirs).max()
            np.testing.assert_allclose(ours.numpy().reshape(theirs.shape), theirs, atol=1e-3 * max(largest, 1e-3))
