"""Skeletons: keypoints by name, mirror pairs, limbs, groups for scores, and maps between skeletons.

Left and right are those of the person, never of the image.
"""

import itertools
from dataclasses import dataclass, field

__all__ = ["BLAZEPOSE33", "BODY16", "COCO17", "HAND21", "LSP14", "SKELETONS", "Skeleton"]


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named keypoints.

    Attributes:
        name: name in configs.
        keypoints: names in order; ``left_x`` and ``right_x`` are mirror images of each other.
        limbs: pairs of names that are connected by a line in drawings.
        groups: name of a row in score tables → the keypoints that it averages.
        all: the keypoints of the main score.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    groups: dict[str, tuple[str, ...]] = field(hash=False)
    all: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        """Return the position of a keypoint.

        Raises:
            KeyError: the skeleton has no keypoint of that name.
        """
        try:
            return self.keypoints.index(keypoint)
        except ValueError:
            raise KeyError(f"{self.name} has no keypoint {keypoint!r}; it has {', '.join(self.keypoints)}") from None

    def indices(self, keypoints: tuple[str, ...]) -> list[int]:
        """Return the positions of several keypoints."""
        return [self.index(k) for k in keypoints]

    @property
    def mirror(self) -> list[int]:
        """For each keypoint, the keypoint that it becomes when the image is mirrored; applied twice, the identity.

        >>> BODY16.keypoints[BODY16.mirror[BODY16.index("left_wrist")]]
        'right_wrist'
        """

        def other(name: str) -> str:
            if name.startswith("left_"):
                return "right_" + name[5:]
            return "left_" + name[6:] if name.startswith("right_") else name

        return [self.index(other(k)) for k in self.keypoints]

    @property
    def limb_indices(self) -> list[tuple[int, int]]:
        """Limbs as pairs of positions."""
        return [(self.index(a), self.index(b)) for a, b in self.limbs]

    def map_from(self, other: "Skeleton") -> list[int | None]:
        """Return, for each keypoint of this skeleton, the position of the same name in `other`; None if it has none.

        >>> BODY16.map_from(COCO17)[:4]
        [16, 14, 12, 11]
        """
        return [other.keypoints.index(k) if k in other.keypoints else None for k in self.keypoints]


_LIMB_GROUPS = {
    part: (f"right_{part}", f"left_{part}") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
_LIMB_JOINTS = tuple(joint for pair in _LIMB_GROUPS.values() for joint in pair)
_ARMS_AND_LEGS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("right", "left")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
)

#: RegDA's 16 body keypoints (the order of MPII). The main score averages the 12 limb joints.
BODY16 = Skeleton(
    name="body16",
    keypoints=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "neck", "head"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        *(("pelvis", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "thorax"), ("thorax", "neck"), ("neck", "head")),
        *(("thorax", "right_shoulder"), ("thorax", "left_shoulder")),
    ),
    groups={"head": ("head",), **_LIMB_GROUPS},
    all=_LIMB_JOINTS,
)

#: The 17 keypoints of COCO.
COCO17 = Skeleton(
    name="coco17",
    keypoints=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        *(("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
        *(("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")),
        *(("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear")),
    ),
    groups={"face": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"), **_LIMB_GROUPS},
    all=_LIMB_JOINTS,
)

_FACE33 = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "left_mouth", "right_mouth"),
)
_FEET33 = ("left_heel", "right_heel", "left_foot_index", "right_foot_index")

#: The 33 landmarks of MediaPipe's BlazePose.
BLAZEPOSE33 = Skeleton(
    name="blazepose33",
    keypoints=(
        *_FACE33,
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
        *_FEET33,
    ),
    limbs=(
        *COCO17.limbs,
        ("left_mouth", "right_mouth"),
        *((f"{side}_eye", f"{side}_eye_{corner}") for side in ("left", "right") for corner in ("inner", "outer")),
        *(
            (f"{side}_wrist", f"{side}_{finger}")
            for side in ("left", "right")
            for finger in ("pinky", "index", "thumb")
        ),
        *((f"{side}_ankle", f"{side}_heel") for side in ("left", "right")),
        *((f"{side}_heel", f"{side}_foot_index") for side in ("left", "right")),
    ),
    groups={"face": _FACE33, **_LIMB_GROUPS, "feet": _FEET33},
    all=_LIMB_JOINTS,
)

#: Leeds Sports Pose.
LSP14 = Skeleton(
    name="lsp14",
    keypoints=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
        *("neck", "head"),
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        *(("neck", "head"), ("neck", "right_shoulder"), ("neck", "left_shoulder")),
        *(("right_shoulder", "right_hip"), ("left_shoulder", "left_hip"), ("right_hip", "left_hip")),
    ),
    groups={"head": ("head",), **_LIMB_GROUPS},
    all=_LIMB_JOINTS,
)

_FINGERS = ("thumb", "index", "middle", "ring", "little")
_PHALANGES = ("mcp", "pip", "dip", "tip")
_HAND = ("wrist", *(f"{finger}_{joint}" for finger in _FINGERS for joint in _PHALANGES))

#: The 21 keypoints of one hand: wrist, then each finger from its base to its tip.
HAND21 = Skeleton(
    name="hand21",
    keypoints=_HAND,
    limbs=tuple(
        pair
        for finger in _FINGERS
        for pair in (
            ("wrist", f"{finger}_mcp"),
            *((f"{finger}_{a}", f"{finger}_{b}") for a, b in itertools.pairwise(_PHALANGES)),
        )
    ),
    groups={joint: tuple(f"{finger}_{joint}" for finger in _FINGERS) for joint in _PHALANGES},
    all=_HAND,
)

#: Skeletons by the name that configs use.
SKELETONS = {skeleton.name: skeleton for skeleton in (BODY16, COCO17, HAND21, LSP14, BLAZEPOSE33)}
