import pytest

from hamipose.skeletons import BODY16, COCO17, HAND21, LSP14, SKELETONS


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_mirroring_twice_is_the_identity(skeleton):
    mirror = skeleton.mirror
    assert [mirror[k] for k in mirror] == list(range(len(skeleton)))
    for k, m in enumerate(mirror):
        a, b = skeleton.keypoints[k], skeleton.keypoints[m]
        assert {a[:5], b[:5]} == {"left_", "right"} if k != m else not a.startswith(("left_", "right_"))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_all_names_exist_and_every_joint_is_on_a_limb(skeleton):
    on_limbs = {k for pair in skeleton.limb_indices for k in pair}
    assert on_limbs == set(range(len(skeleton)))
    for names in skeleton.groups.values():
        skeleton.indices(names)
    skeleton.indices(skeleton.all)


def test_limbs_come_in_mirror_pairs():
    for skeleton in (BODY16, COCO17, LSP14):
        mirror = skeleton.mirror
        limbs = {frozenset(p) for p in skeleton.limb_indices}
        assert {frozenset((mirror[a], mirror[b])) for a, b in limbs} == limbs


def test_sizes_and_orders_are_those_of_the_data_sets():
    assert (len(BODY16), len(COCO17), len(HAND21), len(LSP14)) == (16, 17, 21, 14)
    assert BODY16.indices(BODY16.groups["wrist"]) == [10, 15]
    assert sorted(BODY16.indices(BODY16.all)) == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
    assert HAND21.indices(HAND21.groups["tip"]) == [4, 8, 12, 16, 20]


def test_lsp_maps_to_body16_by_name():
    places = BODY16.map_from(LSP14)
    assert places == [0, 1, 2, 3, 4, 5, None, None, 12, 13, 6, 7, 8, 9, 10, 11]


def test_an_unknown_name_raises_with_the_known_names():
    with pytest.raises(KeyError, match=r"body16 has no keypoint 'tail'.*left_wrist"):
        BODY16.index("tail")
