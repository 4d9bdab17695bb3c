import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data.datasets.footage.video import Video
from hamipose.errors import UserError
from hamipose.io.video import VideoWriter


@pytest.mark.parametrize(("ending", "first"), [("mp4", b"ftyp"), ("webm", b"\x1a\x45\xdf\xa3")])
def test_written_frames_are_read_in_order(tmp_path: Path, ending: str, first: bytes):
    grays = [20, 90, 160, 230]
    with VideoWriter(tmp_path / "new" / f"v.{ending}", 12.5) as video:
        for gray in grays:
            video.add(np.full((49, 63, 3), gray, np.uint8))  # odd sides
    assert video.frames == 4
    assert first in video.path.read_bytes()[:8]
    again = Video(str(video.path))
    again.prepare()
    assert [again[i].image.shape for i in range(len(again))] == [(48, 62, 3)] * 4
    np.testing.assert_allclose([again[i].image.mean() for i in range(4)], grays, atol=6)
    assert cv2.VideoCapture(str(video.path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)


def test_channels_are_rgb(tmp_path: Path):
    with VideoWriter(tmp_path / "v.mp4", 10.0) as video:
        video.add(np.broadcast_to(np.array([220, 20, 20], np.uint8), (48, 64, 3)).copy())
    again = Video(str(video.path))
    again.prepare()
    assert again[0].image[..., 0].mean() > 150 > 80 > again[0].image[..., 2].mean()


def test_no_file_is_written_without_frames(tmp_path: Path):
    with VideoWriter(tmp_path / "v.mp4", 10.0):
        pass
    assert not (tmp_path / "v.mp4").exists()


def test_unsupported_suffixes_and_sizes_raise(tmp_path: Path):
    with pytest.raises(UserError, match=r"use \.mp4 or \.webm"):
        VideoWriter(tmp_path / "v.avi", 10.0)
    with VideoWriter(tmp_path / "v.mp4", 10.0) as video:
        video.add(np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="frame 1 is 32 x 48 px, expected 64 x 48"):
            video.add(np.zeros((48, 32, 3), np.uint8))


_NOISE = """
import resource, sys
import numpy as np
from pathlib import Path
from hamipose.io.video import VideoWriter
from hamipose.errors import UserError

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # no file may grow beyond it
rng, path = np.random.default_rng(0), Path(sys.argv[1])
try:
    with VideoWriter(path, 25.0) as video:
        for _ in range(60):
            video.add(rng.integers(0, 255, (240, 320, 3)).astype(np.uint8))
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_a_failing_encoder_raises_and_leaves_no_file(tmp_path: Path, ending: str):
    path = tmp_path / f"v.{ending}"
    path.write_bytes(b"existing")
    ended = subprocess.run([sys.executable, "-c", _NOISE, str(path)], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"video {path} cannot be written (")
    assert ended.stderr == ""
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"existing"


def test_a_full_disk_raises_while_frames_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """OpenCV 4 does not report lost frames."""
    free = iter([2**30, 2**30, 2**10, 2**10])
    monkeypatch.setattr("hamipose.io.video.free_bytes", lambda path: next(free))
    video = VideoWriter(tmp_path / "v.mp4", 25.0)
    frame = np.zeros((48, 64, 3), np.uint8)
    for _ in range(50):
        video.add(frame)
    with pytest.raises(UserError, match="No space left on device"):
        video.add(frame)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0.5, 12.5, 29.97, 59.94, 240.0])
@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_complete_videos_are_accepted_at_all_rates(tmp_path: Path, ending: str, rate: float):
    with VideoWriter(tmp_path / f"v.{ending}", rate) as video:
        for _ in range(37):
            video.add(np.zeros((48, 64, 3), np.uint8))
    assert video.path.exists()


def test_an_unwritable_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*(exists|Not a directory)"):
        VideoWriter(tmp_path / "file" / "v.mp4", 10.0).add(np.zeros((48, 64, 3), np.uint8))
