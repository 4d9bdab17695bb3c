"""Recognize keypoints by the spellings that other programs use: one normalizing function, one table of aliases."""

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
    **dict.fromkeys(("root", "hip_center", "hip_center", "center_hip", "center_hip"), "pelvis"),
    **dict.fromkeys(("sternum", "upper_chest"), "thorax"),
    **{f"{side}_{toe}toe": f"{side}_{toe}_toe" for side in ("left", "right") for toe in ("big", "small")},
}

#: MediaPipe counts a thumb's joints from the CMC; ours are called as those of the other fingers.
_THUMB = {"thumb_cmc": "thumb_mcp", "thumb_mcp": "thumb_pip", "thumb_ip": "thumb_dip"}


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[\W_]+", apart.lower()) if word]


def _finger(words: list[str]) -> list[str]:
    """Rewrite a joint of a hand as finger and joint: ``forefinger1``, ``ring_finger2``, ``pinky_tip``."""
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
    """Return a name in lower case, joined by _, with the side in front."""
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
    """Return our names for the keypoints of a skeleton of another program; unknown ones in their normalized spelling.

    Case, separators and the place of the side do not matter; ``L`` and ``R`` stand for sides. Where two names of the
    list mean one keypoint, such as ``head_top`` and ``head``, the more specific one has it, and the other keeps its
    own spelling with a mark that matches nothing.

    Args:
        names: of one skeleton.

    Raises:
        ValueError: two names are spellings of one keypoint.

    >>> canonical_names(["Left_elbow", "right elbow", "LAnkle", "wristR", "head_bottom", "head_top", "nose"])
    ('left_elbow', 'right_elbow', 'left_ankle', 'right_wrist', 'neck', 'head', 'nose')
    """
    plain = [_plain(name) or name for name in names]
    if "thumb_cmc" in plain:
        plain = [_THUMB.get(name, name) for name in plain]
    found: dict[str, int] = {}
    result = [_ALIASES.get(name, name) for name in plain]
    for position, name in enumerate(result):
        other = found.setdefault(name, position)
        if other == position:
            continue
        aliased = [place for place in (other, position) if plain[place] in _ALIASES]
        if len(aliased) != 1:
            raise ValueError(f"{names[other]!r} and {names[position]!r} both mean {name}")
        found[name] = aliased[0]
        loser = other + position - aliased[0]
        result[loser] = f"{names[loser]} (as well as {names[aliased[0]]})"
    return tuple(result)
