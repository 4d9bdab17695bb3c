"""Recognize keypoint names in the spellings of other programs: one normalization, one table of aliases."""

import re
from collections.abc import Sequence

__all__ = ["canonical_names"]

_LEFT, _RIGHT = {"left", "l", "lft"}, {"right", "r", "rt", "rgt"}
_PARTS = {
    *("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "hand", "foot"),
    *("bigtoe", "smalltoe", "big_toe", "small_toe"),
}
_FINGERS = {"pinky": "little", "pinkie": "little", "forefinger": "index", "pointer": "index"}
_NUMBERED = ("mcp", "pip", "dip", "tip")

#: Other names for keypoints of our skeletons, after case, separators and sides are normalized.
_ALIASES = {
    **dict.fromkeys(("head_top", "top_head", "headtop", "top_of_head", "head_tip"), "head"),
    **dict.fromkeys(("head_bottom", "headbottom", "bottom_head", "upper_neck", "upperneck"), "neck"),
    **dict.fromkeys(("root", "hip_center", "hip_centre", "center_hip", "centre_hip"), "pelvis"),
    **dict.fromkeys(("sternum", "upper_chest"), "thorax"),
    **{f"{side}_{toe}toe": f"{side}_{toe}_toe" for side in ("left", "right") for toe in ("big", "small")},
}

#: MediaPipe names the joints of the thumb from the CMC on; ours have the same names as those of the other fingers.
_THUMB = {"thumb_cmc": "thumb_mcp", "thumb_mcp": "thumb_pip", "thumb_ip": "thumb_dip"}


def _words(name: str) -> list[str]:
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[\W_]+", separated.lower()) if word]


def _finger(words: list[str]) -> list[str]:
    """Rewrite a hand joint such as ``forefinger1``, ``ring_finger2`` or ``pinky_tip`` as finger and joint."""
    if len(words) > 1:
        words = [word for word in (re.sub(r"^finger(?=[1-4]?$)", "", word) for word in words) if word] or words
    match = re.fullmatch(
        r"(thumb|index|middle|ring|little|pinky|pinkie|forefinger|pointer)(?:finger)?([1-4]?)", words[0]
    )
    if match is None:
        return words
    joint = [match[2]] if match[2] else words[1:]
    if len(joint) == 1 and joint[0] in ("1", "2", "3", "4"):
        joint = [_NUMBERED[int(joint[0]) - 1]]
    return [_FINGERS.get(match[1], match[1]), *joint]


def _plain(name: str) -> str:
    """Return a name in lower case, joined by _, that begins with the side."""
    words = _words(name)
    if not words:
        return ""
    prefix = "openpose_" if words[0] == "openpose" and len(words) > 1 else ""
    words = words[1:] if prefix else words
    sides = [word for word in words if word in _LEFT | _RIGHT]
    if len(sides) == 1 and len(words) > 1:
        rest = [word for word in words if word not in sides]
        words = ["left" if sides[0] in _LEFT else "right", *rest]
    elif not sides and words[0][0] in "lr" and "_".join([words[0][1:], *words[1:]]) in _PARTS:
        words = ["left" if words[0][0] == "l" else "right", words[0][1:], *words[1:]]  # lelbow
    elif not sides and (match := re.fullmatch(r"(left|right)(\w+)", words[0])) and match[2] in _PARTS:
        words = [match[1], match[2], *words[1:]]  # leftelbow
    else:
        words = _finger(words)
    return prefix + "_".join(words)


def canonical_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return our names for the keypoints of another program; unknown names in their normalized spelling.

    Case, separators and the position of the side do not matter; ``L`` and ``R`` mean left and right. If two names mean
    the same keypoint, such as ``head_top`` and ``head``, the more specific one gets our name, and the other keeps its
    spelling with a suffix, so that it matches no keypoint of ours.

    Args:
        names: keypoint names of one skeleton, in order.

    Raises:
        ValueError: two names are spellings of one keypoint.

    >>> canonical_names(["Left_elbow", "right elbow", "LAnkle", "wristR", "head_bottom", "head_top", "nose"])
    ('left_elbow', 'right_elbow', 'left_ankle', 'right_wrist', 'neck', 'head', 'nose')
    """
    plain = [_plain(name) or name for name in names]
    if "thumb_cmc" in plain:
        plain = [_THUMB.get(name, name) for name in plain]
    position_of: dict[str, int] = {}
    result = [_ALIASES.get(name, name) for name in plain]
    for position, name in enumerate(result):
        other = position_of.setdefault(name, position)
        if other == position:
            continue
        aliased = [index for index in (other, position) if plain[index] in _ALIASES]
        if len(aliased) != 1:
            raise ValueError(f"{names[other]!r} and {names[position]!r} both mean {name}")
        position_of[name] = aliased[0]
        renamed = other + position - aliased[0]
        result[renamed] = f"{names[renamed]} (as well as {names[aliased[0]]})"
    return tuple(result)
