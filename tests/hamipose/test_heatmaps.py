import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.heatmaps import (
    argmax,
    cell_to_px,
    decode,
    encode,
    is_inside,
    matrix_px_to_cells,
    px_to_cell,
    quantized_cell,
)

SIZE = (96, 128)
coordinate = st.floats(-0.5, 1.0, allow_nan=False)


def reference_gaussian(keypoint_px, size, stride, sigma):
    """Compute the definition cell by cell: the distance of the cell center to the keypoint, both in pixels."""
    heatmap = np.zeros((size[0] // stride, size[1] // stride))
    for row in range(heatmap.shape[0]):
        for column in range(heatmap.shape[1]):
            center_px = np.array([column, row]) * stride + (stride - 1) / 2
            distance_px = np.linalg.norm(center_px - keypoint_px)
            heatmap[row, column] = np.exp(-(distance_px**2) / (2 * (sigma * stride) ** 2))
    return heatmap


def reference_published(keypoint_px, size, sigma=2):
    """Compute the target of RegDA's published code: a 13 × 13 patch around a whole cell."""
    height, width = size[0] // 4, size[1] // 4
    heatmap = np.zeros((height, width))
    center = [int(v / 4 + 0.5) for v in keypoint_px]
    if not (0 <= center[0] < width and 0 <= center[1] < height):
        return heatmap
    for dy in range(-3 * sigma, 3 * sigma + 1):
        for dx in range(-3 * sigma, 3 * sigma + 1):
            x, y = center[0] + dx, center[1] + dy
            if 0 <= x < width and 0 <= y < height:
                heatmap[y, x] = np.exp(-(dx * dx + dy * dy) / (2 * sigma**2))
    return heatmap


@given(
    x=st.floats(-0.5, SIZE[1] - 0.5, width=32), y=st.floats(-0.5, SIZE[0] - 0.5, width=32), sigma=st.floats(0.8, 3.0)
)
@settings(max_examples=200, deadline=None)
def test_decode_inverts_encode_up_to_the_edge(x, y, sigma):
    keypoint = torch.tensor([[x, y]])
    decoded, confidence = decode(encode(keypoint, SIZE, sigma=sigma))
    torch.testing.assert_close(decoded, keypoint, atol=5e-3, rtol=0)
    # The highest cell is at most half a cell to the side and half a cell down from the peak.
    assert np.exp(-0.25 / sigma**2) - 1e-4 <= confidence.item() <= 1


@given(x=st.floats(0, SIZE[1] - 2.5, width=32), y=st.floats(0, SIZE[0] - 2.5, width=32), sigma=st.floats(0.8, 3.0))
@settings(max_examples=200, deadline=None)
def test_decode_inverts_quantized_encode_up_to_the_rounding(x, y, sigma):
    keypoint = torch.tensor([[x, y]])
    decoded, _ = decode(encode(keypoint, SIZE, sigma=sigma, quantize=True), quantize=True)
    assert (decoded - keypoint).abs().max() <= 2 + 5e-3, "half a cell"


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_decode_of_quantized_targets_has_no_bias(stride):
    """Averaged over sub-pixel positions; decoded as plain targets the error is (stride − 1) / 2 px, 1.5 px at 4."""
    along = torch.arange(16, 48, 1 / 16) + 1 / 32
    keypoints = torch.stack([along, along.flip(0)], -1)
    maps = encode(keypoints, (64, 64), stride=stride, quantize=True)
    for quantize, bias in ((True, 0.0), (False, (stride - 1) / 2)):
        error = decode(maps, stride=stride, quantize=quantize)[0] - keypoints
        torch.testing.assert_close(error.mean(0), torch.full((2,), bias), atol=2e-3, rtol=0)


@pytest.mark.parametrize("quantize", [False, True])
def test_a_rotation_about_a_cell_keeps_that_cell(quantize):
    """The rotation is about the position of the cell in the given encoding."""
    here = cell_to_px(torch.tensor([5.0, 7.0]), quantize=quantize)
    linear = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    matrix = torch.cat([linear, (here - linear @ here)[:, None]], 1)
    cells = matrix_px_to_cells(matrix, quantize=quantize)
    torch.testing.assert_close(cells[:, :2] @ torch.tensor([5.0, 7.0]) + cells[:, 2], torch.tensor([5.0, 7.0]))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_decode_inverts_encode_at_any_stride(stride):
    keypoints = torch.rand(3, 5, 2) * 63
    torch.testing.assert_close(
        decode(encode(keypoints, (64, 64), stride=stride), stride=stride)[0], keypoints, atol=5e-3, rtol=0
    )


def test_encode_equals_the_definition():
    keypoints = torch.tensor([[40.3, 51.8], [3.0, 95.2], [127.5, -0.5]])
    expected = np.stack([reference_gaussian(k.numpy(), SIZE, 4, 1.5) for k in keypoints])
    np.testing.assert_allclose(encode(keypoints, SIZE, sigma=1.5), expected, atol=1e-6)


def test_quantized_encode_equals_the_published_target():
    keypoints = torch.rand(60, 2) * torch.tensor([150.0, 120.0]) - 12
    expected = np.stack([reference_published(k.tolist(), SIZE) for k in keypoints])
    assert (expected.max((1, 2)) == 0).any(), "some keypoints must be outside"
    np.testing.assert_allclose(encode(keypoints, SIZE, quantize=True), expected, atol=1e-6)


def test_peak_of_a_quantized_map_is_its_quantized_cell():
    keypoints = torch.rand(4, 9, 2) * 90
    assert torch.equal(argmax(encode(keypoints, (96, 96), quantize=True))[0], quantized_cell(keypoints))


def test_mirroring_the_keypoints_mirrors_the_maps():
    keypoints = torch.rand(2, 6, 2) * 95
    mirrored = keypoints * torch.tensor([-1.0, 1.0]) + torch.tensor([SIZE[1] - 1.0, 0.0])
    torch.testing.assert_close(encode(mirrored, SIZE), encode(keypoints, SIZE).flip(-1), atol=1e-5, rtol=0)


def test_a_batch_equals_its_samples():
    keypoints = torch.rand(3, 4, 2) * 95
    maps = encode(keypoints, SIZE)
    assert torch.equal(maps, torch.stack([encode(k, SIZE) for k in keypoints]))
    single = [decode(m) for m in maps]
    assert torch.equal(decode(maps)[0], torch.stack([s[0] for s in single]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, -0.6, 128.0])
@pytest.mark.parametrize("quantize", [False, True])
def test_keypoints_outside_the_image_or_nan_have_no_map(bad, quantize):
    if quantize and bad == -0.6:
        pytest.skip("the published rounding draws it on the first cell")
    keypoints = torch.tensor([[bad, 20.0], [30.0, 20.0]])
    maps = encode(keypoints, SIZE, quantize=quantize)
    assert maps[0].eq(0).all()
    assert torch.equal(maps[1], encode(keypoints[1:], SIZE, quantize=quantize)[0])


def test_invisible_keypoints_have_no_map():
    visible = torch.tensor([[True, False], [False, True]])
    maps = encode(torch.full((2, 2, 2), 40.0), SIZE, visible=visible)
    assert torch.equal(maps.amax((2, 3)) > 0, visible)


def test_inside_includes_the_edges():
    points = torch.tensor([[-0.5, -0.5], [127.5, 95.5], [127.6, 0.0], [0.0, -0.51], [0.0, 96.0], [float("nan"), 0.0]])
    assert is_inside(points, SIZE).tolist() == [True, True, False, False, False, False]


def test_a_size_that_is_not_a_multiple_of_the_stride_raises():
    with pytest.raises(ValueError, match="90 × 96 px"):
        encode(torch.zeros(1, 2), (90, 96))


@given(factor=st.floats(1e-6, 1e6))
@settings(deadline=None, max_examples=30)
def test_decoding_does_not_depend_on_the_height_of_the_peak(factor):
    maps = encode(torch.tensor([[33.3, 47.1], [90.2, 5.4]]), SIZE)
    torch.testing.assert_close(decode(maps * factor)[0], decode(maps)[0], atol=1e-2, rtol=0)


def test_decoding_noise_stays_within_half_a_cell_of_the_highest_cell():
    maps = torch.randn(8, 16, 12, 10)
    maps[0, 0] = 0.5  # flat
    maps[0, 1] = -1.0  # nowhere positive
    maps[0, 2] = 0.0
    decoded, confidence = decode(maps)
    width = maps.shape[-1]
    index = maps.flatten(2).argmax(-1)
    highest = torch.stack([index % width, index // width], -1).float()
    assert (px_to_cell(decoded) - highest).abs().max() <= 0.5 + 1e-4
    assert torch.equal(confidence, maps.amax((2, 3)))


def test_decoding_nan_gives_nan():
    maps = encode(torch.full((2, 2), 40.0), SIZE)
    maps[0, 3, 3] = float("nan")
    decoded, confidence = decode(maps)
    assert decoded[0].isnan().all()
    assert confidence[0].isnan()
    assert decoded[1].isfinite().all()


def test_argmax_returns_the_first_of_equals_and_the_corner_if_nothing_is_positive():
    maps = torch.zeros(3, 5, 7)
    maps[0, 2, 4] = maps[0, 3, 1] = 1.0
    maps[1] = -2.0
    maps[1, 4, 6] = -1.0
    cells, peak = argmax(maps)
    assert cells.tolist() == [[4, 2], [0, 0], [0, 0]]
    assert peak.tolist() == [1, -1, 0]


def test_half_precision_maps_decode_in_single_precision():
    keypoints = torch.tensor([[33.3, 47.1]])
    decoded, confidence = decode(encode(keypoints, SIZE).bfloat16())
    assert decoded.dtype == confidence.dtype == torch.float32
    torch.testing.assert_close(decoded, keypoints, atol=0.5, rtol=0)


def test_cells_and_pixels_are_inverse_and_conjugate_matrices():
    points = torch.randn(4, 5, 2) * 50
    torch.testing.assert_close(cell_to_px(px_to_cell(points)), points)
    matrices = torch.randn(4, 2, 3)
    cells = matrix_px_to_cells(matrices)

    def apply(m, p):
        return torch.einsum("bij,bnj->bni", m[..., :2], p) + m[:, None, :, 2]

    torch.testing.assert_close(apply(cells, px_to_cell(points)), px_to_cell(apply(matrices, points)))


def test_double_precision_is_decoded_in_double_precision():
    keypoint = torch.tensor([[41.123456789, 37.987654321]], dtype=torch.float64)
    decoded, confidence = decode(encode(keypoint, SIZE))
    assert decoded.dtype == confidence.dtype == torch.float64
    torch.testing.assert_close(decoded, keypoint, atol=1e-9, rtol=0)
