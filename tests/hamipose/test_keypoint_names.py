"""Keypoint names in other spellings."""

import pytest

from hamipose.keypoint_names import canonical_names
from hamipose.skeletons import BODY16, COCO17, HAND21, LSP14, SKELETONS
from meshtto.joints import JOINTS24, OPENPOSE25


@pytest.mark.parametrize(
    "names", [*(s.keypoints for s in SKELETONS.values()), OPENPOSE25], ids=[*SKELETONS, "openpose"]
)
def test_own_names_stay_unchanged(names: tuple[str, ...]):
    assert canonical_names(names) == names


@pytest.mark.parametrize("skeleton", [BODY16, COCO17, LSP14], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        str.title,
        lambda n: n.replace("_", " "),
        lambda n: n.replace("_", "-"),
        lambda n: n.title().replace("_", ""),  # LeftElbow
        lambda n: n.replace("_", ""),  # leftelbow
        lambda n: n.replace("left_", "L_").replace("right_", "R_"),
        lambda n: n.replace("left_", "l").replace("right_", "r"),
        lambda n: "_".join(reversed(n.split("_"))),  # elbow_left
        lambda n: n.replace("left_", "L").replace("right_", "R").replace("_", ""),
    ],
    ids=["upper", "title", "spaces", "dashes", "camel", "joined", "sides", "letters", "behind", "short"],
)
def test_other_spellings_are_recognized(skeleton, spell):
    assert canonical_names([spell(name) for name in skeleton.keypoints]) == skeleton.keypoints


def test_names_of_posetrack_and_mpii_are_recognized():
    assert canonical_names(["nose", "head_bottom", "head_top"]) == ("nose", "neck", "head")
    assert canonical_names(["upper_neck", "Head Top", "root"]) == ("neck", "head", "pelvis")
    assert [canonical_names([name]) for name in ("hip_centre", "Center Hip")] == [("pelvis",)] * 2  # both spellings


def test_hand_names_of_other_programs_are_recognized():
    fingers = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    numbered = ["wrist", *(f"{finger}{joint}" for finger in fingers for joint in range(1, 5))]
    assert canonical_names(numbered) == HAND21.keypoints
    mediapipe = [name.upper().replace("LITTLE", "PINKY") for name in HAND21.keypoints]
    mediapipe[1:5] = ["THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP"]
    assert canonical_names([name.replace("INDEX_", "INDEX_FINGER_") for name in mediapipe]) == HAND21.keypoints


def test_the_more_specific_of_two_names_gets_the_keypoint():
    found = canonical_names(JOINTS24)
    assert found[JOINTS24.index("head_top")] == "head"
    assert found[JOINTS24.index("head")] == "head (as well as head_top)"
    with pytest.raises(ValueError, match="'Left_elbow' and 'left elbow' both mean left_elbow"):
        canonical_names(["Left_elbow", "nose", "left elbow"])


def test_unknown_names_match_no_keypoint():
    assert canonical_names(["beak", "Tail tip", "鼻", "!!"]) == ("beak", "tail_tip", "鼻", "!!")
