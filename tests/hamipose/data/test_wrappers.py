import numpy as np
import pytest

from hamipose.data import ConcatKeypoints
from hamipose.data.base import KeypointDataset
from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17
from hamipose.types import Sample


class Numbered(KeypointDataset):
    """Samples named by the set and their index."""

    def __init__(self, name: str, count: int, skeleton=BODY16):
        self.name, self.count, self.skeleton = name, count, skeleton
        self.prepared = 0

    def prepare(self) -> None:
        self.prepared += 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        assert 0 <= index < self.count
        return Sample(
            image=np.zeros((4, 4, 3), np.uint8),
            box_px=np.array([0, 0, 4, 4], np.float32),
            name=f"{self.name}{index}:{self.decode_side}",
            keypoints_px=np.zeros((len(self.skeleton), 2), np.float32),
            visibility=np.zeros(len(self.skeleton), np.int64),
        )


def test_concat_keypoints_returns_each_sample_once_in_order():
    parts = [Numbered("a", 2), Numbered("b", 1), Numbered("c", 3)]
    joined = ConcatKeypoints(parts)
    joined.prepare()
    joined.decode_side = 64
    names = [joined[i].name for i in range(len(joined))]
    assert names == ["a0:64", "a1:64", "b0:64", "c0:64", "c1:64", "c2:64"]
    assert [part.prepared for part in parts] == [1, 1, 1]
    assert joined.skeleton == BODY16


@pytest.mark.parametrize("index", [-1, 3])
def test_concat_keypoints_rejects_index_out_of_range(index):
    with pytest.raises(IndexError):
        ConcatKeypoints([Numbered("a", 3)])[index]


def test_concat_keypoints_requires_one_skeleton():
    with pytest.raises(UserError, match="body16, coco17"):
        ConcatKeypoints([Numbered("a", 1), Numbered("b", 1, COCO17)])
    with pytest.raises(UserError, match="at least one"):
        ConcatKeypoints([])
