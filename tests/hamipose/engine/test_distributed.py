"""What processes share, on two of them that are told who they are; the sums are tested with runs in two processes."""

import pytest
import torch

from hamipose.engine import distributed as exchange
from hamipose.methods.parts.occlusion import choose_joint, random_corners
from hamipose.methods.parts.pseudo_labels import confident


@pytest.fixture
def as_process(monkeypatch: pytest.MonkeyPatch):
    """Says which of two processes this is, and gives it what the other would send."""

    def become(rank: int, sent: list[torch.Tensor] | None = None) -> None:
        def all_gather(shares: list[torch.Tensor], mine: torch.Tensor) -> None:
            assert torch.equal(mine, sent[rank])
            for share, theirs in zip(shares, sent, strict=True):
                share.copy_(theirs)

        monkeypatch.setattr(exchange, "_many", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather", all_gather)

    return become


DRAWS = {
    "corners": lambda heights: random_corners(len(heights), 4, 32),
    "joint": lambda heights: choose_joint(heights, 0.0, 0.5)[0],
    "chosen": lambda heights: choose_joint(heights, 0.0, 0.5)[1].long(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_processes_draw_what_one_would_and_none_repeats_another(name: str, as_process):
    heights, states = torch.rand(32, 16), []
    torch.manual_seed(3)
    whole = DRAWS[name](heights)
    states.append(torch.get_rng_state())
    shares = []
    for rank in (0, 1):
        as_process(rank)
        torch.manual_seed(3)
        shares.append(DRAWS[name](heights[:16] if rank == 0 else heights[16:]))
        states.append(torch.get_rng_state())
    assert torch.equal(torch.cat(shares), whole)
    assert not torch.equal(*shares)
    assert all(torch.equal(state, states[0]) for state in states)


def test_the_median_is_that_of_all_processes(as_process):
    heights = torch.tensor([0.9, 0.8, 0.2, 0.1])
    assert confident(heights, 0.5).tolist() == [True, True, False, False]
    halves = list(heights.split(2))
    for rank, expected in enumerate(([True, True], [False, False])):
        as_process(rank, halves)
        assert confident(halves[rank], 0.5).tolist() == expected
