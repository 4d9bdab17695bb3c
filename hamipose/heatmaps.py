"""Convert keypoints to heatmaps and back, and pixels to heatmap cells and back.

A cell covers ``stride`` × ``stride`` pixels, and its center is the middle of these pixels:
``px = (cell + 0.5) · stride − 0.5``. This map commutes with mirroring; the usual ``int(px / 4 + 0.5)`` does not. The
latter is available as ``quantize=True`` for the published protocol. The pixels that are rounded to one cell have their
middle at ``px = cell · stride``, so heatmaps of a network that was trained with such targets must be decoded with
``quantize=True`` too. The encoding is therefore stored with a model (``ModelInfo.quantized``).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from hamipose.geometry.affine import sampling_grid
from hamipose.precision import at_least_single

__all__ = [
    "argmax",
    "cell_to_px",
    "decode",
    "encode",
    "is_inside",
    "matrix_px_to_cells",
    "offset_px",
    "px_to_cell",
    "quantized_cell",
    "warp_heatmaps",
]


def offset_px(stride: int = 4, quantize: bool = False) -> float:
    """Return the position of cell 0 in pixels: the middle of the pixels it covers, or of those rounded to it.

    >>> offset_px(), offset_px(quantize=True)
    (1.5, 0.0)
    """
    return 0.0 if quantize else (stride - 1) / 2


def px_to_cell(points_px: Float[Tensor, "*batch 2"], stride: int = 4) -> Float[Tensor, "*batch 2"]:
    """Convert points in pixels of the image to points in heatmap cells.

    >>> px_to_cell(torch.tensor([1.5, 5.5]))
    tensor([0., 1.])
    """
    return (points_px + 0.5) / stride - 0.5


def cell_to_px(
    points_cell: Float[Tensor, "*batch 2"], stride: int = 4, quantize: bool = False
) -> Float[Tensor, "*batch 2"]:
    """Convert points in heatmap cells to points in pixels: the inverse of :func:`px_to_cell`, or of the rounding.

    >>> cell_to_px(torch.tensor([0.0, 1.0])), cell_to_px(torch.tensor([0.0, 1.0]), quantize=True)
    (tensor([1.5000, 5.5000]), tensor([0., 4.]))
    """
    return points_cell * stride + offset_px(stride, quantize)


def matrix_px_to_cells(
    matrices: Float[Tensor, "*batch 2 3"], stride: int = 4, quantize: bool = False
) -> Float[Tensor, "*batch 2 3"]:
    r"""Convert an affine map of pixels to a map of heatmap cells.

    The result is :math:`S^{-1} M S` with :math:`S` the map from cells to pixels: the linear part stays, and the
    translation is :math:`(A o + t - o) / \mathrm{stride}` where :math:`o` is :func:`offset_px`.
    """
    offset = offset_px(stride, quantize)
    cells = matrices.clone()
    cells[..., 2] = (matrices[..., :2].sum(-1) * offset + matrices[..., 2] - offset) / stride
    return cells


def quantized_cell(points_px: Float[Tensor, "*batch 2"], stride: int = 4) -> Float[Tensor, "*batch 2"]:
    """Round as RegDA and UniFrame do, ``int(px / stride + 0.5)``: to whole cells, on average half a cell too far."""
    return (points_px / stride + 0.5).trunc()


def is_inside(keypoints_px: Float[Tensor, "*batch 2"], size: tuple[int, int]) -> Bool[Tensor, "*batch"]:
    """Return whether points are inside the image, edges included; NaN is outside.

    Args:
        keypoints_px: points in pixels.
        size: height and width of the image.
    """
    x, y = keypoints_px.unbind(-1)
    return (x >= -0.5) & (x <= size[1] - 0.5) & (y >= -0.5) & (y <= size[0] - 0.5)


def encode(
    keypoints_px: Float[Tensor, "*batch keypoint 2"],
    size: tuple[int, int],
    *,
    stride: int = 4,
    sigma: float = 2.0,
    visible: Bool[Tensor, "*batch keypoint"] | None = None,
    quantize: bool = False,
) -> Float[Tensor, "*batch keypoint height width"]:
    r"""Return one Gaussian per keypoint, :math:`H_k(u) = \exp(-\|u - \mu_k\|^2 / 2\sigma^2)`, with a peak of 1.

    Args:
        keypoints_px: keypoints in pixels of the image.
        size: height and width of the image; must be multiples of `stride`.
        stride: pixels per cell.
        sigma: width of the Gaussian, in cells.
        visible: mask of keypoints to draw. Default: None, all.
        quantize: return the published targets instead: center on a whole cell, cut off at ±3σ (RegDA, UniFrame).

    Returns:
        Heatmaps of height / stride × width / stride, on the device of the keypoints. A keypoint that is not visible,
        outside the image or NaN has a heatmap of zeros.

    Raises:
        ValueError: the size of the image is not a multiple of the stride.
    """
    if size[0] % stride or size[1] % stride:
        raise ValueError(f"an image of {size[0]} × {size[1]} px has no heatmap of stride {stride}: use multiples of it")
    height, width = size[0] // stride, size[1] // stride
    if quantize:
        center = quantized_cell(keypoints_px, stride)
        x, y = center.unbind(-1)
        has_map = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    else:
        center = px_to_cell(keypoints_px, stride)
        has_map = is_inside(keypoints_px, size)
    if visible is not None:
        has_map = has_map & visible
    center = torch.where(has_map[..., None], center, 0.0)

    def profile(mean: Tensor, cells: int) -> Tensor:
        distance = torch.arange(cells, device=mean.device, dtype=mean.dtype) - mean[..., None]
        values = torch.exp(distance.square() * (-0.5 / sigma**2))
        return values * (distance.abs() <= 3 * sigma) if quantize else values

    # The Gaussian is a product of two profiles: h + w exponentials per map instead of h · w.
    rows = profile(center[..., 1], height) * has_map[..., None]
    return rows[..., :, None] * profile(center[..., 0], width)[..., None, :]


def argmax(
    heatmaps: Float[Tensor, "*batch height width"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return the position (x, y) in whole cells and the height of each map's peak; the first one if several are equal.

    As in the published protocol, the position is (0, 0) if the peak is not positive.
    """
    cells, peak = _find_peaks(heatmaps)
    return cells * (peak > 0)[..., None], peak


