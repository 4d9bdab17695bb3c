"""Arm poses as ranges of joint angles; see `joint_limits` for zero and sign of the angles."""

from hamipose.synthetic.people.joint_limits import Ranges

__all__ = ["ARM_POSES"]

#: Angle ranges of arm poses.
ARM_POSES: dict[str, Ranges] = {
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
    "hands_in_front": {
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
