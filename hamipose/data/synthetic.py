"""Built-in people as a data set: made once, kept as JPEG files and one annotation file in COCO's keypoint format.

``FOLDER/images/000000.jpg …`` and ``FOLDER/annotations.json``. An annotation holds COCO's fields: ``keypoints`` in the
order of BODY16 (x, y, visibility: 2 visible, 1 hidden, 0 outside the picture; positions outside are kept), ``bbox``,
``area`` and the uncompressed run lengths ``segmentation`` of what is seen of the person. Besides them: ``coco17`` (the
keypoints in COCO's order), ``joints_3d_m`` (camera axes, metres, both orders), ``camera`` (intrinsics, world-to-camera
rotation, position), ``pose`` and ``height_m``.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import numpy as np

from hamipose.data.base import KeypointDataset, named_skeleton
from hamipose.errors import InputError
from hamipose.skeletons import BODY16, COCO17, Skeleton
from hamipose.types import Sample

__all__ = ["SyntheticPeople", "synthesize"]

_JOURNAL = "annotations.part"


def synthesize(
    look: str,
    count: int,
    size: int,
    seed: int,
    out: str,
    backgrounds: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    progress: bool = True,
    poses: list[str] | None = None,
    backdrops: list[str] | None = None,
) -> Path:
    """Makes the pictures that are missing from a folder of built-in people; an interrupted run is taken up again.

    Picture i depends on look, seed, i, size and what may be drawn (poses, backdrops, backgrounds) only: not on
    how many are made, in what order or by how many processes.

    Args:
        look: ``plain`` (flat colours, hard light, noise and polygons behind) or ``photo`` (textures, soft light,
            surroundings, things in the way, a camera's faults).
        count: how many pictures the folder shall hold.
        size: side of the square pictures in pixels.
        seed: which series of people.
        out: the folder.
        backgrounds: a folder of photographs to show behind the people instead of drawn surroundings.
        workers: processes that render; by default one a processor.
        device: ``cpu`` or ``cuda:0``; by default a GPU where there is one.
        progress: show a progress bar.
        poses: families of poses to draw from, of `hamipose.synthetic.families.FAMILIES`; all where not given.
        backdrops: what is behind people of the plain look, of noise, polygons, gradient and flat; all where not given.

    Returns:
        The annotation file.

    Raises:
        InputError: an option that makes no sense, or a folder that holds other people than those asked for.
    """
    from hamipose.synthetic.backdrops import BACKDROPS
    from hamipose.synthetic.families import FAMILIES
    from hamipose.synthetic.people import LOOKS
    from hamipose.synthetic.records import FORMAT

    for what, given, known in (("poses", poses, FAMILIES), ("backdrops", backdrops, BACKDROPS)):
        if given is not None and (not given or not set(given) <= set(known)):
            raise InputError(f"{what} are {', '.join(given) or 'empty'}, expected some of {', '.join(known)}")
    if look not in LOOKS:
        raise InputError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    for name, value, least in (("count", count, 1), ("size", size, 32), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}, expected at least 1")
    if backgrounds is not None:
        from hamipose.synthetic.backdrops import photographs

        photographs(backgrounds)
    folder = Path(out)
    settings = {"look": look, "size": size, "seed": seed, "backgrounds": backgrounds, "format": FORMAT}
    arguments = {"look": look, "size": size, "seed": seed, "backgrounds": backgrounds, "device": device}
    for name, chosen in (("poses", poses), ("backdrops", backdrops)):
        if chosen is not None:  # a folder of all of them says nothing
            settings[name] = arguments[name] = sorted(chosen)
    made = _made(folder, settings)
    missing = [i for i in range(count) if i not in made]
    if not missing:
        return folder / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _JOURNAL, "w" if not made else "a") as journal:
        if journal.tell() == 0:
            journal.write(json.dumps(settings) + "\n")
            journal.writelines(json.dumps(record) + "\n" for record in made.values())
        for record in _progress(_records(folder, missing, arguments, workers), len(missing), look, progress):
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            made[record["image"]["id"]] = record
    return _finish(folder, settings, made)


def _made(folder: Path, settings: dict) -> dict[int, dict]:
    """Records of the pictures that are already there, from the finished file and from an interrupted run."""
    made: dict[int, dict] = {}
    sources = []
    if (folder / "annotations.json").exists():
        whole = _load(folder / "annotations.json")
        pairs = zip(whole["images"], whole["annotations"], strict=True)
        sources.append((whole["info"].get("settings"), [{"image": i, "annotation": a} for i, a in pairs]))
    if (folder / _JOURNAL).exists():
        complete = (folder / _JOURNAL).read_text().rpartition("\n")[0].splitlines()
        if complete:
            sources.append((json.loads(complete[0]), [json.loads(line) for line in complete[1:]]))
            (folder / _JOURNAL).write_text("\n".join(complete) + "\n")  # without a torn last line
    for found, records in sources:
        if found != settings:
            raise InputError(f"{folder} holds people made with {found}, asked for are {settings}; give another folder")
        made |= {r["image"]["id"]: r for r in records if (folder / r["image"]["file_name"]).exists()}
    return made


def _records(folder: Path, missing: list[int], arguments: dict, workers: int | None) -> Iterator[dict]:
    """The records of the missing pictures, as they are made."""
    from hamipose.synthetic.records import make_record

    if workers is None:
        workers = min(len(os.sched_getaffinity(0)), max(1, len(missing) // 64))
    if workers == 1:
        for index in missing:
            yield make_record(folder, index, **arguments)
        return
    from hamipose.synthetic.raycast import renderer

    renderer(arguments["device"])  # builds caches once, before several processes want them
    shares = [missing[i::workers] for i in range(workers)]
    # One thread each: the processes share the processors already.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "hamipose.synthetic.worker",
                json.dumps({"indices": s, "folder": str(folder), **arguments}),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for s in shares
        if s
    ]
    lines: Queue = Queue()

    def read(process: subprocess.Popen) -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    for process in running:
        threading.Thread(target=read, args=(process,), daemon=True).start()
    try:
        ended = 0
        while ended < len(running):
            line = lines.get()
            if line is None:
                ended += 1
            else:
                yield json.loads(line)
        if any(process.wait() for process in running):
            raise RuntimeError("a process that makes pictures failed; its message is above. What is made is kept")
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _progress(records: Iterator[dict], total: int, look: str, shown: bool) -> Iterator[dict]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not shown) as bar:
        task = bar.add_task(f"making {look} people", total=total)
        for record in records:
            bar.advance(task)
            yield record


def _finish(folder: Path, settings: dict, made: dict[int, dict]) -> Path:
    from hamipose.synthetic.records import category

    ordered = [made[i] for i in sorted(made)]
    whole = {
        "info": {"description": "HamiPose built-in people", "settings": settings},
        "images": [r["image"] for r in ordered],
        "annotations": [r["annotation"] for r in ordered],
        "categories": [category()],
    }
    path = folder / "annotations.json"
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(whole))
    os.replace(unfinished, path)
    (folder / _JOURNAL).unlink()
    return path


def _load(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}); delete it and make the people again") from None


class SyntheticPeople(KeypointDataset):
    """The first `count` people of a folder; `prepare` makes those that are missing.

    Args:
        root: folder of the pictures; see `synthesize` for it and the options.
        look: ``plain`` or ``photo``.
        count: how many people.
        size: side of the pictures in pixels.
        seed: which series of people; give test data another seed than training data.
        skeleton: order of the keypoints: ``body16``, ``coco17`` or ``lsp14``.
        backgrounds: a folder of photographs to show behind the people.
        workers: processes that render; by default one a processor.
        cache: keep decoded pictures in memory.
        poses: families of poses to draw from; all where not given.
        backdrops: what is behind people of the plain look; everything where not given.
        box_margin: how many times the box around what can be seen of the person a crop shows, as a user's detector
            would give it; the whole picture where not given.
    """

    def __init__(
        self,
        root: str,
        look: str = "plain",
        count: int = 2000,
        size: int = 256,
        seed: int = 0,
        skeleton: str = "body16",
        backgrounds: str | None = None,
        workers: int | None = None,
        cache: bool = False,
        poses: list[str] | None = None,
        backdrops: list[str] | None = None,
        box_margin: float | None = None,
    ):
        if box_margin is not None and box_margin <= 0:
            raise InputError(f"box_margin is {box_margin}, expected a factor above 0, such as 1.25")
        self.root, self.look, self.count, self.size, self.seed = Path(root), look, count, size, seed
        self.skeleton = named_skeleton(skeleton)
        self._order = _order(self.skeleton)
        self.backgrounds, self.workers, self.cache = backgrounds, workers, cache
        self.poses, self.backdrops, self.box_margin = poses, backdrops, box_margin
        self._labels: list[tuple[Path, np.ndarray, np.ndarray]] | None = None

    def prepare(self) -> None:
        synthesize(
            self.look,
            self.count,
            self.size,
            self.seed,
            str(self.root),
            self.backgrounds,
            self.workers,
            poses=self.poses,
            backdrops=self.backdrops,
        )

    @property
    def labels(self) -> list[tuple[Path, np.ndarray, np.ndarray]]:
        """Picture, keypoints (x, y, visibility) and box to crop of every person, read on first use."""
        if self._labels is None:
            path = self.root / "annotations.json"
            if not path.exists():
                raise InputError(
                    f"{path} does not exist; make the people first: prepare(), or hamipose data synthesize"
                )
            whole = _load(path)
            field, picked = self._order
            pairs = list(zip(whole["images"], whole["annotations"], strict=True))[: self.count]
            if len(pairs) < self.count:
                raise InputError(f"{path} holds {len(pairs)} people, asked for are {self.count}; call prepare()")
            self._labels = [
                (self.root / i["file_name"], np.array(a[field], np.float32).reshape(-1, 3)[picked], self._box(i, a))
                for i, a in pairs
            ]
        return self._labels

    def _box(self, image: dict, annotation: dict) -> np.ndarray:
        if self.box_margin is None or 0 in annotation["bbox"][2:]:  # nothing of the person can be seen
            return np.array([0, 0, image["width"], image["height"]], np.float32)
        left, top, width, height = annotation["bbox"]
        wider, higher = width * self.box_margin, height * self.box_margin
        return np.array([left - (wider - width) / 2, top - (higher - height) / 2, wider, higher], np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        path, labels, box = self.labels[index]
        image, _ = self.decode(path)
        return Sample(
            image=image,
            box_px=box,
            name=str(path),
            keypoints_px=labels[:, :2].copy(),
            visibility=labels[:, 2].astype(np.int64),
        )


def _order(skeleton: Skeleton) -> tuple[str, list[int]]:
    """Which field of an annotation holds all keypoints of a skeleton, and at which positions."""
    for field, stored in (("keypoints", BODY16), ("coco17", COCO17)):
        picked = [position for position in skeleton.map_from(stored) if position is not None]
        if len(picked) == len(skeleton):
            return field, picked
    raise InputError(f"skeleton is {skeleton.name}, expected one that built-in people have: body16, coco17, lsp14")
