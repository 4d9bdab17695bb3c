"""ONNX pose networks that find a bright spot by averaging or summing the image, and reuse of exported networks."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

NAMES = ("simcc_x", "simcc_y")


def reuse_export(monkeypatch: pytest.MonkeyPatch, exported: Path) -> None:
    """Let torch's exporter, which takes seconds, copy the exported file of the same network."""

    def copy(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: str, **options: Any) -> None:
        shutil.copy(exported, path)

    monkeypatch.setattr("torch.onnx.export", copy)


def _written(
    path: Path, nodes: list, constants: dict[str, np.ndarray], shape: list, outputs: dict, **about: str
) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kind = about.pop("dtype", "float")
    dtype = TensorProto.UINT8 if kind == "uint8" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "spots",
        [helper.make_tensor_value_info("input", dtype, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, about)
    onnx.save(model, str(path))
    return path


def write_heatmap_model(
    path: Path, height: int = 64, width: int = 48, batch: int | str = "batch", **about: str
) -> Path:
    """Write a network whose heatmap k is the red channel, downscaled by 4, times 1 − k / 100.

    Cell u covers the pixels 4u … 4u + 3.
    """
    from onnx import helper

    scale = (1 - np.arange(17) / 100).astype(np.float32).reshape(1, 17, 1, 1)
    nodes = [
        helper.make_node("Slice", ["input", "zero", "one", "one"], ["red"]),
        helper.make_node("AveragePool", ["red"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Mul", ["small", "scale"], ["maps"]),
        helper.make_node("Mul", ["maps", "fifth"], ["heatmaps"]),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "scale": scale,
        "fifth": np.float32(0.2).reshape(()),
    }
    return _written(
        path,
        nodes,
        constants,
        [batch, 3, height, width],
        {"heatmaps": [batch, 17, height // 4, width // 4]},
        **about,
    )


def write_simcc_model(path: Path, height: int = 64, width: int = 48, batch: int | str = 1, **about: str) -> Path:
    """Write a network with the profiles of RTMPose, two bins per pixel: sums of the red channel by row and column."""
    from onnx import helper

    nodes = [helper.make_node("Slice", ["input", "zero", "one", "one"], ["red"])]
    for name, axis in (("simcc_x", "rows"), ("simcc_y", "columns")):
        nodes += [
            helper.make_node("ReduceMax", ["red", axis], [f"{name}_1"], keepdims=0),
            helper.make_node("Tile", [f"{name}_1", "each"], [f"{name}_2"]),
            helper.make_node("Reshape", [f"{name}_2", f"{name}_column"], [f"{name}_3"]),
            helper.make_node("Mul", [f"{name}_3", "halves"], [f"{name}_4"]),  # the first of a pixel's bins is higher
            helper.make_node("Reshape", [f"{name}_4", f"{name}_bins"], [name]),
        ]
    constants = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "rows": np.array([2], np.int64),
        "columns": np.array([3], np.int64),
        "each": np.array([1, 17, 1], np.int64),
        "halves": np.array([0.3, 0.2], np.float32).reshape(1, 1, 1, 2),
        **{
            f"{n}_column": np.array([-1, 17, side, 1], np.int64)
            for n, side in (("simcc_x", width), ("simcc_y", height))
        },
        **{
            f"{n}_bins": np.array([-1, 17, 2 * side], np.int64) for n, side in (("simcc_x", width), ("simcc_y", height))
        },
    }
    outputs = {"simcc_x": [batch, 17, 2 * width], "simcc_y": [batch, 17, 2 * height]}
    return _written(path, nodes, constants, [batch, 3, height, width], outputs, **about)
