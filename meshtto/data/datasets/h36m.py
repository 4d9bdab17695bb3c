"""Human3.6M in its official format, with joints only, or with MoSh's SMPL labels for those who have them.

``S<n>/MyPoseFeatures/D2_Positions/<action>.<camera>.cdf`` (pixels) and ``D3_Positions_mono`` (millimeters in camera
axes), ``S<n>/Videos/<action>.<camera>.mp4`` or images ``S9_Directions_1.60457274_000001.jpg``.
MoSh: ``S<n>/<action>_cam<0 … 3>_aligned.pkl`` with ``new_poses`` (every fifth frame) and ``betas``; not public.
"""

from pathlib import Path

import numpy as np

from hamipose.data.datasets.body.h36m_official import read_pose
from hamipose.errors import UserError
from hamipose.io.safe_pickle import load_pickle
from meshtto.data.base import check_evidence
from meshtto.data.datasets.mocap import MocapClip, MocapClips, fit_focal_px

__all__ = [
    "Human36MMeshes",
]

_SUBJECTS = {"train": (1, 5, 6, 7, 8), "p1": (9, 11), "p2": (9, 11)}
_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
_PICKED = [11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27]
_HOW = "get Human3.6M at http://vision.imar.ro/human3.6m (non-commercial)"


def _read_positions(path: Path, axes: int) -> np.ndarray:
    """Read the 17 joints of one clip, [frame, 17, axes].

    Raises:
        UserError: see :func:`hamipose.data.datasets.body.h36m_official.read_pose`.
    """
    return read_pose(path, axes)[:, _PICKED].astype(np.float32)


class Human36MMeshes(MocapClips):
    """People of Human3.6M.

    Args:
        root: folder with ``S1`` … ``S11``.
        split: "train" (subjects 1, 5, 6, 7, 8), "p1" (9 and 11, all cameras) or "p2" (9 and 11, the frontal camera).
        images: folder of extracted images; missing images are decoded from the videos.
        mosh: folder of MoSh's labels; without it, and for clips it lacks, there are only joints.
        evidence: 2D joints for use at test time: "truth" or "none".
        frame_stride: use every n-th frame; with `mosh` a multiple of five, the stride of its labels.
        occluders: whether training adds occluders to these people.
        cache: keep decoded images in memory.
    """

    times_ms = np.arange(20_000) * 20.0

    def __init__(
        self,
        root: str,
        split: str = "train",
        images: str | None = None,
        mosh: str | None = None,
        evidence: str = "truth",
        frame_stride: int = 5,
        occluders: bool = True,
        cache: bool = False,
    ):
        super().__init__()
        if split not in _SUBJECTS:
            raise UserError(f"split of Human36MMeshes is {split!r}, expected one of {', '.join(_SUBJECTS)}")
        if check_evidence(evidence) == "detector":
            raise UserError("evidence is 'detector', but Human3.6M has none; expected truth or none")
        if frame_stride < 1 or (mosh is not None and frame_stride % 5):
            raise UserError(f"frame_stride is {frame_stride}, expected at least 1, and a multiple of 5 with mosh")
        self.root, self.split, self.evidence, self.frame_stride = Path(root), split, evidence, frame_stride
        self.images = self.root / "images" if images is None else Path(images)
        self.mosh = None if mosh is None else Path(mosh)
        self.occluders, self.cache = occluders, cache

    @property
    def label_body(self) -> str | None:
        """Return SMPL if there are MoSh labels."""
        return None if self.mosh is None else "SMPL"

    def clips(self) -> list[MocapClip]:
        """Read the joints of all videos of the split."""
        clips = []
        for subject in _SUBJECTS[self.split]:
            folder = self.root / f"S{subject}"
            paths = sorted(folder.glob("**/D2_Positions/*.cdf"))
            if not paths:
                raise UserError(f"{folder} contains no MyPoseFeatures/D2_Positions/<action>.<camera>.cdf; {_HOW}")
            for path in paths:
                action, _, camera = path.stem.rpartition(".")
                if self.split != "p2" or camera == _CAMERAS[3]:
                    clips.append(self._clip(folder, path, action, camera))
        return clips

    def _clip(self, folder: Path, path: Path, action: str, camera: str) -> MocapClip:
        flat = _read_positions(path, 2)
        solid = _read_positions(path.parent.parent / "D3_Positions_mono" / path.name, 3) / 1000
        if len(flat) != len(solid):
            raise UserError(f"{path} has {len(flat)} frames, its D3_Positions_mono {len(solid)}; {_HOW}")
        frames = np.arange(0, len(flat), self.frame_stride)
        pose, shape = self._mosh(folder.name, action, camera, len(frames))
        return MocapClip(
            video=folder / "Videos" / f"{path.stem}.mp4",
            images=self.images / f"{folder.name}_{action.replace(' ', '_')}.{camera}_",
            first=1,
            frames=frames,
            joints_px=flat[frames],
            joints_m=solid[frames],
            focal_px=fit_focal_px(flat[frames], solid[frames], str(path)),
            pose=pose,
            shape=shape,
        )

    def _mosh(self, subject: str, action: str, camera: str, count: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        if self.mosh is None or camera not in _CAMERAS:
            return None, None
        path = self.mosh / subject / f"{action}_cam{_CAMERAS.index(camera)}_aligned.pkl"
        if not path.is_file():
            return None, None
        read = load_pickle(path)
        try:
            poses, shape = np.asarray(read["new_poses"], np.float64), np.asarray(read["betas"], np.float64)[:10]
        except (KeyError, TypeError, ValueError, IndexError):
            raise UserError(f"MoSh labels {path} have no new_poses and betas as numbers") from None
        poses = poses[:: self.frame_stride // 5]
        if poses.ndim != 2 or poses.shape[1] != 72 or abs(len(poses) - count) > 1 or len(shape) != 10:
            raise UserError(f"new_poses of {path} have shape {poses.shape}, expected {count} frames of 72 numbers")
        if not (np.isfinite(poses).all() and np.isfinite(shape).all()):
            raise UserError(f"MoSh labels {path} contain numbers that are not finite")
        poses = np.concatenate([poses, poses[-1:]])[:count]  # the last frame may have no label
        return _half_turned(poses).astype(np.float32), shape.astype(np.float32)


def _half_turned(poses: np.ndarray) -> np.ndarray:
    """Rotate the root by half a turn about its own x axis first: MoSh's axes differ from SMPL's."""
    import torch
    from roma import rotmat_to_rotvec, rotvec_to_rotmat

    roots = rotvec_to_rotmat(torch.from_numpy(poses[:, :3])) @ torch.diag(torch.tensor([1.0, -1, -1])).double()
    return np.concatenate([rotmat_to_rotvec(roots).numpy(), poses[:, 3:]], 1)
