"""A raw release into one fast layout: a few large files of crops and one table of labels, whatever the set's own form.

``OUT/<protocol>/<split>/`` is written as :mod:`hamipose.data.catalog.shards` says. A picture is cut to its box with a margin,
so that turned and shifted views still find pixels at their corners, and shrunk where it is larger than a network can
use. Where neither changes it, the file's own bytes are copied.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader, Dataset

from hamipose.config.environment import available_cpus
from hamipose.data.base import KeypointDataset
from hamipose.data.catalog.entries import find_entry
from hamipose.data.catalog.shards import Packed, ShardWriter, record_dtype
from hamipose.data.datasets.prepared import read_split
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage, read_image
from hamipose.types import Sample

__all__ = ["Options", "pack", "prepare", "prepare_split", "space_needed"]

_CHUNK = 64  # neighbors go to one process: frames of a video are read in order


class Options(NamedTuple):
    """How pictures are kept.

    Attributes:
        side: pictures are shrunk until the box's longer side has at most this many pixels.
        margin: side of the square that is kept, in sides of the box. 1.6 shows all that a turn by any angle and a shift
            by 5 % can bring into view.
        quality: of JPEG.
    """

    side: int = 512
    margin: float = 1.6
    quality: int = 95


def pack(source: int, sample: Sample, options: Options, raw: str = "") -> Packed:
    """A sample as it is stored.

    Args:
        source: its position in the data set.
        sample: its picture is cut, shrunk and compressed.
        options: how.
        raw: folder of the release, which names need not repeat.
    """
    height, width = sample.image.shape[:2]
    left, top, right, bottom = _region(sample.box_px, width, height, options.margin)
    shrink = max(1.0, float(max(sample.box_px[2:])) / options.side)
    box = sample.box_px.astype(np.float64)
    keypoints = sample.keypoints_px.astype(np.float64)
    picture = None
    if shrink == 1 and (left, top, right, bottom) == (0, 0, width, height):
        picture = _own_bytes(sample)
    if picture is None:
        image = sample.image[top:bottom, left:right]
        if shrink > 1:
            size = max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        picture = _jpeg(image, options.quality)
        # The center of a picture's first pixel is (0, 0): what is scaled about is its edge, half a pixel before.
        factor = np.array([image.shape[1] / (right - left), image.shape[0] / (bottom - top)])
        keypoints = (keypoints - (left, top) + 0.5) * factor - 0.5
        box = np.concatenate([(box[:2] - (left, top)) * factor, box[2:] * factor])
    return Packed(
        source=source,
        name=sample.name.removeprefix(f"{Path(raw)}/"),
        picture=picture,
        box_px=box.astype(np.float32),
        keypoints_px=keypoints.astype(np.float32),
        visibility=sample.visibility,
    )


def _region(box_px: Float[np.ndarray, "4"], width: int, height: int, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part that is kept: never empty, and no more than there is."""
    center, half = box_px[:2] + box_px[2:] / 2, margin * float(max(box_px[2:])) / 2
    left, top = (int(np.floor(max(0.0, float(c) - half))) for c in center)
    right, bottom = (int(np.ceil(min(side, float(c) + half))) for c, side in zip(center, (width, height), strict=True))
    if left >= right or top >= bottom:  # the box lies outside the picture
        return 0, 0, width, height
    return left, top, right, bottom


def _own_bytes(sample: Sample) -> bytes | None:
    """The bytes of the JPEG file that the sample names, if its picture is just that."""
    path = Path(sample.name.partition("#")[0])
    if path.suffix.lower() not in (".jpg", ".jpeg") or not path.is_file():
        return None
    same = np.array_equal(read_image(path), sample.image)  # data sets may turn or cut what they read
    return path.read_bytes() if same else None


def _jpeg(image: UInt8[np.ndarray, "height width 3"], quality: int) -> bytes:
    """Compressed with colors at full resolution."""
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


class _Packing(Dataset):
    """A data set whose items are packed, or a line that says why they cannot be."""

    def __init__(self, dataset: KeypointDataset, options: Options, raw: str):
        self.dataset = dataset
        self.options = options
        self.raw = raw

    def __getitem__(self, index: int) -> Packed | str | UserError:
        try:
            return pack(index, self.dataset[index], self.options, self.raw)
        except UnreadableImage as error:
            return str(error)
        except UserError as error:  # raised where it is one line: a loading process would wrap it
            return error


def _collate(items: list[Any]) -> list[Any]:
    return items


def space_needed(dataset: KeypointDataset, done: int, options: Options, probes: int = 16) -> int:
    """Bytes that the samples from number `done` on will take, judged by a few of them."""
    left = len(dataset) - done
    if left <= 0:
        return 0
    packing = _Packing(dataset, options, "")
    tried = [packing[int(i)] for i in np.unique(np.linspace(done, len(dataset) - 1, probes).astype(int))]
    sizes = [len(t.picture) + len(t.name) for t in tried if isinstance(t, Packed)]
    average = sum(sizes) / len(sizes) if sizes else 0
    return int(left * 1.1 * average + len(dataset) * 2 * record_dtype(len(dataset.skeleton)).itemsize)


