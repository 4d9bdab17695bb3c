"""Judge recovered poses: joints beyond the limits of the built-in body, and limbs that penetrate each other."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.people.collisions import CAPSULES, capsule_penetration_m
from hamipose.synthetic.people.joint_limits import LIMITS, clamp_to_limits
from hamipose.synthetic.people.poses import Pose
from meshtto.body import Body
from meshtto.body.retarget import joint_rotations
from meshtto.joints import SMPL24

__all__ = ["LARGEST_EXCESS_DEG", "LARGEST_PENETRATION_M", "Plausibility", "judge_poses"]

#: A joint may be this far from the nearest pose within its limits.
LARGEST_EXCESS_DEG = 30.0
#: Limbs may penetrate each other by this much, summed over pairs. Of the built-in people, 1 in 1000 exceeds it.
LARGEST_PENETRATION_M = 0.05

_SAMPLES = 20000
#: The judged joints: all but the root, and but toes and fingers, which do not move in the built-in poses.
_JUDGED = [i for i, name in enumerate(SMPL24) if i and not name.endswith(("_foot", "_hand"))]
#: Joints of `SMPL24` at the ends of the capsules of `hamipose.synthetic`, by the names of its bones. The crown is not a
#: joint: the head's capsule ends above the head joint.
_JOINT_OF_BONE = {"root": "pelvis", "spine03": "spine2", "spine01": "spine3", "neck03": "neck", "crown": "head"} | {
    f"{bone}.{end}": f"{side}_{joint}"
    for side, end in (("left", "L"), ("right", "R"))
    for bone, joint in (
        *(("lowerarm01", "elbow"), ("wrist", "wrist"), ("finger3-2", "hand"), ("upperarm02", "shoulder")),
        *(("upperleg02", "hip"), ("lowerleg01", "knee"), ("foot", "ankle"), ("toe3-1", "foot")),
    )
}


class Plausibility(NamedTuple):
    """Judgment of poses.

    Attributes:
        excess_deg: angle between each judged joint (all but root, toes and fingers) and the nearest of 20,000 poses
            within the joint limits.
        penetration_m: penetration depth of limbs, summed over pairs.
    """

    excess_deg: Float[np.ndarray, "pose 19"]
    penetration_m: Float[np.ndarray, " pose"]

    @property
    def implausible(self) -> Bool[np.ndarray, " pose"]:
        """Return which poses exceed one of the two limits."""
        return (self.excess_deg > LARGEST_EXCESS_DEG).any(1) | (self.penetration_m > LARGEST_PENETRATION_M)


@lru_cache(maxsize=1)
def _poses_within_limits() -> Float[Tensor, "pose 19 9"]:
    """Return rotations of poses that cover the joint limits uniformly."""
    rng = np.random.default_rng(0)
    names, ranges = list(LIMITS), np.array(list(LIMITS.values()), float)
    angles = rng.uniform(ranges[:, 0], ranges[:, 1], (_SAMPLES, len(names)))
    poses = [Pose("uniform", clamp_to_limits(dict(zip(names, row, strict=True)))) for row in angles.tolist()]
    rotations = joint_rotations(body_model().articulation, poses, [0.0] * len(poses))
    return torch.from_numpy(rotations[:, _JUDGED].reshape(len(poses), -1, 9)).float()


def _excess_deg(rotations: Float[Tensor, "pose 24 3 3"]) -> Float[np.ndarray, "pose 19"]:
    allowed = _poses_within_limits()
    found = rotations[:, _JUDGED].flatten(2).float()
    # The trace of A^T B is the sum of products of their entries, and 1 + 2 cos of the angle between them.
    traces = [(found[:, joint] @ allowed[:, joint].T).amax(1) for joint in range(allowed.shape[1])]
    return np.degrees(np.arccos(np.clip((torch.stack(traces, 1).double().numpy() - 1) / 2, -1.0, 1.0)))


def judge_poses(rotations: Float[Tensor, "pose 24 3 3"], body: Body) -> Plausibility:
    """Judge poses, independently of the shape: penetration is that of a person of mean shape.

    Args:
        rotations: rotations of SMPL's 24 joints relative to their parents; the root's is not judged.
        body: body whose skeleton is posed. Radii of limbs are those of an adult of 1.63 m.
    """
    with torch.no_grad():
        skeleton = body(rotations.float(), rotations.new_zeros(len(rotations), 10).float())[2].double().numpy()
    place = {bone: skeleton[:, SMPL24.index(joint)] for bone, joint in _JOINT_OF_BONE.items()}
    place["crown"] = place["crown"] + 0.6 * (place["crown"] - place["neck03"])
    start_m = np.stack([place[start] for start, _, _ in CAPSULES.values()], 1)
    end_m = np.stack([place[end] for _, end, _ in CAPSULES.values()], 1)
    return Plausibility(_excess_deg(rotations), capsule_penetration_m(start_m, end_m))
