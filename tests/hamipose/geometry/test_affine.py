import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.geometry.affine import apply_points, augment_matrix, compose, crop_matrix, invert, warp_images
from hamipose.heatmaps import decode, encode, is_inside, warp_heatmaps
from hamipose.skeletons import BODY16

views = st.builds(
    augment_matrix,
    st.just(128),
    st.floats(-180, 180),
    st.floats(0.6, 1.6),
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    st.booleans(),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)
similarities = st.builds(
    augment_matrix,
    st.just(128),
    st.floats(-180, 180),
    st.floats(0.6, 1.6),
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    st.booleans(),
)
identity = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def tensor(matrix):
    return torch.from_numpy(np.ascontiguousarray(matrix)).float()[None]


def smooth(batch=1, channels=3, size=128):
    """Return images whose details are much coarser than a pixel, so that interpolation errors are small."""
    coarse = torch.rand(batch, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)


# --- matrices


@given(views, views)
@settings(deadline=None, max_examples=50)
def test_composition_applies_the_maps_in_order(a, b):
    points = np.random.default_rng(0).uniform(0, 128, (7, 2))
    np.testing.assert_allclose(apply_points(compose(a, b), points), apply_points(a, apply_points(b, points)))


@given(views)
@settings(deadline=None, max_examples=50)
def test_inverse_composes_to_the_identity(a):
    for product in (compose(a, invert(a)), compose(invert(a), a)):
        np.testing.assert_allclose(product, np.eye(2, 3), atol=1e-9)


@given(views, views)
@settings(deadline=None, max_examples=20)
def test_tensors_and_arrays_give_equal_results(a, b):
    points = np.random.default_rng(0).uniform(0, 128, (7, 2))
    ta, tb, tp = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(points)
    np.testing.assert_allclose(compose(ta, tb), compose(a, b))
    np.testing.assert_allclose(invert(ta), invert(a))
    np.testing.assert_allclose(apply_points(ta, tp), apply_points(a, points))


def test_matrices_are_not_rounded_under_autocast():
    a, b = torch.randn(2, 4, 2, 3) * 100
    points = torch.randn(4, 3, 2) * 100
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compose(a, invert(b)), compose(a.double(), invert(b.double())).float())
        assert apply_points(a, points).dtype == torch.float32


def test_arguments_are_not_modified():
    a, b = torch.randn(2, 4, 2, 3)
    before = a.clone(), b.clone()
    compose(a, b), invert(a)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


# --- views


def test_crop_of_a_whole_image_is_a_resize():
    """The edges of the image are mapped to the edges of the crop, half a pixel outside the pixel centers."""
    matrix = crop_matrix(np.array([0.0, 0.0, 64.0, 64.0]), 256)
    edges = np.array([[-0.5, -0.5], [63.5, 63.5]])
    np.testing.assert_allclose(apply_points(matrix, edges), [[-0.5, -0.5], [255.5, 255.5]])


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 400), st.floats(1, 400))
def test_crop_keeps_aspect_and_centers_the_box(left, top, width, height):
    matrix = crop_matrix(np.array([left, top, width, height]), 96)
    assert matrix[0, 0] == matrix[1, 1]
    assert matrix[0, 1] == matrix[1, 0] == 0
    corners = np.array([[left - 0.5, top - 0.5], [left + width - 0.5, top + height - 0.5]])
    seen = apply_points(matrix, corners)
    np.testing.assert_allclose(seen.mean(0), [47.5, 47.5], atol=1e-6)
    np.testing.assert_allclose(np.ptp(seen, 0).max(), 96)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [0, 0, 5, -1], [0, 0, float("nan"), 3]])
def test_a_box_without_area_raises(box):
    with pytest.raises(ValueError, match="no area"):
        crop_matrix(np.array(box, dtype=float), 96)


def test_no_augmentation_is_the_identity():
    np.testing.assert_allclose(augment_matrix(96), np.eye(2, 3), atol=1e-12)


@given(st.floats(-180, 180), st.floats(0.5, 2), st.booleans())
def test_augmentation_keeps_the_center_and_scales_areas(rotation, scale, mirror):
    matrix = augment_matrix(96, rotation, scale, mirror=mirror)
    np.testing.assert_allclose(apply_points(matrix, np.full((1, 2), 47.5)), np.full((1, 2), 47.5))
    np.testing.assert_allclose(np.linalg.det(matrix[:, :2]), (-1 if mirror else 1) * scale**2)


