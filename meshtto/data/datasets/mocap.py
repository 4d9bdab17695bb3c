"""Studio recordings: clips of one person with 17 joints in pixels and in metres, and a mesh where one was fitted."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from roma import rotvec_to_rotmat

from hamipose.data.decode import UnreadableImage
from hamipose.data.video_frames import VideoDecoder
from hamipose.errors import InputError
from meshtto.data.base import MeshDataset, box_of_joints, unknown_mesh
from meshtto.joints import MOCAP17_SLOTS, OPENPOSE25
from meshtto.types import MeshSample

__all__ = ["MocapClip", "MocapClips", "fitted_focal_px"]

_SLOTS = np.array(MOCAP17_SLOTS) + len(OPENPOSE25)


@dataclass
class MocapClip:
    """The used frames of one recording by one camera.

    Attributes:
        video: the recording.
        pictures: where extracted pictures would be: this, six digits and .jpg; used where they are there.
        first: number of the picture of frame 0.
        frames: numbers of the used frames.
        joints_px, joints_m: of the 17 joints; metres in the camera's axes.
        focal_px: of the camera.
        pose: axis-angle in the camera's axes, where somebody fitted SMPL.
        shape: coefficients.
    """

    video: Path
    pictures: Path
    first: int
    frames: Int[np.ndarray, " frame"]
    joints_px: Float[np.ndarray, "frame 17 2"]
    joints_m: Float[np.ndarray, "frame 17 3"]
    focal_px: float
    pose: Float[np.ndarray, "frame 72"] | None = None
    shape: Float[np.ndarray, "10"] | None = None

    def picture(self, row: int) -> Path:
        """Where the extracted picture of a row would be."""
        number = int(self.frames[row]) + self.first
        return self.pictures.with_name(f"{self.pictures.name}{number:06d}.jpg")


def fitted_focal_px(
    joints_px: Float[np.ndarray, "*any joint 2"], joints_m: Float[np.ndarray, "*any joint 3"], where: str
) -> float:
    """The focal length by which these joints are seen as these pixels: least squares of u = f X / Z + c.

    Raises:
        InputError: they are no picture of each other (more than 10 px apart on average); `where` names them.
    """
    seen = joints_m.reshape(-1, 3)
    pixels = joints_px.reshape(-1, 2)
    ratio = seen[:, :2] / seen[:, 2:]
    middle, centre = ratio.mean(0), pixels.mean(0)
    focal = float(((ratio - middle) * (pixels - centre)).sum() / ((ratio - middle) ** 2).sum())
    left = np.linalg.norm((ratio - middle) * focal + centre - pixels, axis=1).mean()
    if not (focal > 0 and left < 10):
        raise InputError(
            f"2D and 3D joints of {where} do not belong together (focal {focal:.0f} px, {left:.0f} px apart)"
        )
    return focal


class MocapClips(MeshDataset):
    """People of clips, one after the other. Made by the data sets' own classes.

    Attributes:
        times_ms: when each frame of a video is shown, so that a jump in it can be confirmed; None: not known.
    """

    times_ms: np.ndarray | None = None
    occluders = True

    def __init__(self) -> None:
        self._decoder = VideoDecoder()

    def clips(self) -> list[MocapClip]:
        """Reads the annotations."""
        raise NotImplementedError

    @cached_property
    def _clips(self) -> list[MocapClip]:
        found = [clip for clip in self.clips() if len(clip.frames)]
        if not found:
            raise InputError(f"{type(self).__name__} found no frame to use; check the folder and the options")
        return found

    @cached_property
    def _ends(self) -> Int[np.ndarray, " clip"]:
        return np.cumsum([len(clip.frames) for clip in self._clips])

    def prepare(self) -> None:
        """Reads the annotations and looks for the first clip's pictures."""
        clip = self._clips[0]
        if not clip.picture(0).is_file() and not clip.video.is_file():
            raise InputError(f"neither picture {clip.picture(0)} nor video {clip.video} exists; check the data folder")

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
        box = box_of_joints(pixels.astype(np.float64), confidence)
        path = clip.picture(row)
        if path.is_file():
            image, reduction = self.decode(path, box)
            name = str(path)
        elif clip.video.is_file():
            image, reduction = self._decoder.frame(clip.video, int(clip.frames[row]), self.times_ms), 1
            name = f"{clip.video}#{int(clip.frames[row])}"
        else:
            raise UnreadableImage(f"neither picture {path} nor video {clip.video} exists; check the data folder")
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
