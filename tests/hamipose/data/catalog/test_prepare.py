"""Prepare, check and show a data set: interruptions, packing, and errors."""

import io
import json
import multiprocessing
import pickle
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from hamipose.cli import main
from hamipose.data import CocoKeypoints, DomainAdaptation, Prepared, Unlabeled
from hamipose.data.catalog.check import check
from hamipose.data.catalog.entries import CATALOG, CatalogEntry, RequiredFiles
from hamipose.data.catalog.packing import PackingOptions, pack_sample
from hamipose.data.catalog.prepare import prepare
from hamipose.data.catalog.shards import PackedSample, ShardWriter, record_dtype
from hamipose.data.datasets.prepared import open_split
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, compose, crop_matrix
from hamipose.geometry.crops import warp_crop
from hamipose.skeletons import BODY16
from hamipose.types import Sample

SPLITS = {s: {"annotations": "annotations.json", "box": "person", "skeleton": "body16", **o} for s, o in {
    "train": {"count": 16}, "test": {"start": 16},
}.items()}  # fmt: skip


@pytest.fixture(autouse=True)
def dots_in_catalog(monkeypatch: pytest.MonkeyPatch):
    """Add the dots to the catalog."""
    entry = CatalogEntry(
        title="Dots",
        loader="CocoKeypoints",
        site="https://example.org/dots",
        obtain="not available",
        terms="none",
        files=(RequiredFiles("annotations.json", "labels", 1), RequiredFiles("images/*.png", "images", 24)),
        splits={"strict": SPLITS},
        counts={"strict": {"train": 16, "test": 8}},
    )
    monkeypatch.setitem(CATALOG, "dots", entry)


@pytest.fixture
def light(dots: Path) -> str:
    return str(dots / "light")


@pytest.fixture
def prepared_root(light: str, tmp_path: Path) -> Path:
    """Return the folder of the prepared dots."""
    prepare("dots", light, str(tmp_path / "out"), workers=0, progress=False)
    return tmp_path / "out"


def same_crop(a: Sample, b: Sample, size: int = 32) -> float:
    """Return the mean difference of the plain crops in gray levels."""
    first, second = (warp_crop(s.image, crop_matrix(s.box_px, size), size).astype(float) for s in (a, b))
    return float(np.abs(first - second).mean())


def test_prepared_samples_equal_raw_samples(light: str, prepared_root: Path):
    for split, count in (("train", 16), ("test", 8)):
        raw, packed = CocoKeypoints(light, **SPLITS[split]), Prepared(str(prepared_root), split)
        packed.prepare()
        assert len(raw) == len(packed) == count
        for i in range(count):
            a, b = raw[i], packed[i]
            assert same_crop(a, b) < 3  # JPEG
            to_crop = [crop_matrix(s.box_px, 256) for s in (a, b)]
            points = [(m[:, :2] @ s.keypoints_px.T).T + m[:, 2] for m, s in zip(to_crop, (a, b), strict=True)]
            np.testing.assert_allclose(points[0], points[1], atol=1e-3)
            assert a.visibility.tolist() == b.visibility.tolist()
            assert Path(light) / b.name == Path(a.name)


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_hands_are_prepared_under_both_protocols(tmp_path: Path, protocol: str):
    """RHD has two hands per image; "paper" mirrors the right ones."""
    rng, annotations = np.random.default_rng(0), {}
    for folder in ("training", "evaluation"):
        (tmp_path / "raw" / folder / "color").mkdir(parents=True)
        for number in range(2):
            middle = np.array([[90, 160]] * 21 + [[230, 160]] * 21)
            uv = np.column_stack([middle + rng.uniform(-40, 40, (42, 2)), np.ones(42)])
            annotations[number] = {"uv_vis": uv, "xyz": np.ones((42, 3)), "K": np.eye(3)}
            noise = cv2.GaussianBlur(rng.integers(0, 256, (320, 320, 3), dtype=np.uint8), (0, 0), 4)
            cv2.imwrite(str(tmp_path / "raw" / folder / "color" / f"{number:05d}.png"), noise)
        (tmp_path / "raw" / folder / f"anno_{folder}.pickle").write_bytes(pickle.dumps(annotations))
    out = str(tmp_path / "out")
    prepare("rhd", str(tmp_path / "raw"), out, protocol=protocol, workers=0, progress=False)
    for split in ("train", "test"):
        raw = open_split("rhd", tmp_path / "raw", split, protocol)
        packed = open_split("rhd", out, split, protocol)
        assert isinstance(packed, Prepared)
        assert len(raw) == len(packed) == 4
        mirrored = 0
        for i in range(4):
            a, b = raw[i], packed[i]
            assert same_crop(a, b, 64) < 2
            a_crop, b_crop = crop_matrix(a.box_px, 64), crop_matrix(b.box_px, 64)
            np.testing.assert_allclose(
                apply_points(a_crop, a.keypoints_px.astype(float)),
                apply_points(b_crop, b.keypoints_px.astype(float)),
                atol=1e-3,
            )
            mirrored += b.name.endswith("#mirrored")
        assert mirrored == (2 if protocol == "paper" else 0)