def prepare_split(
    dataset: KeypointDataset,
    folder: Path,
    settings: dict[str, Any],
    options: Options,
    raw: str = "",
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Write one split, or what is missing of it.

    Args:
        dataset: the raw split.
        folder: where to.
        settings: what it is, for the record; options are added.
        options: how pictures are kept.
        raw: folder of the release.
        workers: processes that read and compress; 0 does it here.
        progress: show a bar.

    Returns:
        What ``split.json`` says.

    Raises:
        UserError: the raw release is not as expected, or the folder holds something else.
    """
    settings = {**settings, **options._asdict(), "count": len(dataset)}
    if (folder / "split.json").exists():
        about = read_split(folder)
        if about["settings"] != settings:
            theirs = {k: v for k, v in about["settings"].items() if settings.get(k) != v}
            raise UserError(f"{folder} is already prepared, with {theirs}; delete it or give another folder")
        return about
    writer = ShardWriter(folder, len(dataset.skeleton), settings)
    try:
        skipped: list[str] = []
        name = f"{folder.parent.name}/{folder.name}"
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not progress) as bar:
            task = bar.add_task(name, total=len(dataset), completed=writer.next_source)
            for item in _items(dataset, writer.next_source, options, raw, workers):
                if isinstance(item, UserError):
                    raise item
                if isinstance(item, str):
                    skipped.append(item)
                else:
                    writer.add(item)
                bar.advance(task)
            writer.finish(
                {
                    "skeleton": dataset.skeleton.name,
                    "skipped": len(dataset) - writer.rows,
                    "skipped_first": skipped[:20],
                },
                tell=lambda file: bar.update(task, description=f"{name}: checksum of {file}"),
            )
    finally:
        writer.close()
    return read_split(folder)


def _items(
    dataset: KeypointDataset, start: int, options: Options, raw: str, workers: int
) -> Iterator[Packed | str | UserError]:
    """Samples in order from `start` on."""
    chunks = [range(first, min(first + _CHUNK, len(dataset))) for first in range(start, len(dataset), _CHUNK)]
    loader = DataLoader(
        _Packing(dataset, options, raw),
        batch_sampler=chunks,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_core,
    )
    for chunk in loader:
        yield from chunk


def _one_core(worker: int) -> None:
    cv2.setNumThreads(0)


def _check_space(datasets: dict[Path, KeypointDataset], options: Options) -> None:
    """Refuse to begin what the disk cannot hold: all splits together, less what is written already."""
    needed = 0
    for folder, dataset in datasets.items():
        part, record = folder / "rows.part", record_dtype(len(dataset.skeleton)).itemsize
        done = part.stat().st_size // record if part.exists() else 0
        needed += 0 if (folder / "split.json").exists() else space_needed(dataset, done, options)
    out = next(iter(datasets)).parent.parent
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if needed > 0.98 * free:
        raise UserError(
            f"{out} will take about {needed / 1e9:.1f} GB more, and its disk has {free / 1e9:.1f} GB free; "
            "make room or give another --out"
        )


def prepare(
    name: str,
    raw: str,
    out: str,
    protocol: str = "strict",
    split: list[str] | None = None,
    side: int = 512,
    margin: float = 1.6,
    quality: int = 95,
    workers: int | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Convert a raw release; what is already done is kept, what was interrupted goes on.

    Args:
        name: of the data set.
        raw: folder of the release.
        out: folder to write to.
        protocol: "strict" or "paper".
        split: which splits; all where not given.
        side: see :class:`Options`.
        margin: see :class:`Options`.
        quality: see :class:`Options`.
        workers: processes that read and compress; one a core where not given.
        progress: show bars and counts.

    Returns:
        What is in each split's ``split.json``.

    Raises:
        UserError: a split is not as expected, the disk is too full, or `out` holds something else.
    """
    if side < 32 or margin < 1 or not 1 <= quality <= 100:
        raise UserError(
            f"side, margin and quality are {side}, {margin} and {quality}; expected at least 32, at least 1, and 1–100"
        )
    if workers is not None and workers < 0:
        raise UserError(f"workers is {workers}, expected 0 or more")
    about = find_entry(name)
    if protocol not in about.splits:
        raise UserError(f"protocol of {name} is {protocol!r}, expected one of {', '.join(about.splits)}")
    unknown = [s for s in split or [] if s not in about.splits[protocol]]
    if unknown:
        raise UserError(f"split of {name} is {unknown[0]!r}, expected one of {', '.join(about.splits[protocol])}")
    options = Options(side, margin, quality)
    datasets = {
        Path(out) / protocol / each: about.dataset(raw, each, protocol) for each in split or about.splits[protocol]
    }
    for dataset in datasets.values():
        dataset.prepare()
    _check_space(datasets, options)
    written = []
    for folder, dataset in datasets.items():
        settings = {"set": name, "protocol": protocol, "split": folder.name}
        many = 0 if len(dataset) < 4 * _CHUNK else available_cpus()
        found = prepare_split(dataset, folder, settings, options, raw, many if workers is None else workers, progress)
        written.append(found)
        if progress:
            size = sum(path.stat().st_size for path in folder.iterdir())
            print(f"{folder}: {found['rows']} people, {found['skipped']} unreadable left out, {size / 1e6:.0f} MB")
            for line in found["skipped_first"]:
                print(f"  left out: {line}")
    return written
