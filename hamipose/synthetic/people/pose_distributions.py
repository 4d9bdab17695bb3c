"""Pose families of a body as ranges of joint angles; see `joint_limits` for zero and sign of the angles."""

from dataclasses import dataclass

from hamipose.synthetic.people.joint_limits import Ranges

__all__ = ["DEFAULT_RANGES", "FAMILIES"]


@dataclass(frozen=True)
class _Family:
    """A distribution of poses: its weight in the mixture, and ranges of angles in degrees."""

    weight: float
    trunk: Ranges
    leg: Ranges
    other_leg: Ranges | None = None  # None: the same ranges
    arms: tuple[str, ...] = ()  # names in `ARM_POSES`; empty: all
    pitch: tuple[float | int, float | int] = (-4.0, 8.0)
    roll: tuple[float | int, float | int] = (-4.0, 4.0)
    airborne: bool = False
    seated: bool = False
    alike: float = 0.3  # probability that both legs have similar angles


_UPRIGHT: Ranges = {"trunk_flexion": (-8, 15), "trunk_bend": (-10, 10), "trunk_twist": (-15, 15)}
_STRAIGHT: Ranges = {
    "hip_flexion": (-8, 10),
    "hip_abduction": (-3, 10),
    "hip_rotation": (-5, 20),
    "knee_flexion": (0, 12),
}