def test_augmentations_have_the_documented_order():
    parts = [
        augment_matrix(96, 30.0),
        augment_matrix(96, shear_deg=(15.0, -5.0)),
        augment_matrix(96, scale=1.3),
        augment_matrix(96, mirror=True),
    ]
    product = compose(compose(parts[0], parts[1]), compose(parts[2], parts[3]))
    np.testing.assert_allclose(augment_matrix(96, 30.0, 1.3, mirror=True, shear_deg=(15.0, -5.0)), product, atol=1e-9)


def test_positive_rotation_turns_x_towards_y():
    quarter = augment_matrix(96, 90.0)
    np.testing.assert_allclose(apply_points(quarter, np.array([[57.5, 47.5]])), [[47.5, 57.5]])


def test_translation_is_a_fraction_of_the_side():
    moved = apply_points(augment_matrix(200, translate_frac=(0.05, -0.1)), np.zeros((1, 2)))
    np.testing.assert_allclose(moved, [[10, -20]])


# --- warps


def test_warps_that_permute_pixels_are_exact():
    images = torch.rand(2, 3, 16, 16)
    for matrix, expected in [
        (augment_matrix(16), images),
        (augment_matrix(16, mirror=True), images.flip(-1)),
        (augment_matrix(16, 90.0), torch.rot90(images, -1, (2, 3))),
        (augment_matrix(16, translate_frac=(0.25, 0.0)), torch.nn.functional.pad(images, (4, 0))[..., :16]),
    ]:
        torch.testing.assert_close(warp_images(images, tensor(matrix).expand(2, 2, 3)), expected, atol=1e-4, rtol=0)


@given(views)
@settings(deadline=None, max_examples=15)
def test_warp_equals_opencv(view):
    image = smooth()
    ours = warp_images(image, tensor(view))[0].permute(1, 2, 0).numpy()
    theirs = cv2.warpAffine(image[0].permute(1, 2, 0).numpy(), view, (128, 128), flags=cv2.INTER_LINEAR)
    # Inside, OpenCV may round coordinates to 1/32 of a pixel. At the border both fade to zero over one pixel.
    known = warp_images(torch.ones_like(image), tensor(view))[0, 0].numpy() > 0.9999
    assert np.abs(ours - theirs)[known].max() < 0.02


@given(views)
@settings(deadline=None, max_examples=15)
def test_warp_and_inverse_warp_restore_the_image(view):
    image = smooth()
    there = warp_images(image, tensor(view))
    back = warp_images(there, invert(tensor(view)))
    known = warp_images(warp_images(torch.ones_like(image), tensor(view)), invert(tensor(view))) > 0.9999
    assert (back - image)[known].abs().max() < 0.05


@given(views, views)
@settings(deadline=None, max_examples=15)
def test_two_warps_equal_one_warp_with_the_product(a, b):
    image = smooth()
    twice = warp_images(warp_images(image, tensor(b)), tensor(a))
    known = warp_images(warp_images(torch.ones_like(image), tensor(b)), tensor(a)) > 0.9999
    assert (twice - warp_images(image, tensor(compose(a, b))))[known].abs().max() < 0.05


def test_a_batch_equals_separate_warps():
    images = torch.rand(3, 2, 20, 24)
    matrices = torch.cat([tensor(augment_matrix(24, angle, 1.1)) for angle in (10.0, -40.0, 170.0)])
    together = warp_images(images, matrices, (12, 30))
    apart = torch.cat([warp_images(images[i : i + 1], matrices[i : i + 1], (12, 30)) for i in range(3)])
    torch.testing.assert_close(together, apart)


# --- heatmaps: with grid_sample, and with our kernel if channels are last in memory

layouts = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])


@layouts
@given(st.floats(-180, 180), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=30)
def test_warped_heatmap_equals_the_heatmap_of_the_warped_keypoints(layout, rotation, mirror, teacher_mirror):
    teacher_view = augment_matrix(256, -rotation / 2, 1.0, (0.02, 0.03), teacher_mirror)
    student_view = augment_matrix(256, rotation, 1.0, (-0.05, 0.05), mirror)
    keypoints = torch.rand(1, 16, 2, generator=torch.Generator().manual_seed(0)) * 150 + 50  # on the plain crop
    swapped = mirror != teacher_mirror

    def seen(view, mirrored):
        order = BODY16.mirror if mirrored else list(range(16))
        return apply_points(tensor(view), keypoints)[:, order]

    teacher = encode(seen(teacher_view, teacher_mirror), (256, 256)).contiguous(memory_format=layout)
    student_from_teacher = tensor(compose(student_view, invert(teacher_view)))
    warped, known = warp_heatmaps(teacher, student_from_teacher, torch.tensor([swapped]), BODY16.mirror)
    in_teacher = is_inside(seen(teacher_view, teacher_mirror), (256, 256))
    in_teacher = in_teacher[:, BODY16.mirror] if swapped else in_teacher
    expected_keypoints = seen(student_view, mirror)
    expected = encode(expected_keypoints, (256, 256), visible=in_teacher)
    in_student = is_inside(expected_keypoints, (256, 256))[..., None, None]
    assert (((warped - expected) * known * in_student).abs()).max() < 0.07  # bilinear interpolation flattens the peak


