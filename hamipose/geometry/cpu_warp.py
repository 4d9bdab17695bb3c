"""Warp of heatmaps on a CPU, as a kernel of the library warp; imported only where it is used.

Networks keep channels last in memory (`models.network`), so a cell of a heatmap is one short row of numbers, and a cell
of the result is a weighted sum of four such rows. ``grid_sample`` reads each number separately, which takes two to four
times as long (`benchmarks/heatmap_warp.py`). Functions that warp compiles must be excluded from run-time type checks.
"""

from functools import lru_cache
from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.geometry.warp_runtime import compile_kernels

__all__ = ["warp_channels_last"]

wp.set_module_options({"enable_backward": False})


@wp.func
@no_type_check
def _hat(distance: float):
    """Return the weight of a neighbor in bilinear interpolation; 0 from a distance of one cell on. NaN stays NaN."""
    away = wp.abs(distance)
    return wp.where(away > 1.0, 0.0, 1.0 - away)


# Eight numbers at a time: by default the compiler vectorizes by 32 and processes the usual 16 channels one by one. The
# next image and the next line of the result are prefetched, which halves the time.
_BLEND = """
    const long long row = (long long)cell * channels, line = (long long)width * channels;
    const float* __restrict__ top = maps.data + row;
    const float* __restrict__ bottom = top + line;
    float* __restrict__ to = result.data + (long long)target * channels;
    __builtin_prefetch(maps.data + (long long)ahead * channels, 0, 2);
    __builtin_prefetch(to + line, 1, 2);
    #pragma clang loop vectorize_width(8) interleave_count(1)
    for (int k = 0; k < channels; ++k)
        to[k] = top_left * top[k] + top_right * top[k + channels]
            + bottom_left * bottom[k] + bottom_right * bottom[k + channels];
    for (int i = 0; i < exchanged; ++i) {
        const int one = pairs.data[2 * i], other = pairs.data[2 * i + 1];
        const float kept = to[one];
        to[one] = to[other];
        to[other] = kept;
    }
"""


@wp.func_native(_BLEND)
@no_type_check
def _blend(
    maps: wp.array(dtype=wp.float32),
    cell: int,
    width: int,
    channels: int,
    top_left: float,
    top_right: float,
    bottom_left: float,
    bottom_right: float,
    pairs: wp.array2d(dtype=wp.int32),
    exchanged: int,
    ahead: int,
    result: wp.array(dtype=wp.float32),
    target: int,
):
    """Write a cell of the result, the weighted sum of four neighbors from ``cell`` on; exchange pairs of channels."""


@wp.kernel
@no_type_check
def _warp_rows(
    maps: wp.array(dtype=wp.float32),
    inverse: wp.array3d(dtype=wp.float32),
    mirrored: wp.array(dtype=wp.bool),
    pairs: wp.array2d(dtype=wp.int32),
    tolerance: float,
    channels: int,
    result: wp.array(dtype=wp.float32),
    known: wp.array3d(dtype=wp.bool),
):
    """Compute one row of cells of one image."""
    n, i = wp.tid()
    height = known.shape[1]
    width = known.shape[2]
    exchanged = wp.where(mirrored[n], pairs.shape[0], 0)
    next_image = wp.where(n + 1 < known.shape[0], height * width, 0)
    slack_x = tolerance * float(width) / 2.0
    slack_y = tolerance * float(height) / 2.0
    last_x = float(width - 1) + slack_x
    last_y = float(height - 1) + slack_y
    first_x = inverse[n, 0, 1] * float(i) + inverse[n, 0, 2]
    first_y = inverse[n, 1, 1] * float(i) + inverse[n, 1, 2]
    along_x = inverse[n, 0, 0]
    along_y = inverse[n, 1, 0]
    for j in range(width):
        x = along_x * float(j) + first_x
        y = along_y * float(j) + first_y
        # Two by two existing cells: for positions outside, the weights of all four are 0.
        left = wp.clamp(int(x), 0, width - 2)
        top = wp.clamp(int(y), 0, height - 2)
        weight_left = _hat(x - float(left))
        weight_right = _hat(x - float(left) - 1.0)
        weight_top = _hat(y - float(top))
        weight_bottom = _hat(y - float(top) - 1.0)
        target = (n * height + i) * width + j
        known[n, i, j] = x >= -slack_x and x <= last_x and y >= -slack_y and y <= last_y
        _blend(
            maps,
            (n * height + top) * width + left,
            width,
            channels,
            weight_left * weight_top,
            weight_right * weight_top,
            weight_left * weight_bottom,
            weight_right * weight_bottom,
            pairs,
            exchanged,
            target + next_image,
            result,
            target,
        )


def warp_channels_last(
    heatmaps: Float[Tensor, "batch keypoint height width"],
    inverse: Float[Tensor, "batch 2 3"],
    mirrored: Bool[Tensor, " batch"],
    mirror: list[int],
    tolerance: float,
) -> tuple[Float[Tensor, "batch keypoint height width"], Bool[Tensor, "batch height width"]]:
    """Warp a batch of heatmaps with bilinear interpolation on one core; zero outside, without gradients.

    Args:
        heatmaps: heatmaps on the CPU of at least 2 × 2 cells, channels last in memory (others are copied).
        inverse: maps from cells of the result to cells of the input.
        mirrored: whether channels are exchanged.
        mirror: for each channel, the channel that it is exchanged with (possibly itself).
        tolerance: how far outside the outermost cell centers a position is still known, as a fraction of half a side.

    Returns:
        Heatmaps with channels last in memory, in single precision; and a mask of the known cells, whose positions are
        between the outermost cell centers of the input.

    Raises:
        ValueError: channels are not exchanged in pairs.
    """
    _compile()
    for one, other in enumerate(mirror):
        if mirror[other] != one:
            raise ValueError(f"mirror: channel {one} is exchanged with {other}, and that with {mirror[other]}")
    batch, channels, height, width = heatmaps.shape
    maps = heatmaps.float().contiguous(memory_format=torch.channels_last)
    result = torch.empty_like(maps)
    known = torch.empty(batch, height, width, dtype=torch.bool)
    pairs = torch.tensor([(one, other) for one, other in enumerate(mirror) if one < other], dtype=torch.int32)
    wp.launch(
        _warp_rows,
        dim=(batch, height),
        inputs=[
            _flat(maps),
            wp.from_torch(inverse.contiguous()),
            wp.from_torch(mirrored.contiguous()),
            wp.from_torch(pairs.view(-1, 2)),
            tolerance,
            channels,
        ],
        outputs=[_flat(result), wp.from_torch(known)],
        device="cpu",
    )
    return result, known


@lru_cache(maxsize=1)
def _compile() -> None:
    import hamipose.geometry.cpu_warp

    compile_kernels(hamipose.geometry.cpu_warp, label="the sampling of heatmaps", device="cpu")


def _flat(maps: Tensor) -> Any:
    return wp.from_torch(maps.permute(0, 2, 3, 1).view(-1))
