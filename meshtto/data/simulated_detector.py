"""Simulated 2D detector: true joints with typical detector errors, reproducible for each image."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hamipose.errors import UserError
from hamipose.skeletons import SKELETONS
from meshtto.joints import JOINTS24, JOINTS49, OPENPOSE25, joints_named

__all__ = ["Detector", "DetectorDraws"]

# Standard deviation of COCO annotators per joint, relative to the square root of the person's area (COCO's sigmas; the
# last three are our own estimates).
_SIGMA = dict(
    (
        *(("nose", 0.026), ("eye", 0.025), ("ear", 0.035), ("shoulder", 0.079), ("elbow", 0.072), ("wrist", 0.062)),
        *(("hip", 0.107), ("knee", 0.087), ("ankle", 0.089), ("neck", 0.06), ("toe", 0.08), ("heel", 0.08)),
    )
)
_SWAPPED = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))


@lru_cache
def _joints_of(skeleton: str) -> Float[np.ndarray, "49"]:
    """Return 1 for the joints that a skeleton's keypoints are evidence of."""
    found = np.zeros(len(JOINTS49))
    found[[joint for keypoint in SKELETONS[skeleton].keypoints for joint in joints_named(keypoint)]] = 1
    return found


def _sigma(name: str) -> float:
    return _SIGMA.get(name.rpartition("_")[2], 0.08)


_SIGMAS = np.array([_sigma(name) for name in JOINTS49])


@dataclass(frozen=True)
class Detector:
    """Simulates a detector of the 49 joints.

    The error size is the standard deviation of COCO annotators times `noise`, twice as large for hidden joints. Joints
    outside the image are never found. In some people, a left and a right limb are swapped. The confidence is the
    similarity by which COCO scores a joint, with some noise, so it decreases with the error.

    Attributes:
        noise: error size; 1 is that of annotators.
        outliers: share of joints with four times the error.
        missed: share of visible joints that are not found.
        hidden_missed: share of hidden joints that are not found.
        swapped: share of people with a swapped limb.
        skeletons: names of the skeletons (`hamipose.skeletons.SKELETONS`) of detectors; one is drawn for each person,
            and joints that it lacks are not found. Default: all 49 joints are found.
    """

    noise: float = 1.0
    outliers: float = 0.03
    missed: float = 0.03
    hidden_missed: float = 0.35
    swapped: float = 0.05
    skeletons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("outliers", "missed", "hidden_missed", "swapped"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} of the detector is {getattr(self, name)}, expected a share in [0, 1]")
        if self.noise < 0:
            raise UserError(f"noise of the detector is {self.noise}, expected 0 or more")
        for name in self.skeletons:
            if name not in SKELETONS or not _joints_of(name).any():
                bodies = [known for known in SKELETONS if _joints_of(known).any()]
                raise UserError(f"skeletons of the detector names {name!r}, expected some of {', '.join(bodies)}")

    def detect(
        self,
        keypoints_px: Float[np.ndarray, "49 2"],
        visibility: Int[np.ndarray, "49"],
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, "49 2"], Float[np.ndarray, "49"]]:
        """Return detected joints and confidences; a confidence of 0 means not found.

        The two halves of the 49 joints come from one detector: a limb joint in both halves has the same error in both,
        and is missed or swapped in both.

        Args:
            keypoints_px: true positions.
            visibility: 2 visible, 1 hidden, 0 outside the image.
            rng: random generator of this image.
        """
        found_px, confidence = self.apply(keypoints_px[None], visibility[None], self.draw(rng, 1))
        return found_px[0], confidence[0]

    def draw(self, rng: np.random.Generator, count: int) -> "DetectorDraws":
        """Draw the random numbers of many people."""
        return DetectorDraws(
            error=rng.standard_normal((count, len(_NAMES), 2)),
            luck=rng.random((count, 3, len(_NAMES))),
            swap=rng.random(count),
            limb=rng.integers(len(_SWAPPED), size=count),
            skeleton=rng.integers(max(len(self.skeletons), 1), size=count),
        )

    def apply(
        self,
        keypoints_px: Float[np.ndarray, "person 49 2"],
        visibility: Int[np.ndarray, "person 49"],
        draws: "DetectorDraws",
    ) -> tuple[Float[np.ndarray, "person 49 2"], Float[np.ndarray, "person 49"]]:
        """Return detected joints and confidences of many people, as :meth:`detect` does for one.

        Args:
            keypoints_px: true positions.
            visibility: 2 visible, 1 hidden, 0 outside the image.
            draws: their random numbers.
        """
        # A person covers about half of their box.
        area = 0.5 * np.prod(np.maximum(np.ptp(keypoints_px.astype(np.float64), axis=1), 1e-6), axis=1)
        sigma = _SIGMAS * np.sqrt(area)[:, None]
        hidden = visibility < 2
        # Drawn per name, so that joints with the same name in both halves get the same draws.
        luck = draws.luck[..., _NAME_OF]
        far = self.noise * np.where(luck[:, 0] < self.outliers, 4.0, 1.0) * np.where(hidden, 2.0, 1.0)
        error = (far * sigma / np.sqrt(2))[..., None] * draws.error[:, _NAME_OF]
        is_detected = (luck[:, 1] >= np.where(hidden, self.hidden_missed, self.missed)) & (visibility > 0)
        moved = keypoints_px + error
        similarity = np.exp(-0.5 * ((error**2).sum(-1) / (2 * sigma) ** 2))
        confidence = np.where(is_detected, np.clip(similarity * (0.75 + 0.25 * luck[:, 2]), 0.05, 1.0), 0.0)
        order = _ORDERS[np.where(draws.swap < self.swapped, 1 + draws.limb, 0)]
        moved = np.take_along_axis(moved, order[..., None], 1)
        confidence = np.take_along_axis(confidence, order, 1)
        if self.skeletons:
            confidence = confidence * np.stack([_joints_of(name) for name in self.skeletons])[draws.skeleton]
        return moved.astype(np.float32), confidence.astype(np.float32)


class DetectorDraws(NamedTuple):
    """Random numbers of a detector for many people.

    Attributes:
        error: standard normal, two per name of a joint.
        luck: uniform, three per name: whether it is an outlier, whether it is missed, how sure the detector is.
        swap: uniform: whether a limb is swapped.
        limb: which limb.
        skeleton: index of the detector's skeleton.
    """

    error: Float[np.ndarray, "person name 2"]
    luck: Float[np.ndarray, "person 3 name"]
    swap: Float[np.ndarray, " person"]
    limb: Int[np.ndarray, " person"]
    skeleton: Int[np.ndarray, " person"]

    def rows(self, rows: slice | np.ndarray) -> "DetectorDraws":
        """Return the numbers of some of the people."""
        return DetectorDraws(*(values[rows] for values in self))


def _swapped_order(limb: tuple[str, ...]) -> Int[np.ndarray, "49"]:
    """Return the order of the joints in which the left and right joints of a limb are exchanged."""
    order = np.arange(len(JOINTS49))
    for names in (OPENPOSE25, JOINTS24):
        for joint in limb:
            left, right = (
                next(JOINTS49.index(name) for name in names if name.endswith(f"{side}_{joint}"))
                for side in ("left", "right")
            )
            order[[left, right]] = right, left
    return order


#: Order of the joints without a swap, and with each limb swapped.
_ORDERS = np.stack([np.arange(len(JOINTS49)), *map(_swapped_order, _SWAPPED)])
_PLAIN = [name.removeprefix("openpose_") for name in JOINTS49]
_NAMES = sorted(set(_PLAIN))
_NAME_OF = np.array([_NAMES.index(name) for name in _PLAIN])
