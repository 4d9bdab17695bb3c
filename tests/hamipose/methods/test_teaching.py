"""The teacher's heatmaps in the student's view, and encoded labels, compared with keypoints of each image."""

import numpy as np
import pytest
import torch

from hamipose.geometry.affine import apply_points, augment_matrix
from hamipose.heatmaps import encode
from hamipose.methods import HamiPose, SourceOnly
from hamipose.methods.options import TrainingOptions
from hamipose.models.preprocess import normalize
from hamipose.types import SourceBatch, TargetBatch
from tests.helpers.pose_training import TINY, sgd

SIZE, CELLS = 128, 32
#: Views of student and teacher: rotation, scale, shift and whether mirrored.
VIEWS = [
    ((30.0, 1.1, (0.03, -0.02), False), (-20.0, 0.9, (0.0, 0.04), False)),
    ((-40.0, 1.0, (0.0, 0.05), True), (15.0, 1.2, (0.02, 0.0), False)),
    ((10.0, 0.9, (-0.04, 0.0), False), (50.0, 1.0, (0.0, 0.0), True)),
    ((25.0, 1.2, (0.0, 0.0), True), (-35.0, 1.1, (0.03, 0.03), True)),
]


@pytest.fixture
def model() -> HamiPose:
    return HamiPose(sgd, TINY)


def matrices(which: int) -> np.ndarray:
    return np.stack([augment_matrix(SIZE, *view[which]) for view in VIEWS])


def test_warped_teacher_heatmaps_equal_encoded_keypoints(model: HamiPose, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    joints = random.uniform(44, 84, (len(VIEWS), 16, 2))  # on the plain crop
    sure = random.uniform(0.3, 1.0, (len(VIEWS), 16))  # of each keypoint, in all views
    images = torch.from_numpy(random.integers(0, 256, (2, len(VIEWS), 3, SIZE, SIZE), dtype=np.uint8))
    mirrored = torch.tensor([[view[which][3] for view in VIEWS] for which in (0, 1)])

    def heatmaps(which: int, image: int, sigma: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the maps of a view; in a mirrored view the channel of a left keypoint contains the right one."""
        order = model.skeleton.mirror if mirrored[which, image] else list(range(16))
        points = torch.from_numpy(apply_points(matrices(which)[image], joints[image])[order]).float()
        height = torch.from_numpy(sure[image][order]).float()
        return height[:, None, None] * encode(points, (SIZE, SIZE), sigma=sigma), height

    def pseudo_label(seen: torch.Tensor) -> torch.Tensor:
        assert torch.equal(seen, normalize(images[1])), "the teacher sees its own view"
        return torch.stack([heatmaps(1, image)[0] for image in range(len(VIEWS))])

    monkeypatch.setattr(model.adaptation.teacher, "pseudo_label", pseudo_label)
    student, teacher = (torch.from_numpy(matrices(which)).float() for which in (0, 1))
    batch = TargetBatch(images[0], images[1], student, teacher, mirrored[0], mirrored[1], ["a", "b", "c", "d"])
    taught, known, confident = model.adaptation.pseudo_label(batch)

    # Cells outside the teacher's view, one by one.
    columns, rows = np.meshgrid(np.arange(CELLS), np.arange(CELLS))
    cells_px = (np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * 4 - 0.5
    for image in range(len(VIEWS)):
        wider = VIEWS[image][0][1] / VIEWS[image][1][1]  # Gaussians grow with the view
        expected, _ = heatmaps(0, image, 2.0 * wider)
        back, there = (np.vstack([matrices(which)[image], [0, 0, 1]]) for which in (0, 1))
        seen_px = apply_points((there @ np.linalg.inv(back))[:2], cells_px)
        inside = ((seen_px >= 1.5) & (seen_px <= SIZE - 2.5)).all(1).reshape(CELLS, CELLS)
        assert torch.equal(known[image, 0] > 0, torch.from_numpy(inside)), image
        assert inside.mean() < 0.99
        # Bilinear interpolation lowers these peaks by 0.06.
        assert ((taught[image] - expected) * known[image]).abs().max() < 0.1, image
        assert (expected * known[image]).amax((1, 2)).min() > 0.25, "all joints are in view"
    heights = torch.stack([heatmaps(0, image)[1] for image in range(len(VIEWS))])
    torch.testing.assert_close(confident, heights.mean(0), atol=0.05, rtol=0)  # centers lie between cells
    assert (heights.mean(0) - heights.mean(0)[model.skeleton.mirror]).abs().max() > 0.1


@pytest.mark.parametrize("quantize", [False, True])
def test_encode_source_follows_the_options(quantize: bool):
    model = SourceOnly(sgd, TINY, TrainingOptions(sigma=1.0, quantize=quantize))
    points = torch.rand(2, 16, 2) * 60 + 30
    visibility = torch.randint(0, 3, (2, 16))
    images = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    maps, visible = model.encode_source(
        SourceBatch(images, points, visibility, ["a", "b"], torch.zeros(2, dtype=torch.long))
    )
    assert torch.equal(visible, (visibility > 0).float())
    grid = torch.stack(torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="xy"), -1).float()
    for image in range(2):
        for k in range(16):
            center = (points[image, k] / 4 + 0.5).floor() if quantize else (points[image, k] + 0.5) / 4 - 0.5
            away = grid - center
            expected = torch.exp(-away.square().sum(-1) / 2)
            expected = expected * (away.abs() <= 3).all(-1) if quantize else expected
            torch.testing.assert_close(maps[image, k], expected * (visibility[image, k] > 0), atol=1e-5, rtol=0)
