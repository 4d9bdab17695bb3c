from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data.video import Video
from hamipose.data.video_file import VideoFile
from hamipose.errors import InputError


@pytest.mark.parametrize(("ending", "first"), [("mp4", b"ftyp"), ("webm", b"\x1a\x45\xdf\xa3")])
def test_frames_can_be_read_again_in_their_order(tmp_path: Path, ending: str, first: bytes):
    greys = [20, 90, 160, 230]
    with VideoFile(tmp_path / "new" / f"v.{ending}", 12.5) as video:
        for grey in greys:
            video.add(np.full((49, 63, 3), grey, np.uint8))  # odd sides
    assert video.frames == 4
    assert first in video.path.read_bytes()[:8]
    again = Video(str(video.path))
    again.prepare()
    assert [again[i].image.shape for i in range(len(again))] == [(48, 62, 3)] * 4
    np.testing.assert_allclose([again[i].image.mean() for i in range(4)], greys, atol=6)
    assert cv2.VideoCapture(str(video.path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)


def test_red_stays_red(tmp_path: Path):
    with VideoFile(tmp_path / "v.mp4", 10.0) as video:
        video.add(np.broadcast_to(np.array([220, 20, 20], np.uint8), (48, 64, 3)).copy())
    again = Video(str(video.path))
    again.prepare()
    assert again[0].image[..., 0].mean() > 150 > 80 > again[0].image[..., 2].mean()


def test_no_frame_no_file(tmp_path: Path):
    with VideoFile(tmp_path / "v.mp4", 10.0):
        pass
    assert not (tmp_path / "v.mp4").exists()


def test_what_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected a name in \.mp4 or \.webm"):
        VideoFile(tmp_path / "v.avi", 10.0)
    with VideoFile(tmp_path / "v.mp4", 10.0) as video:
        video.add(np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="frame 1 is 32 x 48 px, expected 64 x 48"):
            video.add(np.zeros((48, 32, 3), np.uint8))
