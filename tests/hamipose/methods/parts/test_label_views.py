"""Labels from several views: an equivariant teacher predicts the same points in each, and outliers have no effect."""

import pytest
import torch
from torch import nn

from hamipose.geometry.affine import apply_points
from hamipose.heatmaps import encode
from hamipose.methods.options import AdaptationOptions
from hamipose.methods.parts.label_views import LabelViews, combine_views, move_back, render_view, weighted_median
from hamipose.methods.parts.target_labels import KeypointLabels
from hamipose.models.encoding import Encoding
from hamipose.models.teacher import Teacher

MANY = LabelViews(mirror=True, scales=[0.9, 1.15], rotations_deg=[-20.0, 20.0])
SIZE = 128


def slow_median(values: list[float], weights: list[float]) -> float:
    """Return the median by definition: the middle of all points with at most half of the weight on either side."""
    half = sum(weights) / 2
    found = [
        v
        for v in values
        if sum(w for u, w in zip(values, weights, strict=True) if u < v) <= half + 1e-9
        and sum(w for u, w in zip(values, weights, strict=True) if u > v) <= half + 1e-9
    ]
    return (min(found) + max(found)) / 2


def test_weighted_median_equals_the_definition():
    torch.manual_seed(0)
    for views in (1, 2, 3, 6):
        values, weights = torch.randn(views, 5), torch.randint(1, 5, (views, 5)).float()
        found = weighted_median(values, weights)
        for i in range(5):
            assert found[i].item() == pytest.approx(slow_median(values[:, i].tolist(), weights[:, i].tolist()))


def test_combine_views_averages_agreeing_views():
    points = 50 + torch.randn(200, 1, 3, 2)
    combined, score = combine_views(points, torch.full((200, 1, 3), 0.8), radius_px=8.0)
    torch.testing.assert_close(combined, points.mean(0), atol=0.05, rtol=0)
    assert ((score > 0.75) & (score < 0.8)).all()


@pytest.mark.parametrize("outlier", [40.0, 400.0, 1e6])
def test_combine_views_outlier_only_lowers_the_score(outlier: float):
    points = torch.tensor([50.0, 50.5, 49.5, 50.0, outlier])[:, None, None, None].expand(5, 1, 1, 2).clone()
    combined, score = combine_views(points, torch.ones(5, 1, 1), radius_px=4.0)
    assert (combined - 50).abs().max() < 0.3
    assert 0.75 < score.item() < 0.85


def test_combine_views_of_contradicting_views_has_no_score():
    points = torch.tensor([20.0, 100.0])[:, None, None, None].expand(2, 1, 1, 2).clone()
    combined, score = combine_views(points, torch.ones(2, 1, 1), radius_px=4.0)
    assert score.item() < 1e-6
    assert combined.isfinite().all()


def test_combine_views_score_falls_with_the_spread():
    torch.manual_seed(0)
    noise = torch.randn(8, 1, 16, 2)
    scores = [float(combine_views(60 + s * noise, torch.ones(8, 1, 16), 6.0)[1].mean()) for s in (0.0, 1.0, 3.0, 9.0)]
    assert scores[0] == pytest.approx(1.0)
    assert scores == sorted(scores, reverse=True)
    assert scores[3] < 0.6


def test_move_back_inverts_every_view():
    matrices, mirrored = MANY.matrices(SIZE)
    assert len(matrices) == MANY.count == 10
    assert torch.equal(matrices[0], torch.eye(2, 3))
    truth, scores = torch.rand(3, 4, 2) * 60 + 30, torch.rand(3, 4)
    mirror = [1, 0, 2, 3]
    points = torch.stack(
        [
            apply_points(m.expand(3, 2, 3), truth[:, mirror] if side else truth)
            for m, side in zip(matrices, mirrored, strict=True)
        ]
    )
    seen = torch.stack([scores[:, mirror] if side else scores for side in mirrored])
    back, again = move_back(points, seen, matrices, torch.tensor(mirrored), mirror)
    torch.testing.assert_close(back, truth.expand(10, 3, 4, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(again, scores.expand(10, 3, 4))


def test_render_view_mirrored_is_the_flipped_image():
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    matrices, _ = LabelViews(mirror=True).matrices(32)
    assert render_view(images, matrices[0]) is images
    assert torch.equal(render_view(images, matrices[1]), images.flip(-1))


class Red(nn.Module):
    """Equivariant network: keypoint 0 is at red pixels, 1 at green pixels, 2 at blue pixels."""

    def __init__(self):
        super().__init__()
        self.passes = []
        self.jump = False
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        self.passes.append(len(images))
        maps = nn.functional.avg_pool2d(images * 0.2 + 0.5, 4)
        if self.jump and len(self.passes) % 5 == 1:  # wrong in the first of five views
            maps = maps.flip(-1)
        return maps


def blobs(points: torch.Tensor) -> torch.Tensor:
    fine = encode(points, (SIZE, SIZE), stride=1, sigma=6.0)
    return (255 * fine).round().to(torch.uint8)


def find(views: LabelViews, jump: bool, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    labels = KeypointLabels([0, 1, 2], Encoding(2.0), 0.0, views)
    teacher = Teacher(Red())
    teacher.network.jump = jump
    found = labels.predict(teacher, blobs(points))
    return *found, teacher.network.passes


def test_keypoint_labels_of_an_equivariant_teacher_agree():
    """Check also that they correct a point that is wrong in a single view."""
    points = torch.tensor([[[40.0, 60.0], [80.0, 50.0], [60.0, 90.0]], [[52.0, 41.0], [70.0, 85.0], [90.0, 64.0]]])
    views = LabelViews(scales=[0.9, 1.1], rotations_deg=[-15.0, 15.0])
    alone, sure, _ = find(views, False, points)
    assert (alone - points).abs().max() < 1.0
    assert sure.min() > 0.5
    lost, _, passes = find(LabelViews(), True, points)
    assert passes == [2]
    assert (lost - points).abs().amax(2).min() > 4
    rescued, unsure, passes = find(views, True, points)
    assert passes == [2] * 5
    assert (rescued - points).abs().max() < 1.5
    assert (unsure < sure).all()


def test_label_views_require_keypoint_labels():
    with pytest.raises(ValueError, match="label_views has 2 views"):
        AdaptationOptions(label_views=LabelViews(mirror=True))
    with pytest.raises(ValueError, match="scales"):
        LabelViews(scales=[0.0])
