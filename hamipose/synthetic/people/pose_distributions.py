"""What joints allow and what people do with them: limits, and families of poses as ranges of joint angles.

Signs and zero of the angles: see `poses`.
"""

from dataclasses import dataclass

__all__ = ["ARM", "ARMS", "FAMILIES", "LEG", "LIMITS", "REST", "TRUNK", "Ranges"]

Number = float | int
Ranges = dict[str, tuple[Number, Number]]

#: Limits of the angles of the trunk and the neck, of an arm, of a leg.
TRUNK: Ranges = {
    "trunk_flexion": (-40.0, 70.0),
    "trunk_bend": (-30.0, 30.0),  # to the left
    "trunk_twist": (-40.0, 40.0),  # to the left
    "neck_flexion": (-40.0, 45.0),
    "neck_bend": (-30.0, 30.0),
    "neck_twist": (-65.0, 65.0),
}
ARM: Ranges = {
    "shoulder_elevation": (4.0, 174.0),  # upper arm away from hanging, whatever the direction
    "shoulder_plane": (-70.0, 125.0),  # that direction: 0 sideways, 90 forward, -90 backward
    "shoulder_rotation": (-75.0, 75.0),  # inward
    "elbow_flexion": (0.0, 145.0),
    "forearm_pronation": (-70.0, 70.0),
    "wrist_flexion": (-55.0, 60.0),
    "finger_curl": (0.0, 80.0),
}
LEG: Ranges = {
    "hip_flexion": (-25.0, 128.0),
    "hip_abduction": (-15.0, 75.0),
    "hip_rotation": (-30.0, 45.0),  # outward
    "knee_flexion": (0.0, 145.0),
    "ankle_dorsiflexion": (-45.0, 25.0),
}

#: Range of every angle. Limb angles exist twice, as ``left_...`` and ``right_...``.
LIMITS: Ranges = {
    **TRUNK,
    **{f"{side}_{name}": limits for side in ("left", "right") for name, limits in {**ARM, **LEG}.items()},
}


@dataclass(frozen=True)
class _Family:
    weight: float
    trunk: Ranges
    leg: Ranges
    other_leg: Ranges | None = None  # None: the same ranges, drawn again
    arms: tuple[str, ...] = ()  # empty: any
    pitch: tuple[Number, Number] = (-4.0, 8.0)
    roll: tuple[Number, Number] = (-4.0, 4.0)
    airborne: bool = False
    seated: bool = False
    alike: float = 0.3  # chance that both legs share their angles


#: Ways to hold one arm.
ARMS: dict[str, Ranges] = {
    "hanging": {
        "shoulder_elevation": (8, 28),
        "shoulder_plane": (-20, 60),
        "shoulder_rotation": (-10, 35),
        "elbow_flexion": (2, 35),
    },
    "swinging_forward": {
        "shoulder_elevation": (18, 55),
        "shoulder_plane": (65, 95),
        "shoulder_rotation": (-10, 25),
        "elbow_flexion": (15, 100),
    },
    "swinging_back": {
        "shoulder_elevation": (18, 50),
        "shoulder_plane": (-70, -40),
        "shoulder_rotation": (-15, 25),
        "elbow_flexion": (10, 90),
    },
    "on_hip": {
        "shoulder_elevation": (38, 55),
        "shoulder_plane": (-30, 5),
        "shoulder_rotation": (45, 70),
        "elbow_flexion": (85, 110),
    },
    "reaching_forward": {
        "shoulder_elevation": (60, 110),
        "shoulder_plane": (50, 105),
        "shoulder_rotation": (-30, 40),
        "elbow_flexion": (0, 60),
    },
    "reaching_up": {
        "shoulder_elevation": (125, 166),
        "shoulder_plane": (0, 100),
        "shoulder_rotation": (-40, 40),
        "elbow_flexion": (0, 60),
    },
    "out_to_the_side": {
        "shoulder_elevation": (60, 110),
        "shoulder_plane": (-20, 35),
        "shoulder_rotation": (-40, 50),
        "elbow_flexion": (0, 50),
    },
    "raised_bent": {
        "shoulder_elevation": (65, 120),
        "shoulder_plane": (-20, 40),
        "shoulder_rotation": (-75, -35),
        "elbow_flexion": (60, 125),
    },
    "hand_to_face": {
        "shoulder_elevation": (35, 75),
        "shoulder_plane": (50, 90),
        "shoulder_rotation": (0, 30),
        "elbow_flexion": (110, 138),
    },
    "behind_head": {
        "shoulder_elevation": (105, 140),
        "shoulder_plane": (0, 35),
        "shoulder_rotation": (-75, -40),
        "elbow_flexion": (110, 140),
    },
    "across_the_chest": {
        "shoulder_elevation": (35, 65),
        "shoulder_plane": (75, 110),
        "shoulder_rotation": (35, 70),
        "elbow_flexion": (80, 120),
    },
    "behind_the_back": {
        "shoulder_elevation": (25, 45),
        "shoulder_plane": (-65, -35),
        "shoulder_rotation": (35, 70),
        "elbow_flexion": (40, 95),
    },
    "at_work": {
        "shoulder_elevation": (15, 60),
        "shoulder_plane": (40, 95),
        "shoulder_rotation": (-20, 40),
        "elbow_flexion": (50, 115),
    },
    "overhead": {
        "shoulder_elevation": (150, 174),
        "shoulder_plane": (20, 95),
        "shoulder_rotation": (-30, 30),
        "elbow_flexion": (0, 35),
    },
    "wound_up": {
        "shoulder_elevation": (65, 115),
        "shoulder_plane": (-45, 0),
        "shoulder_rotation": (-75, -20),
        "elbow_flexion": (30, 115),
    },
    "anywhere": {
        "shoulder_elevation": (15, 160),
        "shoulder_plane": (-45, 110),
        "shoulder_rotation": (-60, 60),
        "elbow_flexion": (0, 130),
    },
}

_UPRIGHT: Ranges = {"trunk_flexion": (-8, 15), "trunk_bend": (-10, 10), "trunk_twist": (-15, 15)}
_STRAIGHT: Ranges = {
    "hip_flexion": (-8, 10),
    "hip_abduction": (-3, 10),
    "hip_rotation": (-5, 20),
    "knee_flexion": (0, 12),
}

#: What the whole body does.
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
        arms=("swinging_forward", "swinging_back", "hanging", "hanging", "at_work"),
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
        arms=("hanging", "at_work", "at_work", "reaching_forward", "hand_to_face", "across_the_chest", "reaching_up"),
        pitch=(-18, 5),
        seated=True,
        alike=0.5,
    ),
    "squatting": _Family(
        0.05,
        {"trunk_flexion": (10, 45), "trunk_twist": (-15, 15)},
        {"hip_flexion": (85, 118), "hip_abduction": (8, 32), "hip_rotation": (0, 30), "knee_flexion": (90, 138)},
        arms=("reaching_forward", "at_work", "hanging", "anywhere"),
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
        arms=("hanging", "reaching_forward", "reaching_forward", "at_work", "on_hip"),
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
        arms=("hanging", "reaching_forward", "at_work", "swinging_back", "anywhere"),
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

#: Ranges of the angles that a family or a way to hold an arm leaves open.
REST: Ranges = {
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
