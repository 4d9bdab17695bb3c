"""Logged scores: strict, as published, and computed by two processes."""

import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed

from hamipose.evaluation.score_metrics import PAPER_VARIANTS
from hamipose.evaluation.scores import Scores
from hamipose.heatmaps import decode, encode
from hamipose.metrics import PCK, PaperPCK
from hamipose.skeletons import BODY16

SIZE = 64
Batch = tuple[Tensor, Tensor, Tensor]


def batches(sizes: tuple[int, ...] = (4, 1, 3)) -> list[Batch]:
    """Return heatmaps near the ground truth, keypoints and visibility; the first batch has no labeled head."""
    generator = torch.Generator().manual_seed(3)
    result = []
    for n in sizes:
        keypoints = torch.rand(n, 16, 2, generator=generator) * (SIZE + 8) - 4
        predicted = keypoints + 2 * torch.randn(n, 16, 2, generator=generator)
        visibility = torch.randint(0, 3, (n, 16), generator=generator)
        result.append((encode(predicted.clamp(0, SIZE - 1), (SIZE, SIZE)), keypoints, visibility))
    result[0][2][:, BODY16.index("head")] = 0
    return result


def filled(scores: Scores, data: list[Batch]) -> Scores:
    for heatmaps, keypoints, visibility in data:
        scores.update("student", heatmaps * 0.5, keypoints + 1, visibility)
        scores.update("teacher", heatmaps, keypoints, visibility)
    return scores


def test_published_scores_are_logged_if_requested():
    data = batches()
    plain, paper = (filled(Scores("test/x", ["student", "teacher"], BODY16, SIZE, p), data) for p in (False, True))
    logged = paper.compute()
    assert {k: v for k, v in logged.items() if "paper" not in k} == plain.compute()
    assert not [k for k in plain.compute() if "paper" in k]
    for variant in PAPER_VARIANTS:
        metric = PaperPCK(BODY16, variant=variant)
        for heatmaps, keypoints, visibility in data:
            metric.update(heatmaps, keypoints, visibility)
        expected = metric.compute()
        prefix = f"test/x/teacher/paper-{variant}/pck@0.05"
        assert logged[prefix] == expected["all"]
        assert {k.removeprefix(prefix + "/"): v for k, v in logged.items() if k.startswith(prefix + "/")} == {
            k: v for k, v in expected.items() if k != "all"
        }
    heads = [float(logged[f"test/x/teacher/paper-{v}/pck@0.05/head"]) for v in PAPER_VARIANTS]
    assert heads[0] < heads[1]  # the batch without a head counts as -1 in one variant and not at all in the other


def test_headline_is_the_strict_score():
    scores = filled(Scores("val", ["student", "teacher"], BODY16, SIZE, True), batches())
    strict = PCK(BODY16, 0.05, SIZE)
    for heatmaps, keypoints, visibility in batches():
        strict.update(decode(heatmaps)[0], keypoints, visibility)
    assert scores.compute()["val/pck"] == scores.headline() == strict.compute()["all"]


def _score_share(rank: int, file: str, out: str) -> None:
    """Score every other batch in one of two processes."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    scores = filled(Scores("val", ["student", "teacher"], BODY16, SIZE, True), batches((4, 1, 3, 2, 5))[rank::2])
    torch.save(scores.compute(), f"{out}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_score_share, args=(r, str(tmp_path / "meet"), str(tmp_path))) for r in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    alone = filled(Scores("val", ["student", "teacher"], BODY16, SIZE, True), batches((4, 1, 3, 2, 5))).compute()
    for rank in range(2):
        loaded = torch.load(tmp_path / f"{rank}.pt")
        assert loaded.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(loaded[name], value, msg=name)  # each process gets whole batches