def decode(
    heatmaps: Float[Tensor, "*batch keypoint height width"], *, stride: int = 4, quantize: bool = False
) -> tuple[Float[Tensor, "*batch keypoint 2"], Float[Tensor, "*batch keypoint"]]:
    r"""Return keypoints and confidences of heatmaps, with sub-cell precision.

    The logarithm of a Gaussian is a parabola, so the vertex of the parabola through three neighboring log-values is
    exactly its mean (the separable case of Zhang et al., DARK, CVPR 2020, eq. 8). At a border the three outermost
    cells are used. The vertex is clamped to half a cell around the highest cell.

    Args:
        heatmaps: heatmaps with at least three cells per side.
        stride: pixels per cell.
        quantize: whether the network was trained with targets of ``encode(…, quantize=True)``. The rounding error of
            up to half a cell cannot be undone, but its mean, (stride − 1) / 2 px, is.

    Returns:
        Keypoints in pixels, and the value of the highest cell. A map that contains NaN gives NaN.
    """
    cells, peak = _find_peaks(heatmaps)
    x, y = cells.long().unbind(-1)
    height, width = heatmaps.shape[-2:]
    maps = heatmaps.flatten(-2)

    def vertex(best: Tensor, cell: Tensor, start: Tensor, step: int) -> Tensor:
        """Return the vertex of the parabola through `start`, `start + step` (at `cell`) and `start + 2 step`."""
        values = maps.gather(-1, torch.stack([start, start + step, start + 2 * step], -1))
        low, middle, high = (at_least_single(values) / peak[..., None]).clamp(min=1e-6).log().unbind(-1)
        bend = low - 2 * middle + high
        shift = torch.where(bend < 0, (low - high) / (2 * bend), best - cell)
        return (cell + shift).clamp(best - 0.5, best + 0.5)

    middle_x, middle_y = x.clamp(1, width - 2), y.clamp(1, height - 2)
    refined = torch.stack(
        [
            vertex(cells[..., 0], middle_x, y * width + middle_x - 1, 1),
            vertex(cells[..., 1], middle_y, (middle_y - 1) * width + x, width),
        ],
        -1,
    )
    refined = torch.where((peak > 0)[..., None], refined, cells + 0 * peak[..., None])
    return cell_to_px(refined, stride, quantize), peak


def _find_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x, y) of each map's highest cell as floats, and its value; the first of equals, the first NaN if any."""
    width = heatmaps.shape[-1]
    peak, index = heatmaps.flatten(-2).max(-1)
    peak = at_least_single(peak)
    return torch.stack([index % width, index // width], -1).to(peak.dtype), peak


def warp_heatmaps(
    heatmaps: Float[Tensor, "batch keypoint height width"],
    student_from_teacher: Float[Tensor, "batch 2 3"],
    mirrored: Bool[Tensor, " batch"],
    mirror: list[int],
    stride: int = 4,
    quantize: bool = False,
) -> tuple[Float[Tensor, "batch keypoint height width"], Bool[Tensor, "batch 1 height width"]]:
    """Warp the teacher's heatmaps into the student's view.

    Uses one ``grid_sample`` for the batch.

    Args:
        heatmaps: heatmaps in the teacher's view.
        student_from_teacher: matrices from pixels of the teacher's view to pixels of the student's view.
        mirrored: whether exactly one of the two views is mirrored; then left and right channels are exchanged.
        mirror: :attr:`hamipose.skeletons.Skeleton.mirror`.
        stride: pixels per cell.
        quantize: whether the network was trained with targets of ``encode(…, quantize=True)``, whose cells have other
            positions.

    Returns:
        The heatmaps in the student's view, in at least single precision; and a mask of the known cells: True inside the
        teacher's view (between its outermost cell centers), False where the result is padding.
    """
    height, width = heatmaps.shape[-2:]
    cells = matrix_px_to_cells(at_least_single(student_from_teacher), stride, quantize)
    tolerance = 1e-4  # fraction of half a side
    exchanged = at_least_single(torch.where(mirrored[:, None, None, None], heatmaps[:, mirror], heatmaps)).contiguous()
    grid = sampling_grid(cells, (height, width), (height, width))
    warped = F.grid_sample(
        exchanged, grid.to(exchanged.dtype), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    x, y = grid.abs().unbind(-1)
    known = (x <= 1 - 1 / width + tolerance) & (y <= 1 - 1 / height + tolerance)
    return warped, known[:, None]
