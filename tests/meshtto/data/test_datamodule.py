"""Data module: batches depend only on seed, step and position; evaluation covers each person once."""

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from hamipose.engine.optimization import total_steps
from hamipose.errors import UserError
from hamipose.io.image_file import read_image
from meshtto.data import MeshData
from meshtto.data.base import MeshDataset, unknown_mesh
from meshtto.data.sampling import Mixture
from meshtto.types import MeshBatch, MeshSample


class Few(MeshDataset):
    """People whose images differ in color."""

    def __init__(self, folder: Path, count: int, first: int = 0, occluders: bool = False):
        self.folder, self.count, self.first, self.occluders = folder, count, first, occluders
        for k in range(count):
            path = self._path(k)
            if not path.exists():
                cv2.imwrite(str(path), np.full((40, 50, 3), 10 * (k + first) + 5, np.uint8))

    def _path(self, index: int) -> Path:
        return self.folder / f"{self.first + index}.png"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> MeshSample:
        rng = np.random.default_rng(self.first + index)
        pixels = rng.uniform(5, 35, (49, 2)).astype(np.float32)
        sure = np.ones(49, np.float32)
        return MeshSample(
            image=read_image(self._path(index)),
            box_px=np.array([10.0, 5, 30, 30]),
            name=str(self.first + index),
            keypoints_px=pixels,
            keypoints_confidence=sure,
            evidence_px=pixels,
            evidence_confidence=sure,
            joints_m=rng.standard_normal((49, 3)).astype(np.float32),
            joints_confidence=sure,
            image_size=np.array([50, 40], np.float32),
            focal_px=64.0,
            **unknown_mesh(),
        )