def test_unchanged_jpeg_is_stored_as_is(tmp_path: Path):
    box = np.array([0, 0, 60, 40], np.float32)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    image = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
    fields = {"keypoints_px": np.ones((16, 2), np.float32), "visibility": np.ones(16, np.int64)}
    sample = Sample(np.ascontiguousarray(image), box, str(tmp_path / "a.jpg"), **fields)
    packed = pack_sample(0, sample, PackingOptions())
    assert packed.jpeg == (tmp_path / "a.jpg").read_bytes()
    assert packed.keypoints_px.tolist() == sample.keypoints_px.tolist()
    mirrored = Sample(np.ascontiguousarray(image[:, ::-1]), box, sample.name, **fields)
    assert pack_sample(0, mirrored, PackingOptions()).jpeg != packed.jpeg  # the file differs from the sample


@pytest.mark.parametrize("side", [40, 64, 512])
def test_keypoints_follow_the_reduced_image(side: int):
    """A dot lies where its keypoint says, in the raw image and in the stored one."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = rng.uniform(90, 150, 2)
        image = np.zeros((240, 320, 3), np.uint8)
        cv2.circle(image, tuple(round(16 * v) for v in point), 16 * 6, (255, 255, 255), -1, cv2.LINE_AA, 4)
        box = np.array([60.3, 50.7, 120.0, 131.0], np.float32)
        keypoints = np.tile(point, (16, 1)).astype(np.float32)
        stored = pack_sample(
            3, Sample(image, box, "dot", keypoints_px=keypoints, visibility=np.full(16, 2)), PackingOptions(side)
        )
        image = cv2.imdecode(np.frombuffer(stored.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).astype(float)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        light = np.where(image > 40, image, 0)
        center = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
        assert np.abs(center - stored.keypoints_px[0]).max() < 0.25
        assert max(stored.box_px[2:]) <= side * 1.01
        assert max(image.shape) <= 1.6 * max(stored.box_px[2:]) + 2


def test_margin_contains_rotated_views(tmp_path: Path):
    """With a margin of 1.6, a view rotated by 45° and shifted by 5 % is the same from the stored image."""
    from hamipose.geometry.affine import augment_matrix

    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8), (0, 0), 3)
    box = np.array([100, 110, 80, 70], np.float32)
    sample = Sample(image, box, "x", keypoints_px=np.ones((16, 2), np.float32), visibility=np.ones(16, np.int64))
    stored = pack_sample(0, sample, PackingOptions(quality=100))
    small = cv2.imdecode(np.frombuffer(stored.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert small.shape[0] <= 130
    turned = augment_matrix(64, rotation_deg=45.0, translate_frac=(0.05, 0.05))
    views = [
        warp_crop(np.ascontiguousarray(i), compose(turned, crop_matrix(b, 64)), 64).astype(float)
        for i, b in ((image, box), (small, stored.box_px))
    ]
    assert np.abs(views[0] - views[1]).max() < 8


def test_training_reads_prepared_sets(prepared_root: Path):
    data = DomainAdaptation(
        Prepared(str(prepared_root)),
        Unlabeled(Prepared(str(prepared_root), "test")),
        image_size=32,
        batch_size=4,
        steps_per_epoch=2,
        num_workers=2,  # files are opened in the parent process and read in its children
    )
    data.prepare_data()
    data.setup("fit")
    assert data.source[0].name.startswith("images/")
    batches = list(data.train_dataloader())
    assert batches[0].source.image.shape == (4, 3, 32, 32)
    assert batches[1].target is not None


def test_other_skeletons_are_mapped_by_name(prepared_root: Path):
    coco = Prepared(str(prepared_root), skeleton="coco17")[0]
    body = Prepared(str(prepared_root))[0]
    assert coco.visibility[coco_index("nose")] == 0
    wrist = coco_index("left_wrist")
    assert coco.keypoints_px[wrist].tolist() == body.keypoints_px[BODY16.index("left_wrist")].tolist()
    with pytest.raises(UserError, match=r"has the keypoints of body16, none of hand21's"):
        len(Prepared(str(prepared_root), skeleton="hand21"))


def coco_index(name: str) -> int:
    from hamipose.skeletons import COCO17

    return COCO17.index(name)


def test_large_images_are_decoded_reduced(prepared_root: Path):
    full, reduced = Prepared(str(prepared_root)), Prepared(str(prepared_root))
    reduced.decode_side = 8
    a, b = full[0], reduced[0]
    assert b.image.shape[0] == -(-a.image.shape[0] // 4)
    np.testing.assert_allclose((b.keypoints_px + 0.5) * 4 - 0.5, a.keypoints_px, atol=1e-4)


def _prepare_slowly(light: str, out: str) -> None:
    """Prepare the dots slowly enough to be killed."""
    from hamipose.data.catalog import prepare as module

    pack = module.pack_sample

    def pack_slowly(*arguments: object) -> PackedSample:
        time.sleep(0.05)
        return pack(*arguments)

    module.pack_sample, module._CHUNK = pack_slowly, 2
    module.prepare("dots", light, out, workers=0, progress=False)


@pytest.mark.slow
def test_killed_preparation_resumes_identically(light: str, prepared_root: Path, tmp_path: Path):
    out = tmp_path / "again"
    process = multiprocessing.get_context("fork").Process(target=_prepare_slowly, args=(light, str(out)))
    process.start()
    part = out / "strict" / "train" / "rows.part"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (part.exists() and part.stat().st_size > 3 * record_dtype(16).itemsize):
        time.sleep(0.01)
    process.kill()  # SIGKILL
    process.join()
    done = part.stat().st_size // record_dtype(16).itemsize
    assert 3 <= done < 16, "the test must kill it in the middle"
    assert not (part.parent / "split.json").exists()
    with open(part, "ab") as torn:
        torn.write(b"half a record")
    prepare("dots", light, str(out), workers=0, progress=False)
    for split in ("train", "test"):
        resumed, uninterrupted = (
            json.loads((f / "strict" / split / "split.json").read_text()) for f in (out, prepared_root)
        )
        assert resumed == uninterrupted  # includes the checksums of all files
        files = {path.name for path in (out / "strict" / split).iterdir()}
        assert files == {"pictures-00000.bin", "rows.npy", "split.json"}


def person(source: int) -> PackedSample:
    rng = np.random.default_rng(source)
    return PackedSample(
        source,
        f"ä{source}",
        rng.bytes(100),
        np.ones(4, np.float32),
        rng.normal(size=(16, 2)).astype(np.float32),
        np.full(16, 2),
    )


@pytest.mark.parametrize("damage", ["shard cut", "byte turned", "last shard gone"])
def test_incomplete_records_are_removed(tmp_path: Path, damage: str):
    writer = ShardWriter(tmp_path / "a", 16, {"x": 1}, shard_bytes=350)  # three people per file
    for i in range(8):
        writer.add(person(i))
    writer.close()
    last = tmp_path / "a" / "pictures-00002.bin"
    content = bytearray(last.read_bytes())
    if damage == "shard cut":
        last.write_bytes(content[:-5])
    elif damage == "byte turned":
        content[10] ^= 1
        last.write_bytes(content)
    else:
        last.unlink()
    writer = ShardWriter(tmp_path / "a", 16, {"x": 1}, shard_bytes=350)
    assert writer.next_source == writer.count == (7 if damage == "shard cut" else 6)
    straight = ShardWriter(tmp_path / "b", 16, {"x": 1}, shard_bytes=350)
    for i in range(8):
        straight.add(person(i))
        if i >= writer.next_source:
            writer.add(person(i))
    for each in (writer, straight):
        each.finish({})
    assert (tmp_path / "a" / "split.json").read_text() == (tmp_path / "b" / "split.json").read_text()


def test_second_writer_is_rejected(tmp_path: Path):
    first = ShardWriter(tmp_path, 16, {"side": 512})
    with pytest.raises(UserError, match="being written by another process"):
        ShardWriter(tmp_path, 16, {"side": 512})
    first.close()
    with pytest.raises(UserError, match=r"was begun with \{'side': 512\}, requested are \{'side': 256\}"):
        ShardWriter(tmp_path, 16, {"side": 256})


def test_prepared_folder_is_kept_and_other_options_are_rejected(light: str, prepared_root: Path):
    before = (prepared_root / "strict" / "train" / "split.json").stat().st_mtime_ns
    prepare("dots", light, str(prepared_root), workers=0, progress=False)
    assert (prepared_root / "strict" / "train" / "split.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"already prepared with \{'side': 512\}"):
        prepare("dots", light, str(prepared_root), side=256, workers=0, progress=False)


def test_unreadable_images_are_skipped_and_counted(light: str, tmp_path: Path):
    shutil.copytree(light, tmp_path / "raw")
    (tmp_path / "raw" / "images" / "0005.png").write_bytes(b"nothing")
    for workers in (0, 2):
        out = tmp_path / f"out{workers}"
        train, _ = prepare("dots", str(tmp_path / "raw"), str(out), workers=workers, progress=False)
        assert (train["rows"], train["skipped"]) == (15, 1)
        assert "0005.png is not an image" in train["skipped_first"][0]
        assert Prepared(str(out)).records["source"].tolist() == [i for i in range(16) if i != 5]


def test_full_disk_is_reported_before_writing(light: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("hamipose.data.catalog.prepare.shutil.disk_usage", lambda path: usage._replace(free=20_000))
    with pytest.raises(UserError, match=r"needs about .* GB more, but its disk has 0.0 GB free"):
        prepare("dots", light, str(tmp_path / "out"), progress=False)
    assert not list((tmp_path / "out").rglob("*.bin"))


def check_output(*arguments: object, **options: object) -> tuple[bool, str]:
    console = Console(width=140, record=True, file=io.StringIO())
    good = check(*arguments, console=console, **options)
    return good, console.export_text()


def test_check_reports_existing_and_missing_files(light: str, prepared_root: Path, tmp_path: Path):
    good, text = check_output("dots", light)
    assert good, text
    assert "strict/train" in text
    assert "16 people" in text
    good, text = check_output("dots", str(tmp_path / "nowhere"))
    assert not good
    assert "https://example.org/dots" in text
    assert "none" in text
    assert len(text.splitlines()) < 30
    with pytest.raises(UserError, match="is not prepared; leave it out"):
        check_output("dots", str(tmp_path / "nowhere"), deep=True)
    good, text = check_output("dots", str(prepared_root), deep=True)
    assert good
    assert "checksums correct" in text
    shard = prepared_root / "strict" / "test" / "pictures-00000.bin"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert check_output("dots", str(prepared_root))[0]  # the size is right
    good, text = check_output("dots", str(prepared_root), deep=True)
    assert not good
    assert "damaged: pictures-00000.bin" in text


@pytest.mark.parametrize("name", CATALOG)
def test_check_names_the_source_of_every_data_set(name: str, tmp_path: Path):
    """On an empty folder: a short output with an address; every class exists and accepts its options."""
    good, text = check_output(name, str(tmp_path))
    assert not good
    assert "https://" in text or "http://" in text
    assert len(text.splitlines()) <= 40
    for protocol, splits in CATALOG[name].splits.items():
        for split in splits:
            assert open_split(name, tmp_path, split, protocol).skeleton.keypoints


def error(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["data", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_data_commands_and_their_errors(light: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = str(tmp_path / "out")
    assert main(["data", "prepare", "dots", "--raw", light, "--out", out, "--split", "train", "--workers", "0"]) == 0
    assert "16 people, 0 unreadable images skipped" in capsys.readouterr().out
    assert main(["data", "check", "dots", "--root", light]) == 0
    for root in (light, out):
        sheet = str(tmp_path / "sheet.png")
        assert main(["data", "show", "dots", "--root", root, "--out", sheet, "--count", "2", "--size", "64"]) == 0
        assert cv2.imread(sheet).shape == (2 * 64 + 4, 4 * 64 + 12, 3)
    assert "is incomplete" in error(capsys, "check", "dots", "--root", str(tmp_path / "none"))
    assert "data set is 'mnist', expected one of surreal" in error(capsys, "check", "mnist", "--root", out)
    assert "split of dots is 'val'" in error(
        capsys, "show", "dots", "--root", light, "--split", "val", "--out", "a.png"
    )
    assert "protocol of dots is 'x'" in error(
        capsys, "prepare", "dots", "--raw", light, "--out", out, "--protocol", "x"
    )
    assert "expected a file that ends in .png" in error(capsys, "show", "dots", "--root", light, "--out", "a.gif")
    assert "--seed: -1 is too small" in error(capsys, "show", "dots", "--root", light, "--out", "a.png", "--seed", "-1")
    broken = shutil.copytree(light, tmp_path / "broken")
    for image in (broken / "images").iterdir():
        image.write_bytes(b"")
    assert "is not an image" in error(capsys, "show", "dots", "--root", str(broken), "--out", str(tmp_path / "b.png"))
    assert not (tmp_path / "b.png").exists()
    assert "--raw" in error(capsys, "prepare", "dots", "--out", out)
    assert "margin" in error(capsys, "prepare", "dots", "--raw", light, "--out", out, "--margin", "0.5")


def test_damaged_prepared_set_is_rejected(tmp_path: Path, prepared_root: Path):
    with pytest.raises(UserError, match="contains no prepared split"):
        Prepared(str(tmp_path)).prepare()
    shard = prepared_root / "strict" / "train" / "pictures-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match="missing or incomplete"):
        Prepared(str(prepared_root)).prepare()
    (prepared_root / "strict" / "train" / "split.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match="does not have format version 1"):
        Prepared(str(prepared_root)).prepare()
