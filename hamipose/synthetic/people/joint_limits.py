"""Limits of the joint angles of a body, alone and coupled.

All angles are in degrees; 0 is standing upright, with the arms hanging and the palms towards the thighs. Left and right
limbs have the same signs: positive flexion bends a limb in its natural direction, abduction moves it away from the
trunk.
"""

__all__ = ["ARM_LIMITS", "LEG_LIMITS", "LIMITS", "TRUNK_LIMITS", "Ranges", "clamp_to_limits"]

#: Minimum and maximum of angles by name.
Ranges = dict[str, tuple[float | int, float | int]]

#: Limits of the angles of trunk and neck, of an arm, and of a leg.
TRUNK_LIMITS: Ranges = {
    "trunk_flexion": (-40.0, 70.0),
    "trunk_bend": (-30.0, 30.0),  # to the left
    "trunk_twist": (-40.0, 40.0),  # to the left
    "neck_flexion": (-40.0, 45.0),
    "neck_bend": (-30.0, 30.0),
    "neck_twist": (-65.0, 65.0),
}
ARM_LIMITS: Ranges = {
    "shoulder_elevation": (4.0, 174.0),  # angle between the upper arm and the hanging arm
    "shoulder_plane": (-70.0, 125.0),  # direction of the elevation: 0 sideways, 90 forward, -90 backward
    "shoulder_rotation": (-75.0, 75.0),  # inward
    "elbow_flexion": (0.0, 145.0),
    "forearm_pronation": (-70.0, 70.0),
    "wrist_flexion": (-55.0, 60.0),
    "finger_curl": (0.0, 80.0),
}
LEG_LIMITS: Ranges = {
    "hip_flexion": (-25.0, 128.0),
    "hip_abduction": (-15.0, 75.0),
    "hip_rotation": (-30.0, 45.0),  # outward
    "knee_flexion": (0.0, 145.0),
    "ankle_dorsiflexion": (-45.0, 25.0),
}

#: Limits of all angles. Limb angles exist twice, as ``left_...`` and ``right_...``.
LIMITS: Ranges = {
    **TRUNK_LIMITS,
    **{f"{side}_{name}": limits for side in ("left", "right") for name, limits in {**ARM_LIMITS, **LEG_LIMITS}.items()},
}


def clamp_to_limits(angles: dict[str, float]) -> dict[str, float]:
    """Return the nearest angles within `LIMITS` and within the coupled limits of the joints.

    Muscles that cross two joints and the shape of the shoulder couple the limits: a straight knee prevents full flexion
    of the hip (hamstrings), and the elevation of an arm is limited behind the body and across the chest.
    """
    a = {name: float(min(max(angles[name], low), high)) for name, (low, high) in LIMITS.items()}
    for side in ("left", "right"):
        knee, hip = a[f"{side}_knee_flexion"], f"{side}_hip_flexion"
        a[hip] = min(a[hip], 112.0 + 0.3 * knee)
        if a[hip] < 0:  # the muscles in front of the thigh are stretched
            a[f"{side}_knee_flexion"] = min(knee, 125.0 + a[hip])
        plane, elevation = a[f"{side}_shoulder_plane"], f"{side}_shoulder_elevation"
        if plane < 0:
            a[elevation] = min(a[elevation], 150.0 + 1.5 * plane)
        if plane > 90:
            a[elevation] = min(a[elevation], 160.0 - 1.6 * (plane - 90.0))
            a[elevation] = max(a[elevation], 30.0)
    return a