def same(a: MeshBatch, b: MeshBatch) -> bool:
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(MeshBatch)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def module(folder: Path, **changes: object) -> MeshData:
    options = {"batch_size": 4, "steps_per_epoch": 5, "num_workers": 0, "height": 32, "width": 24} | changes
    data = MeshData(train=[Few(folder, 6, occluders=True), Few(folder, 3, first=6)], shares=[0.75, 0.25], **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


def test_batches_depend_only_on_seed_and_step(tmp_path: Path):
    whole = list(module(tmp_path).train_dataloader())
    assert len(whole) == 5
    again = module(tmp_path)
    again.training_set.mixture.read(17)  # something else was read before
    later = list(again.train_dataloader())
    assert all(same(a, b) for a, b in zip(whole, later, strict=True))
    other = list(module(tmp_path, seed=1).train_dataloader())
    assert not any(same(a, b) for a, b in zip(whole, other, strict=True))
    assert not same(whole[0], whole[1])


def test_batches_do_not_depend_on_workers_or_resumption(tmp_path: Path):
    data = module(tmp_path)
    whole = list(data.train_dataloader())
    assert all(same(a, b) for a, b in zip(whole, module(tmp_path, num_workers=2).train_dataloader(), strict=True))

    class Stopped:
        """Trainer after three steps."""

        world_size, global_rank, global_step, lightning_module = 1, 0, 3, None
        state = type("State", (), {"fn": None})

    data.trainer = Stopped()  # type: ignore[assignment]
    resumed = list(data.train_dataloader())
    assert all(same(a, b) for a, b in zip(whole[3:], resumed[:2], strict=True))


def test_epoch_can_be_one_pass_over_the_largest_set(tmp_path: Path):
    data = module(tmp_path, steps_per_epoch=None)
    assert data.steps_per_epoch == 2  # six people, batches of four
    assert len(data.train_dataloader()) == len(list(data.train_dataloader())) == 2
    trainer = Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    assert total_steps(trainer) == 6


def test_processes_split_the_batch(tmp_path: Path):
    data = module(tmp_path)
    whole = next(iter(data.train_dataloader()))
    halves = []
    for rank in range(2):
        data._rank_and_world = lambda rank=rank: (rank, 2)  # type: ignore[method-assign]
        halves.append(next(iter(data.train_dataloader())))
    assert torch.equal(torch.cat([h.image for h in halves]), whole.image)


def test_mixture_keeps_shares_and_covers_all_people(tmp_path: Path):
    first, second = Few(tmp_path, 6), Few(tmp_path, 3, first=6)
    mixture = Mixture([first, second], [0.75, 0.25], seed=0)
    drawn = [mixture.read(n) for n in range(80)]
    assert np.mean([d is first for _, d in drawn]) == pytest.approx(0.75, abs=1 / 80)
    assert {s.name for s, _ in drawn} == {str(k) for k in range(9)}
    never = Mixture([first, second], [1.0, 0.0], seed=0)
    assert all(never.read(n)[1] is first for n in range(100))
    for shares in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(UserError, match=r"data\.shares is .* for 2 data sets"):
            Mixture([first, second], shares, seed=0)


class Numbers(MeshDataset):
    """A set of which only the indices matter."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> MeshSample:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ((1000, 500), None),
        ((1000, 500), [0.5, 0.5]),
        ((30, 7, 11), [0.5, 0.2, 0.3]),
        ((5, 40, 8, 3), [0.1, 0.6, 0.0, 0.3]),
        ((9, 2), [1.0, 1e-3]),
        ((17,), [3.0]),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_mixture_draws_each_person_once_per_pass(counts: tuple[int, ...], shares: list[float] | None, seed: int):
    """For all sets and shares, the draws of a set are consecutive permutations."""
    mixture = Mixture([Numbers(count) for count in counts], shares, seed)
    places = [mixture.place(number) for number in range(6000)]
    weights = np.array(counts if shares is None else shares, float) / sum(counts if shares is None else shares)
    for chosen, (count, weight, pool) in enumerate(zip(counts, weights, mixture.pools, strict=True)):
        turns = [turn for k, turn in places if k == chosen]
        assert turns == list(range(len(turns)))  # each once
        assert len(turns) == pytest.approx(6000 * weight, abs=len(counts))
        drawn = [pool.index(turn) for turn in turns]
        for start in range(0, len(drawn) - count + 1, count):
            assert sorted(drawn[start : start + count]) == list(range(count))
    assert mixture.place(4321) == places[4321]  # depends only on the number


def test_mixture_without_shares_covers_all_sets_exactly():
    """In as many draws as there are people, each person is drawn once, also late in a run."""
    counts = (1000, 500, 7)
    mixture = Mixture([Numbers(count) for count in counts], None, seed=0)
    for turn in (0, 1, 10**6):
        places = [mixture.place(number) for number in range(turn * 1507, (turn + 1) * 1507)]
        people = {(k, mixture.pools[k].index(number)) for k, number in places}
        assert len(people) == 1507
    assert [mixture.place(n)[0] for n in range(40)] != [
        Mixture(mixture.datasets, None, 1).place(n)[0] for n in range(40)
    ]


def test_mixture_spreads_shares_evenly():
    """The number of draws of each set deviates by at most two."""
    mixture = Mixture([Numbers(9), Numbers(5), Numbers(4), Numbers(20)], [0.5, 0.2, 0.1, 0.2], seed=0)
    for step in range(200):
        sets = [mixture.place(step * 40 + position)[0] for position in range(40)]
        for k, share in enumerate([20, 8, 4, 8]):
            assert abs(sets.count(k) - share) <= 2


def test_evaluation_covers_each_person_once(tmp_path: Path):
    data = module(tmp_path, validation=Few(tmp_path, 5), test={"test": Few(tmp_path, 3)}, evaluation_batch_size=2)
    assert data.evaluation_names() == ["val", "test/test"]
    loaders = data.val_dataloader()
    seen = [i for batch in loaders[0] for i in batch.index.tolist()]
    assert seen == list(range(5))
    data._rank_and_world = lambda: (1, 2)  # type: ignore[method-assign]
    batches = list(data.val_dataloader()[0])
    assert [i for b in batches for i in b.index.tolist()] == [1, 3, -1]
    last = batches[-1]
    assert not last.keypoints_confidence.any()
    assert not last.evidence_confidence.any()
    assert not last.joints_confidence.any()
    assert not last.mirrored.any()
    image = batches[0].image[0]
    assert set(image.unique().tolist()) <= {0, *range(10, 16)}  # person 1, not augmented


def test_occluders_are_only_added_to_sets_that_ask(tmp_path: Path):
    data = module(tmp_path, augment=True, batch_size=32, steps_per_epoch=1)
    batch = next(iter(data.train_dataloader()))
    colors = torch.tensor([len(image.flatten(1).unique(dim=1)[0]) for image in batch.image])
    ours = torch.tensor([int(name) < 6 for name in batch.name])
    assert colors[ours].float().mean() > 20
    assert colors[~ours].max() < 20
    plain = next(iter(module(tmp_path, augment=False, batch_size=32, steps_per_epoch=1).train_dataloader()))
    assert not plain.mirrored.any()
    assert (plain.side_px == 32).all() | (plain.side_px == 40).all()


def test_unreadable_images_are_replaced_and_counted(tmp_path: Path):
    data = module(tmp_path)
    (tmp_path / "2.png").write_bytes(b"\x89PNG torn")
    names = {n for b in data.train_dataloader() for n in b.name}
    assert "2" not in names
    assert data.corrupt_images() == 1


def test_mesh_data_rejects_invalid_options(tmp_path: Path):
    for wrong, message in (
        ({"batch_size": 0}, r"data\.batch_size is 0"),
        ({"height": 0}, r"data\.height is 0"),
        ({"steps_per_epoch": 0}, r"data\.steps_per_epoch is 0"),
    ):
        with pytest.raises(UserError, match=message):
            module(tmp_path, **wrong)
    empty = MeshData()
    with pytest.raises(UserError, match=r"data\.train is empty"):
        empty.prepare_data()
    nobody = MeshData(train=[Few(tmp_path, 0)])
    with pytest.raises(UserError, match="data set Few is empty"):
        nobody.setup("fit")


def test_batch_moves_to_a_device(tmp_path: Path):
    batch = next(iter(module(tmp_path).train_dataloader()))
    moved = batch.to("meta")
    assert moved.image.device.type == "meta"
    assert moved.rotations.device.type == "meta"
    assert moved.name == batch.name


def test_mesh_data_rejects_labels_of_another_body(tmp_path: Path):
    class Labeled(Few):
        label_body = "SMPL"

    data = MeshData(train=[Labeled(tmp_path, 2)])

    class Trainer:
        world_size, global_rank, global_step = 1, 0, 0
        state = type("State", (), {"fn": None})
        lightning_module = type("Module", (), {"body": type("Body", (), {"name": "builtin"})})

    data.trainer = Trainer()  # type: ignore[assignment]
    with pytest.raises(UserError, match="labels of Labeled belong to the body SMPL, the run's body is builtin"):
        data.setup("fit")
    Trainer.lightning_module.body.name = "SMPL"
    data.setup("fit")


def test_docs_config_builds():
    from jsonargparse import ArgumentParser

    text = (Path(__file__).parents[3] / "docs" / "mesh_data.md").read_text()
    block = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    block["data"]["train"].append(
        {
            "class_path": "meshtto.data.KeypointsOnly",
            "init_args": {
                "dataset": {
                    "class_path": "hamipose.data.LeedsSportsExtended",
                    "init_args": {"root": "x", "skeleton": "lsp14"},
                }
            },
        }
    )
    block["data"]["train"].append(
        {"class_path": "meshtto.data.BuiltinMeshes", "init_args": {"detector": {"noise": 0.5}, "style": "photo"}}
    )
    for name in ("Human36MMeshes", "MpiInf3dhp"):
        block["data"]["train"].append({"class_path": f"meshtto.data.{name}", "init_args": {"root": "x"}})
    block["data"]["shares"] = None
    block["data"]["augmentation"] = {"rotation_deg": 10.0}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(MeshData, "data")
    built = parser.instantiate_classes(parser.parse_object(block)).data
    assert [type(d).__name__ for d in built.train[-4:]] == [
        "KeypointsOnly",
        "BuiltinMeshes",
        "Human36MMeshes",
        "MpiInf3dhp",
    ]
    assert built.train[-3].detector.noise == 0.5
    assert built.augmentation.rotation_deg == 10
    assert type(built.test["3dpw"]).__name__ == "ThreeDPW"