#: Pose families by name.
FAMILIES: dict[str, _Family] = {
    "standing": _Family(0.17, _UPRIGHT, _STRAIGHT),
    "standing_wide": _Family(
        0.06,
        {"trunk_flexion": (-10, 20), "trunk_bend": (-25, 25), "trunk_twist": (-25, 25)},
        {"hip_flexion": (-5, 20), "hip_abduction": (12, 32), "hip_rotation": (0, 30), "knee_flexion": (0, 25)},
    ),
    "walking": _Family(
        0.12,
        {"trunk_flexion": (-2, 14), "trunk_twist": (-14, 14)},
        {"hip_flexion": (12, 35), "hip_abduction": (-3, 6), "knee_flexion": (3, 30), "ankle_dorsiflexion": (-5, 15)},
        {"hip_flexion": (-20, 2), "hip_abduction": (-3, 6), "knee_flexion": (5, 50), "ankle_dorsiflexion": (-25, 8)},
        arms=("swinging_forward", "swinging_back", "hanging", "hanging", "hands_in_front"),
    ),
    "running": _Family(
        0.08,
        {"trunk_flexion": (0, 20), "trunk_twist": (-22, 22)},
        {"hip_flexion": (35, 85), "hip_abduction": (-3, 10), "knee_flexion": (40, 110)},
        {"hip_flexion": (-22, 5), "hip_abduction": (-3, 8), "knee_flexion": (15, 110), "ankle_dorsiflexion": (-40, 5)},
        arms=("swinging_forward", "swinging_back"),
        pitch=(0, 20),
        airborne=True,
    ),
    "sitting": _Family(
        0.12,
        {"trunk_flexion": (-10, 35), "trunk_bend": (-12, 12), "trunk_twist": (-20, 20)},
        {"hip_flexion": (70, 98), "hip_abduction": (0, 25), "hip_rotation": (-12, 25), "knee_flexion": (55, 105)},
        arms=(
            *("hanging", "hands_in_front", "hands_in_front", "reaching_forward"),
            *("hand_to_face", "across_the_chest", "reaching_up"),
        ),
        pitch=(-18, 5),
        seated=True,
        alike=0.5,
    ),
    "squatting": _Family(
        0.05,
        {"trunk_flexion": (10, 45), "trunk_twist": (-15, 15)},
        {"hip_flexion": (85, 118), "hip_abduction": (8, 32), "hip_rotation": (0, 30), "knee_flexion": (90, 138)},
        arms=("reaching_forward", "hands_in_front", "hanging", "anywhere"),
        pitch=(10, 38),
        alike=0.7,
    ),
    "kneeling": _Family(
        0.06,
        {"trunk_flexion": (-5, 30), "trunk_twist": (-20, 20)},
        {"hip_flexion": (75, 100), "hip_abduction": (0, 20), "knee_flexion": (80, 105)},
        {"hip_flexion": (-8, 15), "hip_abduction": (0, 8), "knee_flexion": (85, 110), "ankle_dorsiflexion": (-40, 5)},
    ),
    "lunging": _Family(
        0.08,
        {"trunk_flexion": (-10, 30), "trunk_bend": (-25, 25), "trunk_twist": (-30, 30)},
        {"hip_flexion": (50, 95), "hip_abduction": (0, 30), "hip_rotation": (0, 30), "knee_flexion": (40, 95)},
        {"hip_flexion": (-22, 5), "hip_abduction": (5, 25), "knee_flexion": (0, 30), "ankle_dorsiflexion": (0, 20)},
        pitch=(-5, 20),
    ),
    "jumping": _Family(
        0.07,
        {"trunk_flexion": (-20, 35), "trunk_bend": (-20, 20), "trunk_twist": (-30, 30)},
        {"hip_flexion": (-20, 90), "hip_abduction": (0, 42), "hip_rotation": (-10, 30), "knee_flexion": (5, 120)},
        arms=("reaching_up", "out_to_the_side", "anywhere", "raised_bent", "swinging_back"),
        pitch=(-15, 25),
        roll=(-15, 15),
        airborne=True,
        alike=0.35,
    ),
    "kicking": _Family(
        0.05,
        {"trunk_flexion": (-20, 25), "trunk_bend": (-25, 25), "trunk_twist": (-25, 25)},
        {"hip_flexion": (40, 105), "hip_abduction": (0, 45), "knee_flexion": (0, 60), "ankle_dorsiflexion": (-35, 10)},
        _STRAIGHT,
        pitch=(-22, 5),
        roll=(-12, 12),
    ),
    "bending": _Family(
        0.07,
        {"trunk_flexion": (25, 65), "trunk_bend": (-20, 20), "trunk_twist": (-25, 25), "neck_flexion": (-35, 20)},
        {"hip_flexion": (45, 85), "hip_abduction": (0, 20), "knee_flexion": (5, 45)},
        arms=("hanging", "reaching_forward", "reaching_forward", "hands_in_front", "on_hip"),
        pitch=(35, 65),
        alike=0.7,
    ),
    "lying": _Family(
        0.08,
        {"trunk_flexion": (-10, 20), "trunk_bend": (-15, 15), "trunk_twist": (-20, 20)},
        {"hip_flexion": (-5, 60), "hip_abduction": (0, 25), "hip_rotation": (-10, 35), "knee_flexion": (0, 90)},
    ),
    "upside_down": _Family(
        0.08,
        {"trunk_flexion": (-22, 15), "trunk_twist": (-15, 15), "neck_flexion": (-35, 10)},
        {"hip_flexion": (-25, 80), "hip_abduction": (0, 60), "knee_flexion": (0, 100)},
        arms=("reaching_up", "overhead"),
        pitch=(150, 210),
        roll=(-25, 25),
    ),
    "tumbling": _Family(
        0.07,
        {"trunk_flexion": (-20, 60), "trunk_bend": (-25, 25), "trunk_twist": (-30, 30)},
        {"hip_flexion": (-20, 115), "hip_abduction": (-5, 45), "hip_rotation": (-20, 35), "knee_flexion": (0, 130)},
        pitch=(-180, 180),
        roll=(-60, 60),
        airborne=True,
    ),
    "high_kick": _Family(
        0.04,
        {"trunk_flexion": (-25, 20), "trunk_bend": (-30, 30), "trunk_twist": (-35, 35)},
        {"hip_flexion": (80, 125), "hip_abduction": (0, 60), "hip_rotation": (-20, 40), "knee_flexion": (0, 45)},
        {"hip_flexion": (-15, 15), "hip_abduction": (-3, 15), "hip_rotation": (-5, 40), "knee_flexion": (0, 35)},
        pitch=(-30, 10),
        roll=(-25, 25),
    ),
    "leaping": _Family(
        0.04,
        {"trunk_flexion": (-20, 15), "trunk_bend": (-15, 15), "trunk_twist": (-25, 25)},
        {"hip_flexion": (55, 110), "hip_abduction": (0, 30), "hip_rotation": (0, 40), "knee_flexion": (0, 40)},
        {"hip_flexion": (-25, -5), "hip_abduction": (0, 30), "hip_rotation": (0, 40), "knee_flexion": (0, 60)},
        pitch=(-10, 30),
        roll=(-12, 12),
        airborne=True,
    ),
    "straddling": _Family(
        0.03,
        {"trunk_flexion": (-10, 50), "trunk_bend": (-20, 20)},
        {"hip_flexion": (0, 95), "hip_abduction": (35, 72), "hip_rotation": (10, 45), "knee_flexion": (0, 25)},
        pitch=(-15, 40),
        airborne=True,
        alike=0.7,
    ),
    "cartwheeling": _Family(
        0.06,
        {"trunk_flexion": (-15, 20), "trunk_bend": (-25, 25), "trunk_twist": (-25, 25)},
        {"hip_flexion": (-15, 45), "hip_abduction": (10, 65), "hip_rotation": (0, 40), "knee_flexion": (0, 45)},
        arms=("reaching_up", "overhead", "out_to_the_side", "anywhere"),
        pitch=(-25, 25),
        roll=(-180, 180),
    ),
    "diving": _Family(
        0.03,
        {"trunk_flexion": (-35, 10), "trunk_bend": (-20, 20), "trunk_twist": (-25, 25), "neck_flexion": (-40, 10)},
        {"hip_flexion": (-25, 35), "hip_abduction": (0, 35), "knee_flexion": (0, 75), "ankle_dorsiflexion": (-45, 0)},
        arms=("reaching_up", "overhead", "out_to_the_side", "hanging", "anywhere"),
        pitch=(40, 115),
        roll=(-30, 30),
        airborne=True,
    ),
    "throwing": _Family(
        0.08,
        {"trunk_flexion": (-25, 35), "trunk_bend": (-28, 28), "trunk_twist": (-40, 40)},
        {"hip_flexion": (25, 100), "hip_abduction": (0, 35), "hip_rotation": (0, 35), "knee_flexion": (15, 110)},
        {"hip_flexion": (-24, 15), "hip_abduction": (0, 30), "hip_rotation": (0, 40), "knee_flexion": (0, 65)},
        arms=("wound_up", "wound_up", "raised_bent", "reaching_up", "reaching_forward", "swinging_back", "anywhere"),
        pitch=(-18, 30),
        roll=(-20, 20),
    ),
    "serving": _Family(
        0.06,
        {"trunk_flexion": (-32, 15), "trunk_bend": (-28, 28), "trunk_twist": (-35, 35), "neck_flexion": (-40, 10)},
        {"hip_flexion": (-15, 25), "hip_abduction": (-3, 25), "hip_rotation": (0, 30), "knee_flexion": (0, 60)},
        arms=("overhead", "overhead", "reaching_up", "behind_head", "wound_up"),
        pitch=(-15, 15),
        roll=(-12, 12),
        airborne=True,
    ),
    "crouching": _Family(
        0.06,
        {"trunk_flexion": (10, 65), "trunk_bend": (-20, 20), "trunk_twist": (-30, 30), "neck_flexion": (-40, 15)},
        {"hip_flexion": (60, 125), "hip_abduction": (0, 40), "hip_rotation": (0, 35), "knee_flexion": (45, 130)},
        arms=("hanging", "reaching_forward", "hands_in_front", "swinging_back", "anywhere"),
        pitch=(15, 60),
        alike=0.3,
    ),
    "bending_back": _Family(
        0.02,
        {"trunk_flexion": (-40, -20), "trunk_bend": (-10, 10), "neck_flexion": (-40, -10)},
        {"hip_flexion": (-25, 0), "hip_abduction": (0, 25), "knee_flexion": (10, 90)},
        arms=("overhead", "reaching_up"),
        pitch=(-120, -30),
        alike=0.8,
    ),
}  # fmt: skip

#: Ranges of the angles that a family or an arm pose does not define.
DEFAULT_RANGES: Ranges = {
    "trunk_flexion": (-5, 10),
    "trunk_bend": (-6, 6),
    "trunk_twist": (-8, 8),
    "neck_flexion": (-20, 25),
    "neck_bend": (-12, 12),
    "neck_twist": (-40, 40),
    "forearm_pronation": (-50, 50),
    "wrist_flexion": (-25, 30),
    "finger_curl": (0, 60),
    "hip_abduction": (-3, 10),
    "hip_rotation": (-8, 20),
    "ankle_dorsiflexion": (-15, 12),
}
