import numpy as np

from hamipose.skeletons import LSP14
from hamipose.viz.drawing import draw_keypoints, draw_label, magnify, make_grid


def test_a_joint_is_drawn_at_its_position_and_the_image_is_not_modified():
    image = np.zeros((120, 160, 3), np.uint8)
    points = np.full((14, 2), np.nan, np.float32)
    points[LSP14.index("left_wrist")] = (100, 40)
    drawn = draw_keypoints(image, points, LSP14)
    ys, xs = np.nonzero(drawn.any(-1))
    assert abs(xs.mean() - 100) < 0.5
    assert abs(ys.mean() - 40) < 0.5
    assert not image.any()


def test_left_and_right_have_different_colors():
    points = np.full((14, 2), np.nan, np.float32)
    points[LSP14.index("left_wrist")], points[LSP14.index("right_wrist")] = (20, 20), (60, 20)
    drawn = draw_keypoints(np.zeros((40, 80, 3), np.uint8), points, LSP14)
    assert drawn[20, 20, 0] > drawn[20, 20, 2]  # orange
    assert drawn[20, 60, 2] > drawn[20, 60, 0]  # blue


def test_hidden_joints_are_not_drawn():
    points = np.full((14, 2), 20, np.float32)
    assert not draw_keypoints(np.zeros((40, 40, 3), np.uint8), points, LSP14, np.zeros(14, bool)).any()


def test_grid_keeps_every_pixel():
    images = [np.full((5, 7, 3), v, np.uint8) for v in range(5)]
    sheet = make_grid(images, 2, gap=3)
    assert sheet.shape == (3 * 5 + 2 * 3, 2 * 7 + 3, 3)
    assert all((sheet == v).all(-1).sum() == 35 for v in range(5))


def test_label_does_not_change_the_lower_half():
    image = np.full((200, 200, 3), 128, np.uint8)
    out = draw_label(image, "source only")
    assert (out[:40] != 128).any()
    assert (out[100:] == 128).all()


def test_magnified_keypoints_stay_on_the_same_content():
    image = np.zeros((32, 64, 3), np.uint8)
    image[10, 50] = 255
    larger, points = magnify(image, np.array([[50.0, 10.0]], np.float32))
    assert larger.shape == (96, 192, 3)
    rows, columns = np.nonzero(larger[..., 0] > 128)
    np.testing.assert_allclose(points[0], [columns.mean(), rows.mean()], atol=1e-6)
    same, points = magnify(np.zeros((256, 256, 3), np.uint8), np.array([[50.0, 10.0]], np.float32))
    assert same.shape == (256, 256, 3)
    assert points.tolist() == [[50.0, 10.0]]
