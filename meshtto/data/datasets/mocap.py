"""Studio recordings: clips of one person with 17 joints in pixels and in meters, and optionally a fitted mesh."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage
from hamipose.io.video import VideoDecoder
from meshtto.data.base import MeshDataset, joint_box, unknown_mesh
from meshtto.joints import MOCAP17_SLOTS, OPENPOSE25
from meshtto.types import MeshSample

__all__ = ["MocapClip", "MocapClips", "fit_focal_px"]

_SLOTS = np.array(MOCAP17_SLOTS) + len(OPENPOSE25)


@dataclass
class MocapClip:
    """The used frames of one recording by one camera.

    Attributes:
        video: the recording.
        images: prefix of extracted images, followed by six digits and .jpg; used if they exist.
        first: image number of frame 0.
        frames: indices of the used frames.
        joints_px, joints_m: the 17 joints, in pixels and in meters in camera axes.
        focal_px: focal length.
        pose: SMPL pose in camera axes as axis-angle, if it was fitted.
        shape: SMPL coefficients, if they were fitted.
    """

    video: Path
    images: Path
    first: int
    frames: Int[np.ndarray, " frame"]
    joints_px: Float[np.ndarray, "frame 17 2"]
    joints_m: Float[np.ndarray, "frame 17 3"]
    focal_px: float
    pose: Float[np.ndarray, "frame 72"] | None = None
    shape: Float[np.ndarray, "10"] | None = None

    def image_path(self, row: int) -> Path:
        """Return the path that the extracted image of a row would have."""
        number = int(self.frames[row]) + self.first
        return self.images.with_name(f"{self.images.name}{number:06d}.jpg")


def fit_focal_px(
    joints_px: Float[np.ndarray, "*any joint 2"], joints_m: Float[np.ndarray, "*any joint 3"], where: str
) -> float:
    """Fit the focal length of a camera that projects the joints to these pixels: least squares of u = f X / Z + c.

    Raises:
        UserError: the fit is poor (mean error above 10 px); `where` names the joints.
    """
    seen = joints_m.reshape(-1, 3)
    pixels = joints_px.reshape(-1, 2)
    ratio = seen[:, :2] / seen[:, 2:]
    ratio_mean, pixel_mean = ratio.mean(0), pixels.mean(0)
    focal = float(((ratio - ratio_mean) * (pixels - pixel_mean)).sum() / ((ratio - ratio_mean) ** 2).sum())
    error = np.linalg.norm((ratio - ratio_mean) * focal + pixel_mean - pixels, axis=1).mean()
    if not (focal > 0 and error < 10):
        raise UserError(
            f"2D and 3D joints of {where} do not belong together (focal {focal:.0f} px, {error:.0f} px apart)"
        )
    return focal


class MocapClips(MeshDataset):
    """People of clips in order; base class of the studio data sets.

    Attributes:
        times_ms: display times of a video's frames, to verify seeking; None if unknown.
    """

    times_ms: np.ndarray | None = None
    occluders = True

    def __init__(self) -> None:
        self._decoder = VideoDecoder()

    def clips(self) -> list[MocapClip]:
        """Read the annotations."""
        raise NotImplementedError

    @cached_property
    def _clips(self) -> list[MocapClip]:
        clips = [clip for clip in self.clips() if len(clip.frames)]
        if not clips:
            raise UserError(f"{type(self).__name__} has no frames to use; check the folder and the options")
        return clips

    @cached_property
    def _ends(self) -> Int[np.ndarray, " clip"]:
        return np.cumsum([len(clip.frames) for clip in self._clips])

    def prepare(self) -> None:
        """Read the annotations and check that the first clip's images exist."""
        clip = self._clips[0]
        if not clip.image_path(0).is_file() and not clip.video.is_file():
            raise UserError(f"neither image {clip.image_path(0)} nor video {clip.video} exists; check the data folder")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> MeshSample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        clip = self._clips[number]
        row = index - (int(self._ends[number - 1]) if number else 0)
        pixels, confidence = np.zeros((49, 2), np.float32), np.zeros(49, np.float32)
        joints = np.zeros((49, 3), np.float32)
        pixels[_SLOTS], confidence[_SLOTS] = clip.joints_px[row], 1
        joints[_SLOTS] = clip.joints_m[row] - clip.joints_m[row, 0]
        box = joint_box(pixels.astype(np.float64), confidence)
        path = clip.image_path(row)
        if path.is_file():
            image, reduction = self.decode(path, box)
            name = str(path)
        elif clip.video.is_file():
            image, reduction = self._decoder.frame(clip.video, int(clip.frames[row]), self.times_ms), 1
            name = f"{clip.video}#{int(clip.frames[row])}"
        else:
            raise UnreadableImage(f"neither image {path} nor video {clip.video} exists; check the data folder")
        mesh: dict[str, Any] = unknown_mesh()
        if clip.pose is not None and clip.shape is not None:
            turns = rotvec_to_rotmat(torch.from_numpy(clip.pose[row].reshape(24, 3)).double())
            mesh = {"rotations": turns.float().numpy(), "shape": clip.shape.astype(np.float32), "has_mesh": True}
        height, width = image.shape[:2]
        return MeshSample(
            image=image,
            reduction=reduction,
            box_px=box,
            name=name,
            keypoints_px=pixels,
            keypoints_confidence=confidence,
            evidence_px=pixels.copy(),
            evidence_confidence=confidence * (self.evidence == "truth"),
            joints_m=joints,
            joints_confidence=confidence.copy(),
            image_size=np.array([width * reduction, height * reduction], np.float32),
            focal_px=clip.focal_px,
            **mesh,
        )
