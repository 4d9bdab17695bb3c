"""Whole batches of people equal crops that are made one by one, and do not depend on processes."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.data.sampling import BatchPosition
from meshtto.data import Augmentation, BuiltinPoses, Detector, MeshData
from meshtto.data.augmentation import AugmentationParams
from meshtto.data.people import crop_people
from meshtto.data.sampling import PeopleBatches, collate, collate_training, crop_sample
from meshtto.types import MeshBatch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> BuiltinPoses:
    made = BuiltinPoses(
        count=20, seed=1, root=str(tmp_path_factory.mktemp("poses")), detector=Detector(skeletons=("coco17", "body16"))
    )
    made.prepare()
    return made


def assert_equal(first: MeshBatch, second: MeshBatch, atol: float) -> None:
    for field in fields(MeshBatch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "name":
            assert one == other
        else:
            torch.testing.assert_close(one, other, atol=atol, rtol=1e-6, msg=lambda text, f=field.name: f"{f}: {text}")


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_many_crops_equal_crops_one_by_one(dataset: BuiltinPoses, size: tuple[int, int]):
    rng = np.random.default_rng(0)
    indices = rng.integers(len(dataset), size=16)
    views, draws = Augmentation().draw_many(rng, 16), dataset.detector.draw(rng, 16)
    assert 0 < views.mirror.sum() < 16
    assert (views.rotation_deg != 0).any()
    crops = []
    for i, index in enumerate(indices.tolist()):
        sample, alone = dataset[index], dataset.people([index], draws.rows(slice(i, i + 1)))
        sample.evidence_px, sample.evidence_confidence = alone.evidence_px[0], alone.evidence_confidence[0]
        view = AugmentationParams(*(values[i].item() for values in views), channels=np.ones(3))
        crops.append(crop_sample(sample, size, view, i))
    many = crop_people(dataset.people(indices, draws), size, views, torch.arange(16))
    assert_equal(many, collate(crops), atol=1e-4)


def test_a_batch_is_the_same_for_any_number_of_processes(dataset: BuiltinPoses):
    data = MeshData(train=[dataset], batch_size=8, height=32, width=32, steps_per_epoch=2)
    made = data.build_training_set()
    assert isinstance(made, PeopleBatches)
    places = [BatchPosition(3, position, False) for position in range(8)]
    whole = collate_training(made.__getitems__(places))
    halves = collate([made.__getitems__(places[:4]), made.__getitems__(places[4:])])
    assert_equal(whole, halves, atol=0.0)
    assert_equal(collate([made[place] for place in places]), whole, atol=0.0)
    later = made.__getitems__([BatchPosition(4, position, False) for position in range(8)])
    assert not torch.equal(later.evidence_px, whole.evidence_px)


def test_the_loader_makes_whole_batches(dataset: BuiltinPoses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    data = MeshData(train=[dataset], batch_size=8, height=32, width=32, steps_per_epoch=2, num_workers=0, augment=False)
    data.training_set = data.build_training_set()
    calls = []
    whole = PeopleBatches.__getitems__
    monkeypatch.setattr(
        PeopleBatches, "__getitems__", lambda self, places: calls.append(len(places)) or whole(self, places)
    )
    batches = list(data.train_dataloader())
    assert calls == [8, 8]
    assert all(isinstance(batch, MeshBatch) for batch in batches)
    assert not batches[0].mirrored.any()
    drawn = torch.cat([batch.index for batch in batches])
    assert drawn.tolist() == list(range(16))


def test_mixtures_with_images_are_read_one_by_one(dataset: BuiltinPoses):
    data = MeshData(train=[dataset, dataset], batch_size=8, height=32, width=32, steps_per_epoch=2)
    assert not isinstance(data.build_training_set(), PeopleBatches)