@layouts
@given(similarities)
@settings(deadline=None, max_examples=30)
def test_peaks_of_warped_heatmaps_are_at_the_warped_keypoints(layout, view):
    keypoints = torch.rand(1, 16, 2, generator=torch.Generator().manual_seed(0)) * 64 + 32
    mirrored = np.linalg.det(view[:, :2]) < 0
    heatmaps = encode(keypoints, (128, 128)).contiguous(memory_format=layout)
    warped, _ = warp_heatmaps(heatmaps, tensor(view), torch.tensor([mirrored]), BODY16.mirror)
    expected = apply_points(tensor(view), keypoints)[:, BODY16.mirror if mirrored else list(range(16))]
    well_inside = ((expected > 8) & (expected < 120)).all(-1)
    assert (decode(warped)[0] - expected)[
        well_inside
    ].abs().max() < 2.0  # px, half a cell: interpolation is not smooth, the largest observed error is 1.64


@layouts
def test_identity_changes_nothing_and_knows_all_cells(layout):
    heatmaps = torch.rand(2, 16, 24, 32).contiguous(memory_format=layout)
    warped, known = warp_heatmaps(heatmaps, identity.expand(2, 2, 3), torch.tensor([False, True]), BODY16.mirror)
    assert known.all()
    torch.testing.assert_close(warped[0], heatmaps[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(warped[1], heatmaps[1, BODY16.mirror], atol=1e-5, rtol=0)


@layouts
@pytest.mark.parametrize(("shift_px", "unknown"), [(12.0, 3), (10.0, 3), (2.0, 1)])
def test_cells_outside_the_teachers_view_are_unknown(layout, shift_px, unknown):
    """A cell that is half padding is also unknown."""
    for axis in (0, 1):
        shifted = identity.clone()
        shifted[..., axis, 2] = shift_px
        heatmaps = torch.rand(1, 16, 24, 32).contiguous(memory_format=layout)
        _, known = warp_heatmaps(heatmaps, shifted, torch.tensor([False]), BODY16.mirror)
        known = known if axis == 0 else known.mT
        assert not known[..., :unknown].any()
        assert known[..., unknown:].all()


@layouts
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_heatmaps_are_warped_in_single_precision(layout, autocast):
    heatmaps = torch.rand(1, 16, 24, 24).contiguous(memory_format=layout)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        warped, _ = warp_heatmaps(heatmaps.bfloat16(), identity, torch.tensor([False]), BODY16.mirror)
    assert warped.dtype == torch.float32
    torch.testing.assert_close(warped, heatmaps.bfloat16().float(), atol=1e-5, rtol=0)


@layouts
def test_double_precision_heatmaps_are_warped_in_double_precision(layout):
    heatmaps = torch.rand(1, 16, 24, 24).double().contiguous(memory_format=layout)
    matrix = identity.double()
    matrix[..., 2] += 1e-9  # px; lost in single precision
    moved, _ = warp_heatmaps(heatmaps, matrix, torch.tensor([False]), BODY16.mirror)
    assert moved.dtype == torch.float64
    difference = (moved - heatmaps).abs()[..., 1:-1, 1:-1].max()
    assert 1e-12 < difference < 1e-8


def test_gradients_flow_through_channels_last_heatmaps() -> None:
    heatmaps = torch.rand(2, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    matrices, mirrored = torch.eye(2, 3).expand(2, 2, 3), torch.tensor([True, False])
    weights = torch.rand(2, 16, 8, 8)
    (warp_heatmaps(heatmaps, matrices, mirrored, BODY16.mirror)[0] * weights).sum().backward()
    expected = torch.stack([weights[0, BODY16.mirror], weights[1]])
    assert heatmaps.grad is not None
    torch.testing.assert_close(heatmaps.grad, expected, atol=1e-5, rtol=0)
