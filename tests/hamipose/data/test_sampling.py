"""Training samples depend only on seed and step."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.data import CocoKeypoints, DomainAdaptation, ImageFolder, Unlabeled
from hamipose.data.evaluation_set import PlainCrops, ShareSampler
from hamipose.data.sampling import BatchPosition, Pool, StepSampler, collate_training
from hamipose.errors import UserError
from hamipose.types import TrainBatch


def module(dots: Path, **options: object) -> DomainAdaptation:
    light, dark = ({"root": str(dots / look), "box": "image"} for look in ("light", "dark"))
    given = {
        "source": CocoKeypoints(**light),
        "target": [Unlabeled(CocoKeypoints(**dark)), ImageFolder(str(dots / "light" / "images"))],
        "validation": CocoKeypoints(**light, count=5),
        "test": {"dark": CocoKeypoints(**dark)},
        "image_size": 32,
        "batch_size": 4,
        "steps_per_epoch": 3,
        "num_workers": 0,
        "source_views": "strong",
        **options,
    }
    data = DomainAdaptation(**given)
    data.prepare_data()
    data.setup("fit")
    return data


def equal(a: TrainBatch, b: TrainBatch) -> bool:
    pairs = [(a.source, b.source), (a.target, b.target)]
    return all(
        torch.equal(getattr(x, f), getattr(y, f)) if torch.is_tensor(getattr(x, f)) else getattr(x, f) == getattr(y, f)
        for x, y in pairs
        for f in vars(x)
    )


def test_batches_do_not_depend_on_workers(dots: Path):
    alone, helped = (list(module(dots, num_workers=n).train_dataloader()) for n in (0, 2))
    assert len(alone) == len(helped) == 3
    assert all(equal(a, b) for a, b in zip(alone, helped, strict=True))
    assert not equal(alone[0], alone[1])


def test_seeds_give_different_batches(dots: Path):
    a, b, c = (next(iter(module(dots, seed=seed).train_dataloader())) for seed in (1, 1, 2))
    assert equal(a, b)
    assert not equal(a, c)


def test_pool_permutes_each_pass(dots: Path):
    pool = module(dots).training_set.target
    assert len(pool) == 16 + 24
    passes = [[pool.index(turn * len(pool) + i) for i in range(len(pool))] for turn in range(3)]
    assert all(sorted(p) == list(range(len(pool))) for p in passes)
    assert passes[0] != passes[1] != passes[2]
    assert pool.index(3) == passes[0][3]  # an earlier pass


def test_processes_split_the_batch(dots: Path):
    training_set = module(dots).training_set

    def sampler(rank: int, world: int) -> StepSampler:
        return StepSampler(4, 2, rank, world, first_step=lambda: 5, uses_target=lambda step: step > 5)

    whole, *halves = (
        [collate_training([training_set[d] for d in draws]) for draws in sampler(r, w)]
        for r, w in ((0, 1), (0, 2), (1, 2))
    )
    for step in range(2):
        joined = torch.cat([half[step].source.image for half in halves])
        assert torch.equal(joined, whole[step].source.image)
    assert whole[0].target is None  # not wanted at step 5
    assert torch.equal(torch.cat([half[1].target.student for half in halves]), whole[1].target.student)
    with pytest.raises(UserError, match="batch_size is 4, which is not a multiple of 3 processes"):
        sampler(0, 3)


def test_teacher_can_get_the_view_of_the_student(dots: Path):
    same = next(iter(module(dots, teacher_views="same").train_dataloader())).target
    assert torch.equal(same.student, same.teacher)
    assert torch.equal(same.student_matrix, same.teacher_matrix)
    plain = next(iter(module(dots).train_dataloader())).target
    assert torch.allclose(plain.teacher_matrix, torch.eye(3)[:2].expand(4, 2, 3), atol=1e-5)


@pytest.fixture
def damaged(dots: Path, tmp_path: Path) -> Path:
    """Return the dots with two unreadable light images."""
    shutil.copytree(dots, tmp_path / "dots")
    images = tmp_path / "dots" / "light" / "images"
    whole = (images / "0003.png").read_bytes()
    (images / "0003.png").write_bytes(whole[: len(whole) // 2])
    (images / "0010.png").unlink()
    return tmp_path / "dots"


def test_unreadable_images_are_reported_replaced_and_counted(damaged: Path, caplog: pytest.LogCaptureFixture):
    target = [Unlabeled(CocoKeypoints(str(damaged / "dark"), box="image"))]
    data = module(damaged, steps_per_epoch=18, target=target)
    assert "1 of its 24 images do not exist" in caplog.text  # reported before training, which replaces it
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="hamipose"):
        batches = list(data.train_dataloader())
    assert len(batches) == 18  # three passes
    assert all(batch.source.image.shape == (4, 3, 32, 32) for batch in batches)
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert any("0003.png is truncated" in m for m in messages)
    assert any("0010.png cannot be opened" in m for m in messages)
    assert data.corrupt_images() == 2
    again = module(damaged, steps_per_epoch=18, num_workers=1, target=target)
    assert all(equal(a, b) for a, b in zip(batches, again.train_dataloader(), strict=True))
    assert again.corrupt_images() == 2  # counted in worker processes


def test_folder_of_unreadable_images_is_rejected(dots: Path, tmp_path: Path):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"nothing")
    pool = Pool([ImageFolder(str(tmp_path))], seed=0, stream=0)
    with pytest.raises(UserError, match=r"32 images in a row could not be read \(5 of 5"):
        pool.read(0)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_covers_each_sample_once(dots: Path, world: int):
    dataset = CocoKeypoints(str(dots / "light"), box="image", count=7)
    crops = PlainCrops(dataset, 32, 16)
    shares = [list(ShareSampler(7, rank, world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    items = [crops[i] for share in shares for i in share]
    counted = [int(item.index) for item in items if item.index >= 0]
    assert sorted(counted) == list(range(7))
    assert all(not item.visibility.any() for item in items if item.index < 0)


def test_labeled_target_is_rejected(dots: Path):
    with pytest.raises(UserError, match=r"data.target\[1\] is CocoKeypoints, which has labels.*data.Unlabeled"):
        module(dots, target=[ImageFolder(str(dots)), CocoKeypoints(str(dots / "dark"))])
    with pytest.raises(UserError, match=r"data.target\[0\] is TensorDataset, which is not a set of unlabeled"):
        module(dots, target=torch.utils.data.TensorDataset(torch.zeros(3)))


def test_different_skeletons_are_rejected(dots: Path):
    with pytest.raises(UserError, match=r"data\.test\.dark has the keypoints of coco17, data\.source those of body16"):
        module(dots, test={"dark": CocoKeypoints(str(dots / "dark"), skeleton="coco17")})


def test_target_batches_have_no_field_for_labels(dots: Path):
    target = next(iter(module(dots).train_dataloader())).target
    assert not {"keypoints_px", "visibility"} & set(vars(target))


def test_keypoints_lie_on_the_dots_in_views(dots: Path):
    """In augmented views, the colors at the labels are those of the dots."""
    data = module(dots, image_size=96, batch_size=8, source_views="hamipose", teacher_views="none")
    training_set = data.training_set
    plain = DomainAdaptation(CocoKeypoints(str(dots / "light"), box="image")).source
    distances = []
    for position in range(8):
        item, _ = training_set[BatchPosition(0, position, False)]
        original = next(s for s in (plain[i] for i in range(len(plain))) if s.name == item.name)
        for k in np.flatnonzero(item.visibility):
            x, y = item.keypoints_px[k].round().astype(int).clip(0, 95)
            u, v = original.keypoints_px[k].round().astype(int)
            distances.append(np.abs(item.image[y, x].astype(float) - original.image[v, u].astype(float)).mean())
    assert np.median(distances) < 40  # color jitter; a wrong position would show another color
