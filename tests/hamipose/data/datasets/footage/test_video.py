"""Exact access to frames of videos; each frame of the test videos shows its number."""

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data import Video
from hamipose.data.base import UnlabeledDataset
from hamipose.data.sampling import Pool
from hamipose.errors import UserError
from hamipose.inference.footage import open_footage
from hamipose.io.image_file import UnreadableImage
from hamipose.io.video import VideoDecoder, read_frame_times
from hamipose.types import UnlabeledSample

BITS = 8


def write_video(path: Path, count: int, codec: str = "mp4v") -> Path:
    """Write a video whose frame i shows the number i as black and white bars, one per bit."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (16 * BITS, 64))
    for i in range(count):
        bars = np.array([220 if i >> b & 1 else 30 for b in range(BITS)], np.uint8)
        writer.write(np.ascontiguousarray(np.broadcast_to(np.repeat(bars, 16)[None, :, None], (64, 16 * BITS, 3))))
    writer.release()
    return path


def number(image: np.ndarray) -> int:
    return sum(1 << b for b in range(BITS) if image[32, 16 * b + 8].mean() > 128)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "walk.mp4", 200)


def test_frames_are_exact_in_any_order(video: Path):
    times = read_frame_times(video)
    assert len(times) == 200
    assert np.allclose(np.diff(times), 40)
    order = np.random.default_rng(0).permutation(200)[:60].tolist()
    jumping, walking = VideoDecoder(), VideoDecoder()
    for n in (0, 199, 198, 0, 1, 2, 150, 70, 71, *order):
        assert number(jumping.frame(video, n, times)) == n
        assert number(walking.frame(video, n)) == n
    assert jumping.decoded < walking.decoded / 2


@pytest.mark.parametrize("times", [np.arange(200) * 40 + 30.0, np.arange(200) * 20.0], ids=["shifted", "other rate"])
def test_wrong_frame_times_are_detected(video: Path, times: np.ndarray):
    """Seeking is trusted only if the resulting frame has the requested time."""
    decoder = VideoDecoder()
    for n in (150, 100, 199, 0):
        assert number(decoder.frame(video, n, times)) == n


def test_last_frame_can_be_read_again(video: Path):
    decoder = VideoDecoder()
    for n in (9, 9, 9):
        assert number(decoder.frame(video, n)) == n
    assert decoder.decoded == 10


def test_sequential_reading_decodes_each_frame_once(video: Path):
    decoder = VideoDecoder()
    for n in range(0, 200, 7):
        assert number(decoder.frame(video, n)) == n
    assert decoder.decoded == 197


def _other_process(decoder: VideoDecoder, video: Path, numbers: list[int], found: multiprocessing.Queue) -> None:
    found.put([number(decoder.frame(video, n)) for n in numbers])


def test_forked_process_does_not_affect_the_parent(video: Path):
    decoder = VideoDecoder()
    decoder.frame(video, 20)
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    process = context.Process(target=_other_process, args=(decoder, video, [21, 90, 91], found))
    process.start()
    assert found.get(timeout=60) == [21, 90, 91]
    process.join()
    assert number(decoder.frame(video, 21)) == 21


def test_video_as_a_target(video: Path):
    dataset = Video(str(video), frame_stride=30)
    dataset.prepare()
    assert isinstance(dataset, UnlabeledDataset)
    assert len(dataset) == 7
    for index in (6, 0, 3):
        sample = dataset[index]
        assert type(sample) is UnlabeledSample
        assert number(sample.image) == 30 * index
        assert sample.name == f"{video}#{30 * index}"
        assert sample.box_px.tolist() == [0, 0, 16 * BITS, 64]
    assert Video(str(video), box=[10.0, 5.0, 50.0, 40.0])[0].box_px.tolist() == [10, 5, 50, 40]
    assert dataset[0].image.dtype == np.uint8


def test_colors_are_rgb(tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / "red.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64))
    writer.write(np.full((64, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    assert Video(str(tmp_path / "red.mp4"))[0].image.mean((0, 1)).round().tolist() == pytest.approx([255, 0, 0], abs=6)


def test_damaged_videos_are_rejected(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    def error(path: Path) -> str:
        with pytest.raises(UnreadableImage) as error:
            Video(str(path)).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    half = tmp_path / "half.mp4"
    half.write_bytes(video.read_bytes()[: video.stat().st_size // 2])  # the index is at the end
    assert f"video {half} is truncated, not a video, or in an unsupported format ({half.stat().st_size} " in error(half)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert "is truncated, not a video, or in an unsupported format (8 bytes)" in error(text)
    text.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1234\n")
    assert f"video {text} is a Git LFS pointer" in error(text)
    assert "cannot be opened (No such file or directory)" in error(tmp_path / "nowhere.mp4")
    assert capfd.readouterr().err == ""  # the decoder prints nothing
    decoder = VideoDecoder()
    with pytest.raises(UnreadableImage, match="has 200 frames, frame 200 was requested"):
        decoder.frame(video, 200)
    assert number(decoder.frame(video, 5)) == 5
    for options in ({"frame_stride": 0}, {"box": [0.0, 0.0, 0.0, 5.0]}, {"box": [1.0, 2.0]}):
        with pytest.raises(UserError):
            Video(str(video), **options)


def test_truncated_file_without_index_ends_early(tmp_path: Path):
    path = write_video(tmp_path / "cut.avi", 60, "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    dataset = Video(str(path))
    assert 20 < len(dataset) < 40  # as many as can be decoded, not as the header states
    assert number(dataset[len(dataset) - 3].image) == len(dataset) - 3  # the last ones are truncated
    (line,) = dataset.skipped_messages()
    assert f"{len(dataset)} of 60 frames can be decoded" in line


def test_lost_frames_are_counted(video: Path, tmp_path: Path):
    """The index of an MP4 file is at its end; frames in the middle are overwritten."""
    whole = video.read_bytes()
    damaged = tmp_path / "damaged.mp4"
    start, end = len(whole) // 4, len(whole) // 2
    damaged.write_bytes(whole[:start] + bytes(end - start) + whole[end:])
    assert Video(str(video)).skipped_messages() == []
    dataset = Video(str(damaged))
    assert len(dataset) < 200
    (line,) = dataset.skipped_messages()
    assert line.startswith(f"video {damaged}: {len(dataset)} of 200 frames can be decoded")
    footage = open_footage(str(damaged))
    list(footage.samples)
    assert footage.unreadable[0] == line


def test_container_without_frame_count(tmp_path: Path):
    path = write_video(tmp_path / "walk.webm", 100, "VP80")
    assert Video(str(path)).skipped_messages() == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    dataset = Video(str(path))
    (line,) = dataset.skipped_messages()
    assert f"{len(dataset)} of about 100 frames can be decoded" in line


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".wmv", "WMV2"), (".3gp", "mp4v"), (".ts", "mp4v"), (".m2ts", "MPG2"), (".flv", "FLV1"), (".MTS", "MPG2")],
)
def test_containers_of_cameras_and_phones_are_read(tmp_path: Path, suffix: str, codec: str):
    path = write_video(tmp_path / f"walk{suffix}", 30, codec)
    footage = open_footage(str(path))
    assert footage.is_video
    assert [number(sample.image) for sample in footage.samples] == list(range(30))
    assert footage.unreadable == []


def test_file_name_with_a_colon(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "10:30.mp4").write_bytes(video.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(Video("10:30.mp4")) == 200


def test_unsupported_format_is_reported(tmp_path: Path):
    for name, said in (("a.rm", "format not supported (.rm)"), ("a.cr2", "format not supported (.cr2)")):
        (tmp_path / name).write_bytes(b"\x2eRMF")
        with pytest.raises(UserError) as error:
            open_footage(str(tmp_path / name))
        assert said in str(error.value)


def test_training_replaces_lost_frames(video: Path):
    dataset = Video(str(video))
    dataset._times = np.arange(220) * 40.0  # read when the file was complete
    pool: Pool = Pool([dataset], seed=0, stream=1)
    seen = [pool.read(i).name for i in range(60)]
    assert len(seen) == 60
    assert 0 < int(pool.unreadable.sum()) <= 20
