import pytest
import torch
from torch import nn

from hamipose.geometry.affine import apply_points
from hamipose.methods.parts.multi_view import PseudoLabels, average_over_views, labels_in_student_view, random_views
from hamipose.types import LabeledBatch, TargetBatch


class RedDot(nn.Module):
    """Equivariant network: keypoint 0 is at red pixels, keypoint 1 at green pixels."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.modes = []

    def forward(self, images):
        self.modes.append(self.norm.training)
        return nn.functional.avg_pool2d(images[:, :2], 4)


def dots(places: list[tuple[int, int]], size: int = 64) -> torch.Tensor:
    images = torch.zeros(len(places), 3, size, size, dtype=torch.uint8)
    for image, (x, y) in zip(images, places, strict=True):
        image[0, y - 4 : y + 4, x - 4 : x + 4] = 255
        image[1, size - y - 4 : size - y + 4, x - 4 : x + 4] = 255
    return images


def batch_of(images: torch.Tensor, names: list[str], index: list[int]) -> LabeledBatch:
    count = len(images)
    return LabeledBatch(
        images, torch.zeros(count, 2, 2), torch.zeros(count, 2).long(), torch.zeros(count, 2, 3), names,
        torch.tensor(index),
    )  # fmt: skip


def test_random_views_keep_the_center_and_their_ranges():
    matrices = random_views(torch.randn(500, 2), 64)
    center = torch.full((500, 1, 2), 31.5)
    torch.testing.assert_close(apply_points(matrices, center), center, rtol=0, atol=1e-4)
    zoom = torch.linalg.det(matrices[..., :2]).sqrt()
    assert 0.749 < zoom.min() < 0.76
    assert 1.24 < zoom.max() < 1.251
    angle = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg()
    assert angle.abs().max() < 60.01
    assert 25 < angle.std() < 33


def test_average_over_views_of_an_equivariant_network():
    """Check that a keypoint that moves with the image keeps its confidence, and another does not."""
    images = dots([(26, 30), (36, 34)])
    one = average_over_views(RedDot(), images, torch.zeros(0, 2, 2))
    many = average_over_views(RedDot(), images, torch.randn(8, 2, 2))
    assert torch.equal(one[:, 0].flatten(1).argmax(1), many[:, 0].flatten(1).argmax(1))

    class Stubborn(RedDot):
        def forward(self, images):
            maps = super().forward(images) * 0
            maps[:, :, 3, 3] = 1
            return maps

    assert average_over_views(Stubborn(), images, torch.zeros(0, 2, 2)).amax() == 1
    assert average_over_views(Stubborn(), images, torch.randn(8, 2, 2)).amax() < 0.6


def test_lookup_by_name_uses_only_the_most_confident_labels():
    labels = PseudoLabels()
    network = RedDot().train()
    images = dots([(10, 20), (30, 40), (50, 24), (22, 32)])
    images[3, 1] = 60  # no green dot: a flat, low map
    labels.make(
        3, network, [batch_of(images[:2], ["b", "a"], [1, 0]), batch_of(images[2:], ["c", "pad"], [2, -1])], 1, 0.5
    )
    assert network.norm.training
    assert not any(network.modes)
    assert labels.stage == 3
    keypoints_px, believed = labels.lookup(["a", "b", "stranger"], torch.device("cpu"))
    assert keypoints_px[0, 0].tolist() == pytest.approx([29.5, 39.5], abs=2)
    assert keypoints_px[1, 0].tolist() == pytest.approx([9.5, 19.5], abs=2)
    assert not believed[2].any()
    again = PseudoLabels()
    again.load_state_dict(labels.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(labels.lookup(["c"], images.device), again.lookup(["c"], images.device), strict=True)
    )


def test_labels_do_not_depend_on_the_batch():
    """Check that labels do not depend on the batch, and thus not on the number of processes."""

    class Corner(RedDot):
        def forward(self, images):  # depends on the view
            return super().forward(images) * torch.linspace(0.2, 1, 16)

    images, names = dots([(26, 30), (36, 34), (30, 28)]), ["a", "b", "c"]
    made = []
    for order in ([0, 1, 2], [2, 0], [1]):
        torch.manual_seed(5)
        labels = PseudoLabels()
        labels.make(0, Corner(), [batch_of(images[order], [names[i] for i in order], order)], 4, 0.0)
        made.append(dict(zip(labels.state_dict()["names"], labels.state_dict()["confidence"], strict=True)))
    for alone in made[1:]:
        for name, confidence in alone.items():
            torch.testing.assert_close(confidence, made[0][name])
    torch.manual_seed(5)
    labels.make(0, Corner(), [batch_of(images, ["x", "y", "z"], [0, 1, 2])], 4, 0.0)
    assert not torch.allclose(labels.state_dict()["confidence"], torch.stack(list(made[0].values())))


@pytest.mark.parametrize(("discard_fraction", "believed"), [(0.0, 10), (0.5, 5), (0.8, 2), (1.0, 0)])
def test_threshold_is_the_quantile_of_all_confidences(discard_fraction: float, believed: int):
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            maps = torch.zeros(5, 2, 4, 4)
            maps[:, :, 1, 1] = torch.arange(1.0, 11.0).view(5, 2) / 10
            return maps

    labels = PseudoLabels()
    images = torch.zeros(5, 3, 16, 16, dtype=torch.uint8)
    labels.make(0, Table(), [batch_of(images, list("abcde"), list(range(5)))], 1, discard_fraction)
    assert int(labels.lookup(list("abcde"), torch.device("cpu"))[1].sum()) == believed


def test_labels_in_student_view_move_with_the_view():
    keypoints_px = torch.tensor([[[4.0, 6.0], [20.0, 8.0]], [[4.0, 6.0], [20.0, 8.0]]])
    believed = torch.tensor([[True, False], [True, True]])
    shift = torch.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, -2.0]])
    mirror = torch.tensor([[-1.0, 0.0, 31.0], [0.0, 1.0, -7.0]])
    image = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    matrix = torch.stack([shift, mirror])
    mirrored = torch.tensor([False, True])
    batch = TargetBatch(image, image, matrix, matrix, mirrored, mirrored, ["a", "b"])
    moved, seen = labels_in_student_view(keypoints_px, believed, batch, [1, 0])
    assert moved[0].tolist() == [[7, 4], [23, 6]]
    assert moved[1].tolist() == [[11, 1], [27, -1]]  # left and right are exchanged
    assert seen.tolist() == [[True, False], [True, False]]
