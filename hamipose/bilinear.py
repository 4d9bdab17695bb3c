"""Bilinear reading of many maps at the same places on the CPU: one weighted sum of four table rows a place.

There :func:`torch.nn.functional.grid_sample` gathers the corners number by number, channel by channel. But all channels
of an image are read at the same places with the same weights: laid out as a table with a row for each cell, the maps
are read a row at a time, by the vectorised sum that :func:`torch.nn.functional.embedding_bag` is. No gradient.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

__all__ = ["read_rows"]

#: Numbers in the table of the images that are read at once: 1 MB stays near the processor.
TABLE = 2**18


def read_rows(
    maps: Float[Tensor, "batch channel height width"],
    x: Float[Tensor, "batch out_height out_width"],
    y: Float[Tensor, "batch out_height out_width"],
    order: Int[Tensor, "batch channel"],
) -> Float[Tensor, "batch channel out_height out_width"]:
    """What ``grid_sample`` reads, zero outside.

    Args:
        maps: in single precision, at least two cells high and wide.
        x: column that is read, in cells.
        y: row that is read, in cells.
        order: the channel of the maps that each channel of the result comes from.
    """
    batch, channels, height, width = maps.shape
    cells, places = height * width, x.shape[1] * x.shape[2]
    together = max(1, TABLE // (channels * cells))
    left, top = x.floor().clamp_(0, width - 2).nan_to_num_(0), y.floor().clamp_(0, height - 2).nan_to_num_(0)
    from_left, from_top = x - left, y - top
    rows = torch.empty(4, *x.shape, dtype=torch.int32)
    rows[0] = left.add_(top, alpha=width)
    rows[0] += (torch.arange(batch, dtype=torch.int32) % together * cells)[:, None, None]
    for corner, step in ((1, 1), (2, width), (3, width + 1)):
        torch.add(rows[0], step, out=rows[corner])
    across, down = (_tent(from_left), _tent(from_left - 1)), (_tent(from_top), _tent(from_top - 1))
    weights = torch.stack([vertical * horizontal for vertical in down for horizontal in across])
    rows = _transposed(rows.view(torch.float32).view(1, 4, -1)).view(torch.int32).view(batch, places, 4)
    weights = _transposed(weights.view(1, 4, -1)).view(batch, places, 4)
    result = maps.new_empty(batch, channels, places)
    tables = maps.contiguous().view(batch, channels, cells)
    for some in zip(*(t.split(together) for t in (tables, rows, weights, order, result)), strict=True):
        planes, at, by, channel, out = some
        table = _transposed(planes).view(-1, channels)
        read = F.embedding_bag(at.flatten(0, 1), table, mode="sum", per_sample_weights=by.flatten(0, 1))
        planes = _transposed(read.view(-1, places, channels)).flatten(0, 1)
        chosen = channel + torch.arange(0, len(planes), channels)[:, None]
        torch.index_select(planes, 0, chosen.flatten(), out=out.flatten(0, 1))
    return result.view(batch, channels, *x.shape[1:])


def _tent(offset: Tensor) -> Tensor:
    return (1 - offset.abs()).clamp_(min=0)


def _transposed(planes: Float[Tensor, "batch a b"]) -> Float[Tensor, "batch b a"]:
    """A contiguous copy, five times as fast as ``mT.contiguous()``: shuffling channels in memory is just that."""
    batch, a, b = planes.shape
    channels_last = planes.as_strided((batch, a * b, 1, 1), (a * b, 1, a * b, a * b))
    return torch.native_channel_shuffle(channels_last, a).view(batch, b, a)
