"""The training part of MPI-INF-3DHP in its official format.

``S<n>/Seq<k>/annot.mat`` contains, per camera, ``annot2`` (28 joints in pixels) and ``annot3`` (millimeters in camera
axes); ``S<n>/Seq<k>/imageSequence/video_<c>.avi`` or extracted ``imageFrames/video_<c>/frame_000001.jpg``.
"""

from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.io.matlab_file import read_matlab
from meshtto.data.base import check_evidence
from meshtto.data.datasets.mocap import MocapClip, MocapClips, fit_focal_px

__all__ = ["MpiInf3dhp"]

_PICKED = [4, 18, 19, 20, 23, 24, 25, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]
_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # the others are on the ceiling
_HOW = "get MPI-INF-3DHP at https://vcai.mpi-inf.mpg.de/3dhp-dataset (non-commercial)"


class MpiInf3dhp(MocapClips):
    """People of MPI-INF-3DHP's training part from eight cameras, if they are entirely in view.

    Args:
        root: folder with ``S1`` … ``S8``.
        subjects: subjects to use; default: all.
        size: width and height of the images, used to skip people who are partly outside.
        evidence: 2D joints for use at test time: "truth" or "none".
        frame_stride: use every n-th frame.
        occluders: whether training adds occluders to these people.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        root: str,
        subjects: list[int] | None = None,
        size: tuple[int, int] = (2048, 2048),
        evidence: str = "truth",
        frame_stride: int = 10,
        occluders: bool = True,
        cache: bool = False,
    ):
        super().__init__()
        if check_evidence(evidence) == "detector":
            raise UserError("evidence is 'detector', but MPI-INF-3DHP has none; expected truth or none")
        if frame_stride < 1:
            raise UserError(f"frame_stride is {frame_stride}, expected at least 1")
        self.root, self.evidence, self.frame_stride, self.size = Path(root), evidence, frame_stride, size
        self.subjects = list(range(1, 9)) if subjects is None else subjects
        self.occluders, self.cache = occluders, cache

    def clips(self) -> list[MocapClip]:
        """Read the joints of all sequences and cameras."""
        clips = []
        for subject in self.subjects:
            paths = sorted((self.root / f"S{subject}").glob("Seq*/annot.mat"))
            if not paths:
                raise UserError(f"{self.root / f'S{subject}'} contains no Seq1/annot.mat; {_HOW}")
            for path in paths:
                clips += self._sequence(path)
        return clips

    def _sequence(self, path: Path) -> list[MocapClip]:
        read = read_matlab(path, ["annot2", "annot3"], "annotation file", f"annot2 and annot3; {_HOW}")
        flat, solid = read["annot2"].reshape(-1), read["annot3"].reshape(-1)
        clips = []
        for camera in _CAMERAS:
            if camera >= min(len(flat), len(solid)):
                raise UserError(f"annotation file {path} has {len(flat)} cameras, expected {_CAMERAS[-1] + 1} or more")
            pixels, meters = np.asarray(flat[camera], np.float32), np.asarray(solid[camera], np.float32) / 1000
            frames = len(pixels)
            if pixels.shape != (frames, 56) or meters.shape != (frames, 84):
                raise UserError(
                    f"camera {camera} of {path} has shapes {pixels.shape}, {meters.shape}, expected 56 and 84 columns"
                )
            if not (np.isfinite(pixels).all() and np.isfinite(meters).all()):
                raise UserError(f"camera {camera} of {path} contains numbers that are not finite; {_HOW}")
            pixels = pixels.reshape(-1, 28, 2)[:, _PICKED]
            meters = meters.reshape(-1, 28, 3)[:, _PICKED]
            inside = ((pixels >= 0) & (pixels < np.array(self.size))).all((1, 2))
            chosen = np.flatnonzero(inside & (np.arange(frames) % self.frame_stride == 0))
            if not len(chosen):
                continue
            folder = path.parent
            clips.append(
                MocapClip(
                    video=folder / "imageSequence" / f"video_{camera}.avi",
                    images=folder / "imageFrames" / f"video_{camera}" / "frame_",
                    first=1,
                    frames=chosen,
                    joints_px=pixels[chosen],
                    joints_m=meters[chosen],
                    focal_px=fit_focal_px(pixels[chosen], meters[chosen], f"camera {camera} of {path}"),
                )
            )
        return clips
