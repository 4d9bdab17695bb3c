"""Convert a raw release to one fast format: a few large files of crops and one table of labels.

``OUT/<protocol>/<split>/`` is written in the format of :mod:`hamipose.data.catalog.shards`. An image is cropped to its
box with a margin, so that rotated and shifted views have content at their corners, and reduced if it is larger than a
network can use. An image that neither changes is stored with its original bytes.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader, Dataset

from hamipose.config.environment import available_cpus
from hamipose.data.base import KeypointDataset
from hamipose.data.catalog.entries import find_entry
from hamipose.data.catalog.packing import PackingOptions, pack_sample
from hamipose.data.catalog.shards import PackedSample, ShardWriter, record_dtype
from hamipose.data.datasets.prepared import read_split
from hamipose.data.sampling import init_worker
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage

__all__ = [
    "prepare",
]

_CHUNK = 64  # consecutive samples per worker process: frames of a video are read in order


class _Packing(Dataset):
    """The packed samples of a data set; a message for an unreadable image, and a `UserError` as it is."""

    def __init__(self, dataset: KeypointDataset, options: PackingOptions, raw: str):
        self.dataset = dataset
        self.options = options
        self.raw = raw

    def __getitem__(self, index: int) -> PackedSample | str | UserError:
        try:
            return pack_sample(index, self.dataset[index], self.options, self.raw)
        except UnreadableImage as error:
            return str(error)
        except UserError as error:  # raised by the caller: a worker process would wrap it in a traceback
            return error


def _collate(items: list[Any]) -> list[Any]:
    return items


def _estimate_bytes(dataset: KeypointDataset, done: int, options: PackingOptions, probes: int = 16) -> int:
    """Return the approximate size of the samples from index `done` on, estimated from a few of them."""
    remaining = len(dataset) - done
    if remaining <= 0:
        return 0
    packing = _Packing(dataset, options, "")
    tried = [packing[int(i)] for i in np.unique(np.linspace(done, len(dataset) - 1, probes).astype(int))]
    sizes = [len(t.jpeg) + len(t.name) for t in tried if isinstance(t, PackedSample)]
    average = sum(sizes) / len(sizes) if sizes else 0
    return int(remaining * 1.1 * average + len(dataset) * 2 * record_dtype(len(dataset.skeleton)).itemsize)


def _prepare_split(
    dataset: KeypointDataset,
    folder: Path,
    settings: dict[str, Any],
    options: PackingOptions,
    raw: str = "",
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Write one split, or the missing part of it.

    Args:
        dataset: the raw split.
        folder: output folder.
        settings: description of the split for ``split.json``; `options` are added.
        options: options of stored images.
        raw: folder of the release.
        workers: worker processes that read and compress; 0 uses this process.
        progress: show a progress bar.

    Returns:
        The content of ``split.json``.

    Raises:
        UserError: the raw release is not as expected, or the folder contains something else.
    """
    settings = {**settings, **options._asdict(), "count": len(dataset)}
    if (folder / "split.json").exists():
        info = read_split(folder)
        if info["settings"] != settings:
            different = {k: v for k, v in info["settings"].items() if settings.get(k) != v}
            raise UserError(f"{folder} is already prepared with {different}; delete it or give another folder")
        return info
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
                    "skipped": len(dataset) - writer.count,
                    "skipped_first": skipped[:20],
                },
                on_checksum=lambda file: bar.update(task, description=f"{name}: checksum of {file}"),
            )
    finally:
        writer.close()
    return read_split(folder)


def _items(
    dataset: KeypointDataset, start: int, options: PackingOptions, raw: str, workers: int
) -> Iterator[PackedSample | str | UserError]:
    """Yield the samples in order from `start` on."""
    chunks = [range(first, min(first + _CHUNK, len(dataset))) for first in range(start, len(dataset), _CHUNK)]
    loader = DataLoader(
        _Packing(dataset, options, raw),
        batch_sampler=chunks,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=init_worker,
    )
    for chunk in loader:
        yield from chunk


def _check_space(datasets: dict[Path, KeypointDataset], options: PackingOptions) -> None:
    """Check that the disk has space for all splits, without the parts that are already written.

    Raises:
        UserError: it has not.
    """
    needed = 0
    for folder, dataset in datasets.items():
        part, record = folder / "rows.part", record_dtype(len(dataset.skeleton)).itemsize
        done = part.stat().st_size // record if part.exists() else 0
        needed += 0 if (folder / "split.json").exists() else _estimate_bytes(dataset, done, options)
    out = next(iter(datasets)).parent.parent
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if needed > 0.98 * free:
        raise UserError(
            f"{out} needs about {needed / 1e9:.1f} GB more, but its disk has {free / 1e9:.1f} GB free; "
            "free some space or give another --out"
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
    """Convert a raw release; finished parts are kept, and an interrupted conversion is resumed.

    Args:
        name: name in the catalog.
        raw: folder of the release.
        out: output folder.
        protocol: "strict" or "paper".
        split: splits to convert; default: all.
        side: see :class:`PackingOptions`.
        margin: see :class:`PackingOptions`.
        quality: see :class:`PackingOptions`.
        workers: worker processes that read and compress; default: one per CPU.
        progress: show progress bars and counts.

    Returns:
        The content of each split's ``split.json``.

    Raises:
        UserError: a split is not as expected, the disk is too full, or `out` contains something else.
    """
    if side < 32 or margin < 1 or not 1 <= quality <= 100:
        raise UserError(
            f"side, margin and quality are {side}, {margin} and {quality}; expected at least 32, at least 1, and 1–100"
        )
    if workers is not None and workers < 0:
        raise UserError(f"workers is {workers}, expected 0 or more")
    entry = find_entry(name)
    if protocol not in entry.splits:
        raise UserError(f"protocol of {name} is {protocol!r}, expected one of {', '.join(entry.splits)}")
    unknown = [s for s in split or [] if s not in entry.splits[protocol]]
    if unknown:
        raise UserError(f"split of {name} is {unknown[0]!r}, expected one of {', '.join(entry.splits[protocol])}")
    options = PackingOptions(side, margin, quality)
    datasets = {
        Path(out) / protocol / each: entry.dataset(raw, each, protocol) for each in split or entry.splits[protocol]
    }
    for dataset in datasets.values():
        dataset.prepare()
    _check_space(datasets, options)
    written = []
    for folder, dataset in datasets.items():
        settings = {"set": name, "protocol": protocol, "split": folder.name}
        count = workers
        if count is None:
            count = 0 if len(dataset) < 4 * _CHUNK else available_cpus()
        info = _prepare_split(dataset, folder, settings, options, raw, count, progress)
        written.append(info)
        if progress:
            size = sum(path.stat().st_size for path in folder.iterdir())
            print(f"{folder}: {info['rows']} people, {info['skipped']} unreadable images skipped, {size / 1e6:.0f} MB")
            for message in info["skipped_first"]:
                print(f"  skipped: {message}")
    return written
