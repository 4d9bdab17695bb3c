import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose.geometry.affine import apply_points, crop_matrix
from meshtto.camera import (
    Box,
    Camera,
    CropCamera,
    FullFrameCamera,
    box_feature,
    crop_from_full,
    default_focal_px,
    full_frame_translation,
    project,
)

seeds = st.integers(0, 2**31)


def boxes(batch: int = 4, seed: int = 0) -> Box:
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([640.0, 480.0]).expand(batch, 2)
    return Box(
        center_px=size * torch.rand(batch, 2, generator=generator),
        side_px=50 + 200 * torch.rand(batch, generator=generator),
        image_size=size,
        focal_px=default_focal_px(size),
    )


def test_project_equals_hand_calculation():
    """A point 2 m ahead and 1 m to the right, with f = 100 px, is 50 px right of the center."""
    actual = project(
        torch.tensor([[[1.0, -0.5, 2.0]]]), torch.zeros(1, 3), torch.tensor([100.0]), torch.tensor([[7.0, 9]])
    )
    torch.testing.assert_close(actual, torch.tensor([[[57.0, -16.0]]]))


def test_project_is_finite_behind_the_camera():
    points = torch.tensor([[[0.1, 0.1, -3.0], [0.1, 0.1, 0.0]]], requires_grad=True)
    actual = project(points, torch.zeros(1, 3), torch.tensor([100.0]), torch.zeros(1, 2))
    actual.sum().backward()
    assert actual.isfinite().all()
    assert points.grad.isfinite().all()


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_full_frame_camera_places_the_body_in_its_box(seed):
    """With t_xy = 0 the body's origin is at the center of the crop, and 2 / s meters fill the crop's height."""
    box = boxes(seed=seed)
    camera = torch.tensor([[0.9, 0.0, 0.0]]).expand(4, 3)
    points = torch.tensor([[0.0, 0, 0], [0, 1 / 0.9, 0]]).expand(4, 2, 3)
    actual = FullFrameCamera().project(points, camera, box, (256, 192))
    torch.testing.assert_close(actual[:, 0], torch.tensor([95.5, 127.5]).expand(4, 2), atol=1e-2, rtol=0)
    torch.testing.assert_close(actual[:, 1, 1] - actual[:, 0, 1], torch.full((4,), 128.0), atol=1e-2, rtol=0)


def test_full_frame_translation_of_centered_box_has_no_shift():
    box = boxes()._replace(center_px=torch.tensor([[319.5, 239.5]]).expand(4, 2))
    camera = torch.tensor([[0.8, 0.1, -0.2]]).expand(4, 3)
    actual = full_frame_translation(camera, box)
    torch.testing.assert_close(actual[:, :2], camera[:, 1:])
    torch.testing.assert_close(actual[:, 2], 2 * box.focal_px / (0.8 * box.side_px))


def test_crop_from_full_equals_hamipose():
    """The result equals the data set's crop by an affine matrix."""
    box = boxes()
    points = torch.rand(4, 6, 2) * 400
    for i in range(4):
        side = float(box.side_px[i])
        left, top = (box.center_px[i] + 0.5 - side / 2).tolist()
        matrix = torch.from_numpy(crop_matrix(np.array([left, top, side, side]), 128)).float()
        expected = apply_points(matrix[None], points[i : i + 1])
        one = Box(*(value[i : i + 1] for value in box))
        torch.testing.assert_close(crop_from_full(points[i : i + 1], one, (128, 128)), expected, atol=1e-2, rtol=1e-5)


def test_cameras_agree_at_large_distance():
    """HMR's camera equals CLIFF's for a box at the center of an image with the same focal length."""
    box = boxes()._replace(center_px=torch.tensor([[319.5, 239.5]]).expand(4, 2))
    crop = CropCamera(focal_px=5000.0)
    box = box._replace(focal_px=5000.0 * box.side_px / 224)
    points, camera = torch.randn(4, 9, 3) * 0.3, torch.tensor([[0.9, 0.05, 0.1]]).expand(4, 3)
    expected = FullFrameCamera().project(points, camera, box, (224, 224))
    torch.testing.assert_close(crop.project(points, camera, box, (224, 224)), expected, atol=2e-2, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.9, 0.3, 0.02])
def test_views_equal_project(scale: float):
    """CLIFF eq. 4 and HMR's depth for all points, including depths below 5 cm."""
    box, points = boxes(), torch.randn(4, 9, 3) * 0.3
    points[:, 0, 2] = -1e3
    camera = torch.tensor([[scale, 0.05, 0.1]]).expand(4, 3)
    seen = project(points, full_frame_translation(camera, box), box.focal_px, box.principal_px)
    expected = crop_from_full(seen, box, (256, 192))
    torch.testing.assert_close(
        FullFrameCamera().project(points, camera, box, (256, 192)), expected, atol=0.05, rtol=1e-4
    )
    depth = torch.tensor([[0.05, 0.1, 2 * 5000.0 / (256 * scale)]]).expand(4, 3)
    expected = project(points, depth, torch.full((4,), 5000.0), torch.tensor([[95.5, 127.5]]).expand(4, 2))
    torch.testing.assert_close(CropCamera().project(points, camera, box, (256, 192)), expected, atol=0.05, rtol=1e-4)


@pytest.mark.parametrize("camera_of", [FullFrameCamera(), CropCamera()], ids=["full frame", "crop"])
def test_negative_scale_recovers(camera_of: Camera):
    """A body that is too small or has a negative scale grows by descent on its 2D error.

    First and second derivatives equal finite differences, also at s = 0.
    """
    box = Box(*(value.double() for value in boxes(1)))
    points = torch.randn(1, 9, 3, dtype=torch.float64) * 0.3
    goal = camera_of.project(points, torch.tensor([[0.9, 0.0, 0.0]], dtype=torch.float64), box, (256, 192))

    def error(scale: torch.Tensor) -> torch.Tensor:
        camera = torch.cat([scale.view(1, 1), torch.zeros(1, 2, dtype=torch.float64)], 1)
        return (camera_of.project(points, camera, box, (256, 192)) - goal).square().mean()

    for value in (0.2, 0.0, -1e-4, -0.2):
        scale = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(error, scale)
        assert torch.autograd.gradgradcheck(error, scale)
        (slope,) = torch.autograd.grad(error(scale), scale)
        assert slope < 0


def test_box_feature_equals_hand_calculation():
    box = Box(
        torch.tensor([[419.5, 239.5]]), torch.tensor([240.0]), torch.tensor([[640.0, 480.0]]), torch.tensor([1000.0])
    )
    torch.testing.assert_close(box_feature(box), torch.tensor([[0.28, 0.0, 0.0]]))
